#!/bin/sh
# What udhcpc calls when a lease comes or goes. The distribution's own script would hand the resolver to the machine's
# resolvconf where that is installed; this one writes only the file that the room sees as /etc/resolv.conf.
case $1 in
  deconfig)
    busybox ip link set "$interface" up
    busybox ip -4 addr flush dev "$interface"
    ;;
  bound | renew)
    busybox ifconfig "$interface" "$ip" netmask "$subnet" broadcast "${broadcast:-+}"
    busybox ip -4 route flush exact 0.0.0.0/0 dev "$interface"
    [ -z "$router" ] || busybox ip -4 route add default via "${router%% *}" dev "$interface"
    { for server in $dns; do echo "nameserver $server"; done; } >"$LAB_RESOLV_CONF"
    echo "lease $ip router $router dns $dns"
    ;;
esac
