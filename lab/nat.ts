/**
 * How a NAT behaves, in the words of RFC 4787: does the mapping depend on the destination (§4.1), who may send back in
 * (§5), and can inside hosts meet at their outside addresses (§6).
 *
 * What Linux does of itself (masquerade): it keeps the inside port if that is free outside, gives a socket the same
 * outside port towards every destination, and lets only the addressed peer back in: "port-restricted". `natRuleset`
 * adds the missing behaviours to that; nothing is emulated in userland. `masquerade fully-random` makes each
 * destination its own mapping with a random port: "symmetric".
 *
 * Port preservation is a convenience, not a promise: a second inside host with the same source port gets another one.
 */
export type NatKind = 'full-cone' | 'address-restricted' | 'port-restricted' | 'symmetric'

export type NatPlan = {
  readonly kind: NatKind
  /** Uplink interface; everything that leaves by it gets its address. */
  readonly uplink: string
  /** Inside interface. */
  readonly inside: string
  /** The uplink's IPv4 address. */
  readonly outside: string
  /** Packets from inside to the outside address come back in (RFC 4787 §6); the sender is seen at its outside address. */
  readonly hairpin: boolean
  /** How long an idle mapping stays, in seconds; 300 unless told. Belongs together with `udpLifetime` of the same room. */
  readonly udpSeconds?: number
}

/** One sysctl set: how long an idle UDP mapping lives, in seconds (RFC 4787 §4.3 asks for 120 s; home routers give 30). */
export const udpLifetime = (seconds: number): Readonly<Record<string, number>> => ({
  'net.netfilter.nf_conntrack_udp_timeout': seconds,
  'net.netfilter.nf_conntrack_udp_timeout_stream': seconds,
})

/**
 * The nftables script of such a NAT. Replaces an earlier one of the same name in the namespace.
 *
 * The chains at priority 200 run after the kernel has chosen the outside port, so they can note it: `cone` says which
 * inside socket owns an outside port, `seen` which addresses that port has sent to. Unwanted packets are dropped at
 * input before conntrack confirms them: an entry left by a peer that knocks too early would otherwise push our own
 * packet to that peer onto another port and spoil hole punching.
 */
export function natRuleset(plan: NatPlan): string {
  const { uplink, inside, outside } = plan
  const back: Readonly<Record<NatKind, string>> = {
    'full-cone': `iifname "${uplink}" meta l4proto udp dnat ip to udp dport map @cone`,
    'address-restricted': `iifname "${uplink}" meta l4proto udp udp dport . ip saddr @seen dnat ip to udp dport map @cone`,
    'port-restricted': '',
    symmetric: '',
  }
  const lifetime = plan.udpSeconds ?? 300
  const flags = plan.kind === 'symmetric' ? ' fully-random' : ''
  return `table ip ntm-lab-nat
delete table ip ntm-lab-nat
table ip ntm-lab-nat {
  map cone { type inet_service : ipv4_addr . inet_service; flags dynamic,timeout; timeout ${lifetime}s; size 65535; }
  set seen { type inet_service . ipv4_addr; flags dynamic,timeout; timeout ${lifetime}s; size 65535; }
  chain prerouting {
    type nat hook prerouting priority dstnat
    ${back[plan.kind]}
    ${plan.hairpin ? `iifname "${inside}" ip daddr ${outside} meta l4proto udp dnat ip to udp dport map @cone` : ''}
  }
  chain postrouting {
    type nat hook postrouting priority srcnat
    oifname "${uplink}" masquerade${flags}
    ${plan.hairpin ? `oifname "${inside}" ct status dnat snat ip to ${outside}` : ''}
  }
  chain note {
    type filter hook postrouting priority 200
    oifname "${uplink}" meta l4proto udp ct direction original update @cone { udp sport : ct original ip saddr . ct original proto-src }
    oifname "${uplink}" meta l4proto udp ct direction original update @seen { udp sport . ip daddr }
  }
  chain input {
    type filter hook input priority filter
    iifname "${uplink}" ct state established,related accept
    iifname "${uplink}" icmp type echo-request accept
    iifname "${uplink}" drop
    iifname "${inside}" ip daddr ${outside} meta l4proto udp drop
  }
  chain forward {
    type filter hook forward priority filter
    iifname "${uplink}" ct state established,related accept
    iifname "${uplink}" ct status dnat accept
    iifname "${uplink}" drop
  }
}
`
}

/** A stateful IPv6 firewall as home routers have it (RFC 6092): out freely, in only what was asked for, and ICMPv6 errors. */
export function firewall6Ruleset(uplink: string): string {
  return `table ip6 ntm-lab-fw
delete table ip6 ntm-lab-fw
table ip6 ntm-lab-fw {
  chain forward {
    type filter hook forward priority filter
    iifname "${uplink}" ct state established,related accept
    iifname "${uplink}" icmpv6 type { destination-unreachable, packet-too-big, time-exceeded, parameter-problem } accept
    iifname "${uplink}" drop
  }
}
`
}
