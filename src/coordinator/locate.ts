import { type Endpoint, sameEndpoint } from '#ntm-lib/addr/endpoint.ts'
import { type Family, family, type Ip, isIp4 } from '#ntm-lib/addr/ip.ts'
import { contains, type Prefix, parsePrefix } from '#ntm-lib/addr/prefix.ts'
import type { VirtualPlan } from '#ntm-lib/addr/virtual.ts'
import { invariant } from '#ntm-lib/base/invariant.ts'
import { type Candidate, SEEN_PRIORITY } from '#ntm-lib/wire/messages/common.ts'

/** How a box can be reached in one family: from anywhere, only after it sent first, or not at all. */
export type Reach = 'open' | 'natted' | 'none'

/** What is known of where a box is. `confirmed` endpoints have echoed a nonce sent to them. */
export type Location = {
  readonly candidates: readonly Candidate[]
  /** Source of its newest authenticated datagram; proves nothing yet. */
  readonly observed: Endpoint
  readonly confirmed: { readonly 4: Endpoint | null; readonly 6: Endpoint | null }
}

/** Drops what no other box could reach: SEED 003 §3.2 keeps only global unicast IPv6, and no virtual address is real. */
export function usableCandidates(candidates: readonly Candidate[], plan: VirtualPlan): Candidate[] {
  return candidates.filter(({ endpoint }) => endpoint.port > 0 && usableAddress(endpoint.ip, plan))
}

/**
 * Whether a NAT stands between: the source the coordinator saw is none of the box's own addresses. Ports count, because
 * a NAT may keep the address of its own host and change only the port. SEED 003 §3.2.
 */
export const behindNat = (candidates: readonly Candidate[], observed: Endpoint): boolean =>
  !candidates.some((c) => c.type === 'local' && sameEndpoint(c.endpoint, observed))

/** Reachability in one family. An unconfirmed endpoint is never `open`. */
export function reach(l: Location, of: Family): Reach {
  const confirmed = l.confirmed[of]
  if (confirmed !== null) return behindNat(l.candidates, confirmed) ? 'natted' : 'open'
  const speaks = family(l.observed.ip) === of || l.candidates.some((c) => family(c.endpoint.ip) === of)
  return speaks ? 'natted' : 'none'
}

/**
 * Where a peer may send to: confirmed endpoints first, then addresses the box names itself. Of those only global IPv6
 * counts, for an unproven IPv4 address could be anybody's; a box whose operator vouches for its addresses (`trusted`, a
 * terminator) is believed in both families.
 */
export function reachableAt(l: Location, trusted: boolean): Candidate[] {
  const out: Candidate[] = []
  for (const endpoint of [l.confirmed[6], l.confirmed[4]]) {
    if (endpoint === null) continue
    out.push({
      type: behindNat(l.candidates, endpoint) ? 'mapped' : 'local',
      endpoint,
      priority: SEEN_PRIORITY + 50 - out.length,
    })
  }
  for (const { endpoint } of l.candidates)
    if ((trusted || !isIp4(endpoint.ip)) && !out.some((o) => sameEndpoint(o.endpoint, endpoint)))
      out.push({ type: 'local', endpoint, priority: 100 - out.length })
  return out
}

/** Whether a box names a global IPv6 address that nobody has seen it at: open, or behind a firewall that it can open. */
export const claims6 = (l: Location): boolean =>
  l.confirmed[6] === null && l.candidates.some((c) => !isIp4(c.endpoint.ip))

/** `reachableAt`, and where `local` also the box's own IPv4 addresses, for neighbours and for those who look for a way. */
export function placesOf(l: Location, local: boolean): Candidate[] {
  const out = reachableAt(l, false).slice(0, MAX_GLOBAL)
  for (const { endpoint } of local ? l.candidates : [])
    if (isIp4(endpoint.ip) && !out.some((o) => sameEndpoint(o.endpoint, endpoint)) && out.length < MAX_TOLD)
      out.push({ type: 'local', endpoint, priority: 50 - out.length })
  return out
}

function usableAddress(ip: Ip, plan: VirtualPlan): boolean {
  if (!isIp4(ip) && !contains(GLOBAL6, ip)) return false
  return ![...NEVER, plan.nodes4, plan.servers4, plan.nodes6, plan.servers6].some((p) => contains(p, ip))
}

function prefix(text: string): Prefix {
  const parsed = parsePrefix(text)
  invariant(parsed !== null, `a prefix: ${text}`)
  return parsed
}

/** Of one box, in one direction: an end tries them all at once. */
const MAX_TOLD = 8
/** Leaves room for the private ones, of which a neighbour needs only one. */
const MAX_GLOBAL = 5
/** RFC 4291 §2.4: what is not otherwise named; in practice all global unicast is assigned from here. */
const GLOBAL6 = prefix('2000::/3')
/** RFC 6890: this-network, loopback, link-local, multicast, reserved. Private space stays: a coordinator may live in it. */
const NEVER = ['0.0.0.0/8', '127.0.0.0/8', '169.254.0.0/16', '224.0.0.0/4', '240.0.0.0/4'].map(prefix)
