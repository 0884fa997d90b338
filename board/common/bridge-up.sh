#!/bin/sh
# Joins two network ports to a bridge that nobody notices. Run at early boot, as root, before any program of ours, and again when a port
# has left and returned: a bridge that is in use notices nothing of that.
# Usage: bridge-up.sh HOST_PORT NET_PORT [BRIDGE]        e.g. bridge-up.sh host0 net0 br0
#
# HOST_PORT "-": the host's port is not there (yet); the bridge and the site's port are made ready for it.
# HOST_PORT leads to the legacy host, NET_PORT to the site's network. The bridge itself comes up without an address: the
# caller asks DHCP, or sets one, on BRIDGE afterwards. Applying it twice is the same as once.
set -eu

host=${1:?usage: bridge-up.sh HOST_PORT NET_PORT [BRIDGE]}
net=${2:?usage: bridge-up.sh HOST_PORT NET_PORT [BRIDGE]}
bridge=${3:-br0}

# Few processes: on a small board each costs as much as all of the kernel's work here, and the wire waits for it.

# Silent before up: a port that speaks IPv6 (router solicitations, MLD) shows a second station to port security and 802.1X.
quiet_ipv6() {
  if [ -e "/proc/sys/net/ipv6/conf/$1/disable_ipv6" ]; then
    echo 1 >"/proc/sys/net/ipv6/conf/$1/disable_ipv6"
  fi
}

# Sets $mtu to the largest frame that both ports can carry: a jumbo host would be black-holed otherwise. Empty when a driver does not say.
largest_mtu() {
  mtu='' known=0
  while read -r line; do
    case $line in *" maxmtu "[1-9]*) ;; *) continue ;; esac
    most=${line#* maxmtu }
    most=${most%% *}
    known=$((known + 1))
    if [ -z "$mtu" ] || [ "$most" -lt "$mtu" ]; then mtu=$most; fi
  done <<LINKS
$(for port in "$host" "$net"; do echo "link show dev $port"; done | ip -d -batch -)
LINKS
  [ $known = 2 ] || mtu=
}

# The box's own broadcasts (ARP, DHCP) concern the site: the host is not to see a second station. Answers to a host still reach it.
own=ntm_own_$bridge
case $own in *[!a-zA-Z0-9_]*) own=$(printf %s "$own" | tr -c 'a-zA-Z0-9' _) ;; esac
keep_own_broadcasts() {
  [ "$host" = - ] || nft -f - <<RULES || echo "bridge-up.sh: no rules on $bridge: $host will see the box's own broadcasts" >&2
table bridge $own
delete table bridge $own
table bridge $own {
  chain out {
    type filter hook output priority 0; policy accept;
    oifname "$host" ether daddr & 01:00:00:00:00:00 == 01:00:00:00:00:00 drop
  }
}
RULES
}

# Quiet only while it is new: whoever set it up since may want IPv6 on it.
new=no
if [ ! -d "/sys/class/net/$bridge" ]; then
  new=yes
  ip link add name "$bridge" type bridge
  quiet_ipv6 "$bridge"
fi
ports=$net
if [ "$host" != - ]; then ports="$host $net"; fi
for port in $ports; do quiet_ipv6 "$port"; done

# Bridged frames are nobody's business in iptables. Absent when br_netfilter is not there, which is best.
for name in iptables ip6tables arptables; do
  if [ -e "/proc/sys/net/bridge/bridge-nf-call-$name" ]; then
    echo 0 >"/proc/sys/net/bridge/bridge-nf-call-$name"
  fi
done

# A bridge in use has an address, and something to say. A new one is silent until the caller gives it one.
[ $new = yes ] || keep_own_broadcasts

# A port in use keeps its MTU.
if [ "$host" != - ]; then largest_mtu; else mtu=; fi
if [ -n "$mtu" ]; then
  for port in $ports; do echo "link set dev $port mtu $mtu"; done | ip -force -batch - || true
fi

read -r address <"/sys/class/net/$net/address"
{
  # stp_state 0: forwards at once. mcast_snooping 0: snooping starves hosts that never join. vlan_filtering stays off: tags pass.
  echo "link set dev $bridge type bridge stp_state 0 forward_delay 0 mcast_snooping 0"
  # The bridge would otherwise change its own address with its ports, and lose its DHCP lease.
  echo "link set dev $bridge address $address"
  for port in $ports; do
    echo "link set dev $port master $bridge"
    # 0xfffd: everything but MAC PAUSE, which the kernel refuses to forward. LLDP, EAPOL, LACP and BPDUs pass.
    echo "link set dev $port type bridge_slave group_fwd_mask 0xfffd"
  done
  # Set after the ports, which would drag it along: the box's own packets are ordinary ones.
  echo "link set dev $bridge mtu 1500"
  echo "link set dev $net up"
  [ "$host" = - ] || echo "link set dev $host up"
  echo "link set dev $bridge up"
} | ip -batch -

[ $new = no ] || keep_own_broadcasts
