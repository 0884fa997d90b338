import { type Family, family, type Ip, ipBytes, ipText } from '#ntm-lib/addr/ip.ts'
import type { VirtualPair } from '#ntm-lib/addr/virtual.ts'
import { after, type Instant } from '#ntm-lib/base/time.ts'
import { avalanche, mix } from '#ntm-lib/packet/five-tuple.ts'
import { TT_TIMERS } from './timers.ts'

/** One ordinary server as one node sees it: bound by name, so the virtual pair outlives every real address. */
export type ServerEntry = {
  readonly node: string
  readonly name: string
  readonly pair: VirtualPair
  /** From our own resolution, egress policy applied; best first for this node. */
  addresses: readonly Ip[]
  /** When the record's TTL ends. */
  expires: Instant
  /** When to resolve again, if the entry is in use then. */
  resolveAt: Instant
  /** A resolution is under way. */
  resolving: boolean
  lastUsed: Instant
  /** Open flows; kept by the flow table. */
  flows: number
  /** Addresses not to choose, and until when. */
  readonly avoid: Map<string, Instant>
}

/**
 * Orders addresses for a node: the same ones always come in the same order for the same node, and different nodes spread
 * over them (rendezvous hashing), so one dropping out moves only its own users.
 */
export function stableOrder(node: string, addresses: readonly Ip[]): Ip[] {
  const weight = (ip: Ip): number => {
    let h = 0
    for (let i = 0; i < node.length; i++) h = mix(h, node.charCodeAt(i))
    for (const b of ipBytes(ip)) h = mix(h, b)
    return avalanche(h)
  }
  return [...addresses].sort((a, b) => weight(b) - weight(a) || (ipText(a) < ipText(b) ? -1 : 1))
}

/**
 * Real addresses for a new flow, in the order to try: those of the host's own family first (nothing to translate), those
 * lately unreachable last.
 */
export function candidates(entry: ServerEntry, wanted: Family, now: Instant): Ip[] {
  const bad = (ip: Ip): number => ((entry.avoid.get(ipText(ip)) ?? now) > now ? 2 : 0)
  const rank = (ip: Ip): number => bad(ip) + (family(ip) === wanted ? 0 : 1)
  return [...entry.addresses].sort((a, b) => rank(a) - rank(b))
}

/** Whether the entry has an address that is not being avoided. */
export const hasOther = (entry: ServerEntry, now: Instant): boolean =>
  entry.addresses.some((ip) => (entry.avoid.get(ipText(ip)) ?? now) <= now)

/** `ip` was unreachable or silent: new flows take the entry's other addresses for a while, if it has any. */
export function avoid(entry: ServerEntry, ip: Ip, now: Instant): void {
  entry.avoid.set(ipText(ip), after(now, TT_TIMERS.avoid))
}
