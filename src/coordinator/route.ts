import { type NodeId, nodeKey } from '#ntm-lib/addr/ids.ts'
import { sameIp } from '#ntm-lib/addr/ip.ts'
import type { WallTime } from '#ntm-lib/base/time.ts'
import { ROLE_TT } from '#ntm-lib/wire/certificate.ts'
import type { Optimise, Way } from '#ntm-lib/wire/messages/direction.ts'
import { claims6, type Location, type Reach, reach } from './locate.ts'
import type { Presence } from './presence.ts'

/** Which end sends the Tunnel Request. */
export type Opener = 'initiator' | 'correspondent'

/**
 * The seeds' rule: direct when one end can be reached in a family both have, and the end behind the NAT opens; null when
 * neither can (a relay's work). IPv6 is preferred when both families would do. SEED 002 §3.3, SEED 003 §3.3.
 */
export function decideRoute(initiator: Reachability, correspondent: Reachability): Opener | null {
  for (const side of [6, 4] as const) {
    const [from, to] = [initiator[side], correspondent[side]]
    if (from === 'none' || to === 'none') continue
    if (to === 'open') return 'initiator'
    if (from === 'open') return 'correspondent'
  }
  return null
}

/** How two boxes are to meet. */
export type Decision = {
  readonly opener: Opener
  /** What is tried first; the other one is for when it fails. */
  readonly way: Way
  /** Whether it is worth trying without any relay. */
  readonly alone: boolean
}

/**
 * The route between two boxes with hosts or applications, SEED 002 §3.3 and SEED 003 §3.3: direct where one end is known
 * to be reachable; direct between two global IPv6 addresses, though a firewall may stand before them; direct behind one
 * NAT; otherwise through a relay. With `ice` two NATs may be tried without a relay when there is none.
 *
 * Where either end may open it is the correspondent: it is told first, so its Tunnel Request is on the way before the
 * initiator hears of it.
 */
export function decideBetween(initiator: Located, correspondent: Located, optimise: Optimise): Decision {
  const [from, to] = [reachability(initiator), reachability(correspondent)]
  const [forth, back] = [reachesInto(to, from), reachesInto(from, to)]
  if (forth || back) return { opener: back ? 'correspondent' : 'initiator', way: 'direct', alone: true }
  if (from[6] !== 'none' && to[6] !== 'none') {
    if (claims6(initiator)) return { opener: 'correspondent', way: 'direct', alone: true }
    if (claims6(correspondent)) return { opener: 'initiator', way: 'direct', alone: true }
  }
  if (neighbours(initiator, correspondent)) return { opener: 'correspondent', way: 'direct', alone: true }
  const common = ([4, 6] as const).some((f) => from[f] !== 'none' && to[f] !== 'none')
  return { opener: 'correspondent', way: 'relay', alone: common && optimise === 'ice' }
}

/** Whether somebody who is at `from` can send first to a box that is reachable like this. */
const reachesInto = (to: Reachability, from: Reachability): boolean =>
  ([4, 6] as const).some((f) => to[f] === 'open' && from[f] !== 'none')

/** Two boxes that one NAT shows to the outside under the same address are probably in one private network. */
export function neighbours(a: Location, b: Location): boolean {
  const [x, y] = [a.confirmed[4], b.confirmed[4]]
  return x !== null && y !== null && sameIp(x.ip, y.ip)
}

type Located = Location & { readonly roles: number }

export type Reachability = { readonly 4: Reach; readonly 6: Reach }

/**
 * A terminator stands on the open Internet by its operator's word (the root signed its role), so what it names itself is
 * reachable; any other box must have proven it.
 */
export function reachability(p: Located): Reachability {
  const of = (family: 4 | 6): Reach => {
    const proven = reach(p, family)
    const named = p.candidates.some((c) => (typeof c.endpoint.ip === 'number' ? 4 : 6) === family)
    return (p.roles & ROLE_TT) !== 0 && named ? 'open' : proven
  }
  return { 4: of(4), 6: of(6) }
}

export type TerminatorQuestion = {
  readonly initiator: Presence
  readonly present: readonly Presence[]
  /** Nodes not to be asked again for this direction, by key. */
  readonly tried: ReadonlySet<string>
  /** Terminators that were silent lately, by key: only when there is nothing else. */
  readonly suspect: (key: string) => boolean
  /** The one this node used last, by key. */
  readonly last: string | null
  /** Contracts a terminator has. */
  readonly load: (node: NodeId) => number
  readonly today: WallTime
}

/**
 * The terminator for this node's ordinary servers. A node stays where it was, for moving cuts its flows: unless that one
 * is gone, silent, or carries clearly more than the least loaded one.
 */
export function chooseTerminator(q: TerminatorQuestion): Presence | null {
  const mine = reachability(q.initiator)
  const fit = q.present.filter(
    (p) =>
      (p.roles & ROLE_TT) !== 0 &&
      !q.tried.has(nodeKey(p.node)) &&
      nodeKey(p.node) !== nodeKey(q.initiator.node) &&
      p.expires * 1000 > q.today &&
      decideRoute(mine, reachability(p)) !== null,
  )
  const ranked = fit
    .map((p) => ({
      p,
      key: nodeKey(p.node),
      load: fit.length > 1 ? q.load(p.node) : 0,
      suspect: q.suspect(nodeKey(p.node)),
    }))
    .toSorted((a, b) => Number(a.suspect) - Number(b.suspect) || a.load - b.load || (a.key < b.key ? -1 : 1))
  const [best] = ranked
  if (best === undefined) return null
  const last = ranked.find((r) => r.key === q.last)
  const stay = last !== undefined && last.suspect === best.suspect && last.load <= best.load * 1.5 + STAY_CONTRACTS
  return stay ? last.p : best.p
}

/** Below this many contracts of difference a move is not worth the cut flows. */
const STAY_CONTRACTS = 16
