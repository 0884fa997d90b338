import { isIp4 } from '#ntm-lib/addr/ip.ts'
import { type LinkAddr, linkText } from '#ntm-lib/addr/link.ts'
import { type Prefix, prefixText } from '#ntm-lib/addr/prefix.ts'
import { zoneMatches } from './closed.ts'

/** What the nftables scripts need to know. */
export type DivertPlan = {
  /** Port towards the hosts, the port towards the LAN, and the TAP that the program reads. */
  readonly host: string
  readonly net: string
  readonly tap: string
  /** The box's own Ethernet address: its own DNS is not ours to take. */
  readonly box: LinkAddr
  /** Every virtual prefix in use, both families. */
  readonly virtual: readonly Prefix[]
  /** `fail = "closed"`: zones whose names no host may ask the LAN about, not even when the program is dead. */
  readonly closed?: readonly string[]
}

/** Names of the two tables, for listing and removing. */
export const GUARD_TABLE = 'ntm_guard'
export const DIVERT_TABLE = 'ntm_divert'
/** How long the diversion outlives the last refresh: the wire heals this long after the program hung. */
export const ALIVE_SECONDS = 3

/**
 * The table that stays when the program is dead: packets to or from virtual addresses never cross the box. Belongs to nobody,
 * is applied before the diversion and safe to apply twice. It sits behind the diversion (later priority), which takes the
 * hosts' packets first while the program lives.
 *
 * On the LAN's side the source is checked too: a neighbour must not speak to a host as a tunnelled server.
 */
export function guardScript(plan: DivertPlan): string {
  const closed = (plan.closed ?? []).flatMap(zoneMatches).map((m) => `    ${m} counter drop`)
  const shut = closed.length === 0 ? [] : ['    udp dport 53 jump closed']
  return lines([
    `table netdev ${GUARD_TABLE}`,
    `delete table netdev ${GUARD_TABLE}`,
    `table netdev ${GUARD_TABLE} {`,
    ...(closed.length === 0 ? [] : ['  chain closed {', ...closed, '  }']),
    ...chain('from_host', plan.host, 100, [...drops(plan, ['daddr']), ...shut]),
    ...chain('from_net', plan.net, 100, drops(plan, ['daddr', 'saddr'])),
    '}',
  ])
}

/**
 * The diversion: `fwd` hands a frame to the TAP instead of the bridge, exactly once. Must be loaded through a long-lived
 * netlink socket (one `nft -i` child): `flags owner` removes the table when that socket closes. Not armed yet.
 *
 * The tables match below the VLAN tag without naming it: the kernel takes the outermost tag off a frame before ingress
 * rules see it, whether the driver or the sender left it inline. So tagged and priority-tagged frames match like untagged
 * ones and reach the TAP with their tag back inline; in QinQ, PPPoE and LLC the protocol is another one and they pass.
 *
 * Frames to the TAP tell their leg by what they are, so nothing has to be remembered: towards port 53, towards a virtual
 * prefix and neighbour questions come from a host; from port 53 comes from the LAN. Port 53 to port 53 would be both: it passes.
 * What the guard stops from the LAN must be stopped here as well: a DNS reply that claims to come from a virtual address would be
 * handed over before the guard sees it.
 */
export function divertScript(plan: DivertPlan): string {
  const take = `counter fwd to "${plan.tap}"`
  const ours = `ether daddr != ${linkText(plan.box)}`
  // Fragments pass: a DNS message in pieces cannot be judged by its first one. IPv6: no extension header at all.
  const whole = { ip: 'ip protocol udp ip frag-off & 0x3fff == 0', ip6: 'ip6 nexthdr udp' }
  const dns = (ports: string): string[] =>
    [whole.ip, whole.ip6].map((w) => `    ${w} ${ports} ${ours} iifname @alive ${take}`)
  const virtual = families(plan.virtual).map(({ word, list }) => `    ${word} daddr { ${list} } ${take}`)
  return lines([
    `table netdev ${DIVERT_TABLE} {`,
    '  flags owner',
    `  set alive { type ifname; flags timeout; }`,
    ...chain('from_host', plan.host, -100, [
      ...virtual,
      ...dns('udp dport 53 udp sport != 53'),
      ...plan.virtual.map((p) => `    ${neighbourQuestion(p)} iifname @alive ${take}`),
    ]),
    ...chain('from_net', plan.net, -100, [...drops(plan, ['daddr', 'saddr']), ...dns('udp sport 53 udp dport != 53')]),
    '}',
  ])
}

/**
 * Arms the diversion, or keeps it armed: to be sent each second. `add` alone does not prolong an element; the three
 * together are one transaction without a gap.
 */
export function refreshScript(plan: DivertPlan): string {
  const element = `element netdev ${DIVERT_TABLE} alive { ${alive(plan, ` timeout ${ALIVE_SECONDS}s`)} }`
  return `add ${element}; delete element netdev ${DIVERT_TABLE} alive { ${alive(plan, '')} }; add ${element}\n`
}

/** Stops taking queries and neighbour questions, keeps taking replies: for the last moments before an orderly stop. */
export const easeScript = (plan: DivertPlan): string =>
  `delete element netdev ${DIVERT_TABLE} alive { "${plan.host}" }\n`

/** Stops taking DNS and neighbour questions at once; packets to virtual addresses are still taken. */
export const disarmScript = (): string => `flush set netdev ${DIVERT_TABLE} alive\n`

/** Removes the diversion; for an orderly stop, by the socket that owns it. The guard stays. */
export const removeScript = (): string => `delete table netdev ${DIVERT_TABLE}\n`

/** Removes the guard as well: for uninstalling, and for tests that leave a machine as it was. */
export const removeGuardScript = (): string => `table netdev ${GUARD_TABLE}\ndelete table netdev ${GUARD_TABLE}\n`

const drops = (plan: DivertPlan, dirs: readonly ('saddr' | 'daddr')[]): string[] =>
  families(plan.virtual).flatMap(({ word, list }) => dirs.map((d) => `    ${word} ${d} { ${list} } counter drop`))

const alive = (plan: DivertPlan, suffix: string): string =>
  [plan.host, plan.net].map((dev) => `"${dev}"${suffix}`).join(', ')

function families(prefixes: readonly Prefix[]): { word: 'ip' | 'ip6'; list: string }[] {
  const text = (v4: boolean): string =>
    prefixes
      .filter((p) => isIp4(p.base) === v4)
      .map(prefixText)
      .join(', ')
  return [
    { word: 'ip' as const, list: text(true) },
    { word: 'ip6' as const, list: text(false) },
  ].filter((f) => f.list !== '')
}

/** "Who has this virtual address?" in ARP (RFC 826) or neighbour discovery (RFC 4861 §4.3). */
function neighbourQuestion(p: Prefix): string {
  if (isIp4(p.base)) return `arp operation request arp daddr ip ${prefixText(p)}`
  // The solicitation's target begins 8 bytes into ICMPv6; nft 1.0.6 has no word for it.
  const target = [...p.base].map((b) => b.toString(16).padStart(2, '0')).join('')
  const bits = BigInt(`0x${target}`) >> BigInt(128 - p.bits)
  return `ip6 nexthdr icmpv6 icmpv6 type nd-neighbor-solicit @th,64,${p.bits} 0x${bits.toString(16)}`
}

const chain = (name: string, device: string, priority: number, rules: readonly string[]): string[] => [
  `  chain ${name} {`,
  `    type filter hook ingress device "${device}" priority ${priority}; policy accept;`,
  ...rules,
  '  }',
]

const lines = (l: readonly string[]): string => `${l.join('\n')}\n`
