import { type Family, family, ipText, isIp4 } from '#ntm-lib/addr/ip.ts'
import { prefixText } from '#ntm-lib/addr/prefix.ts'
import type { NatPlan } from './plan.ts'

/**
 * Our whole nftables table as one script. Applying it twice is the same as once; other tables are untouched.
 *
 * The empty `table` line before `delete` keeps the first run from failing when there is nothing to delete.
 */
export function ruleset(plan: NatPlan): string {
  const inside = `"${plan.inside}"`
  const uplinks = `{ ${plan.uplinks.map((u) => `"${u}"`).join(', ')} }`
  return `${removal(plan)}table inet ${plan.table} {
  chain untracked-in {
    type filter hook prerouting priority raw; policy accept;
    # Tunnels are no flows: tracking them would cost per packet and could remap our own port.
    iifname != ${inside} udp dport ${plan.tunnelPort} fib daddr type local notrack
${indent(guards(plan, inside))}
  }
  chain untracked-out {
    type filter hook output priority raw; policy accept;
    udp sport ${plan.tunnelPort} notrack
  }
  chain forward {
    type filter hook forward priority filter; policy accept;
    iifname ${inside} oifname ${uplinks} accept
    iifname ${inside} drop
    # A neighbour that routes our prefixes to us must not get into tunnels.
    oifname ${inside} iifname ${uplinks} ct state established,related accept
    oifname ${inside} drop
  }
  chain sent {
    type filter hook output priority filter; policy accept;
    # The raw port sends as this machine itself does, and no forward rule sees it.
${indent(sent(plan, uplinks))}
  }
  chain source {
    type nat hook postrouting priority srcnat; policy accept;
${indent(translations(plan, uplinks))}
  }
}
`
}

/** Removes our table, whether or not it is there. */
export const removal = (plan: Pick<NatPlan, 'table'>): string =>
  `table inet ${plan.table}\ndelete table inet ${plan.table}\n`

/** What never leaves the tunnels: packets for this machine itself, and sources that are no node's. */
function guards(plan: NatPlan, inside: string): string[] {
  return [
    `iifname ${inside} fib daddr type { local, broadcast, anycast, multicast } drop`,
    ...([4, 6] as const).map((f) => {
      const own = prefixes(plan, f)
      return own === ''
        ? `iifname ${inside} meta nfproto ipv${f} drop`
        : `iifname ${inside} ${keyword(f)} saddr != ${own} drop`
    }),
  ]
}

/** A host's packet, or an answer of ours to a server, leaves by an uplink or not at all. */
function sent(plan: NatPlan, uplinks: string): string[] {
  return ([4, 6] as const).flatMap((f) => {
    const own = prefixes(plan, f)
    return own === '' ? [] : [`${keyword(f)} saddr ${own} oifname != ${uplinks} drop`]
  })
}

function translations(plan: NatPlan, uplinks: string): string[] {
  return ([4, 6] as const).flatMap((f) => {
    const own = prefixes(plan, f)
    if (own === '') return []
    const match = `oifname ${uplinks} ${keyword(f)} saddr ${own}`
    const ports = `:${plan.ports[0]}-${plan.ports[1]}`
    const pool = f === 4 ? plan.pool4 : plan.pool6
    // Ports exist only in TCP and UDP; everything else, ICMP first of all, is translated by address alone.
    if (pool === null) return [`${match} meta l4proto { tcp, udp } masquerade to ${ports}`, `${match} masquerade`]
    return [
      `${match} meta l4proto { tcp, udp } snat ${keyword(f)} to ${range(pool, true)}${ports}`,
      `${match} snat ${keyword(f)} to ${range(pool, false)}`,
    ]
  })
}

function prefixes(plan: NatPlan, f: Family): string {
  const own = plan.nodes.filter((p) => family(p.base) === f).map(prefixText)
  return own.length === 0 ? '' : `{ ${own.join(', ')} }`
}

/** nft reads `[…]` around an IPv6 address only in front of a port. */
function range([first, last]: NonNullable<NatPlan['pool4']>, withPorts: boolean): string {
  const text = (ip: typeof first): string => (isIp4(ip) || !withPorts ? ipText(ip) : `[${ipText(ip)}]`)
  return `${text(first)}-${text(last)}`
}

const keyword = (f: Family): string => (f === 4 ? 'ip' : 'ip6')
const indent = (lines: readonly string[]): string => lines.map((l) => `    ${l}`).join('\n')
