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

# The largest MTU this port can do; empty when the driver does not say.
largest_mtu() {
  ip -d link show dev "$1" | sed -n 's/.* maxmtu \([1-9][0-9]*\).*/\1/p' | head -n 1
}

# Silent before up: a port that speaks IPv6 (router solicitations, MLD) shows a second station to port security and 802.1X.
quiet_ipv6() {
  if [ -e "/proc/sys/net/ipv6/conf/$1/disable_ipv6" ]; then
    echo 1 >"/proc/sys/net/ipv6/conf/$1/disable_ipv6"
  fi
}

# Quiet only while it is new: whoever set it up since may want IPv6 on it.
if [ ! -d "/sys/class/net/$bridge" ]; then
  ip link add name "$bridge" type bridge
  quiet_ipv6 "$bridge"
fi
ports=$net
if [ "$host" != - ]; then ports="$host $net"; fi

# stp_state 0: forwards at once. mcast_snooping 0: snooping starves hosts that never join. vlan_filtering stays off: tags pass.
ip link set dev "$bridge" type bridge stp_state 0 forward_delay 0 mcast_snooping 0

for port in $ports; do quiet_ipv6 "$port"; done

# Both ports carry the same largest frame: a jumbo host would be black-holed otherwise. A port in use keeps its MTU.
a='' b=$(largest_mtu "$net")
if [ "$host" != - ]; then a=$(largest_mtu "$host"); fi
if [ -n "$a" ] && [ -n "$b" ]; then
  mtu=$((a < b ? a : b))
  for port in "$host" "$net"; do ip link set dev "$port" mtu "$mtu" || true; done
fi

# The bridge would otherwise change its own address with its ports, and lose its DHCP lease.
ip link set dev "$bridge" address "$(cat "/sys/class/net/$net/address")"

for port in $ports; do
  ip link set dev "$port" master "$bridge"
  # 0xfffd: everything but MAC PAUSE, which the kernel refuses to forward. LLDP, EAPOL, LACP and BPDUs pass.
  ip link set dev "$port" type bridge_slave group_fwd_mask 0xfffd
done

# Set after the ports, which would drag it along: the box's own packets are ordinary ones.
ip link set dev "$bridge" mtu 1500

# The box's own broadcasts (ARP, DHCP) concern the site: the host is not to see a second station. Answers to a host still reach it.
own=ntm_own_$(printf %s "$bridge" | tr -c 'a-zA-Z0-9' _)
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

# Bridged frames are nobody's business in iptables. Absent when br_netfilter is not there, which is best.
for name in iptables ip6tables arptables; do
  if [ -e "/proc/sys/net/bridge/bridge-nf-call-$name" ]; then
    echo 0 >"/proc/sys/net/bridge/bridge-nf-call-$name"
  fi
done

for port in $net ${ports%"$net"}; do ip link set dev "$port" up; done
ip link set dev "$bridge" up
