import type { Endpoint } from '#ntm-lib/addr/endpoint.ts'
import { type NodeId, nodeKey } from '#ntm-lib/addr/ids.ts'
import { family } from '#ntm-lib/addr/ip.ts'
import type { WallTime } from '#ntm-lib/base/time.ts'
import { ROLE_RELAY } from '#ntm-lib/wire/certificate.ts'
import type { RelayOffer } from '#ntm-lib/wire/messages/relay.ts'
import { reach, reachableAt } from './locate.ts'
import type { Presence } from './presence.ts'

export type RelayQuestion = {
  /** The ends that are registered now. */
  readonly ends: readonly Presence[]
  readonly present: readonly Presence[]
  readonly today: WallTime
  /** Not to be asked again, by key. */
  readonly tried: ReadonlySet<string>
  /** Silent lately, or given up by an end, by key: only when there is nothing else. */
  readonly suspect: (key: string) => boolean
  /** The relay the path has, by key; it is left only for a clearly better one. */
  readonly current: string | null
}

/**
 * The relay for a path: the least round trip from end to end that was measured, then the least load (SEED 003 §3.1: "by
 * relay load and path redundancy"). Both ends use the same one (SEED 002 §3.3), so it must speak a family of each.
 */
export function chooseRelay(q: RelayQuestion): Presence | null {
  const ranked = relaysAmong(q.present, q.today)
    .filter((r) => !q.tried.has(nodeKey(r.node)) && q.ends.every((end) => reaches(end, r)))
    .map((r) => ({ r, key: nodeKey(r.node), ...rank(r, q) }))
    .toSorted((a, b) => a.doubt - b.doubt || a.millis - b.millis || a.r.loadPercent - b.r.loadPercent || order(a, b))
  const [best] = ranked
  const current = ranked.find((x) => x.key === q.current)
  if (best === undefined || current === undefined || current.doubt > best.doubt) return best?.r ?? null
  return current.millis > best.millis * STAY_FACTOR && current.millis > best.millis + STAY_MILLIS ? best.r : current.r
}

/** Relays for a node to measure: at most eight, the idlest. */
export function relayOffers(present: readonly Presence[], today: WallTime): RelayOffer[] {
  return relaysAmong(present, today)
    .toSorted((a, b) => a.loadPercent - b.loadPercent || (nodeKey(a.node) < nodeKey(b.node) ? -1 : 1))
    .slice(0, MAX_OFFERS)
    .map((r) => ({ relay: r.node, endpoints: relayEndpoints(r) }))
}

/** Where a relay listens, one endpoint of each family: it stands on the open Internet by the root's word. */
export function relayEndpoints(relay: Presence): Endpoint[] {
  const all = reachableAt(relay, true).map((c) => c.endpoint)
  return ([6, 4] as const).flatMap((f) => all.find((e) => family(e.ip) === f) ?? [])
}

const relaysAmong = (present: readonly Presence[], today: WallTime): Presence[] =>
  present.filter((p) => (p.roles & ROLE_RELAY) !== 0 && p.expires * 1000 > today && relayEndpoints(p).length > 0)

const reaches = (end: Presence, relay: Presence): boolean =>
  nodeKey(end.node) !== nodeKey(relay.node) && relayEndpoints(relay).some((e) => reach(end, family(e.ip)) !== 'none')

function rank(relay: Presence, q: RelayQuestion): { readonly doubt: number; readonly millis: number } {
  const trips = q.ends.map((end) => tripOf(end, relay.node))
  const silent = trips.some((t) => t === NO_ANSWER)
  const doubt = q.suspect(nodeKey(relay.node)) ? 3 : silent ? 2 : relay.loadPercent >= FULL_PERCENT ? 1 : 0
  return { doubt, millis: trips.reduce((sum, t) => sum + t, 0) }
}

function tripOf(end: Presence, relay: NodeId): number {
  const reading = end.relays.find((x) => nodeKey(x.relay) === nodeKey(relay))
  return reading?.rttMillis ?? UNKNOWN_MILLIS
}

const order = (a: { key: string }, b: { key: string }): number => (a.key < b.key ? -1 : 1)
const MAX_OFFERS = 8
/** `relay-reading`: it did not answer. */
const NO_ANSWER = 65_535
/** What an unmeasured round trip counts as: across a continent, so that a measured near relay wins and a far one does not. */
const UNKNOWN_MILLIS = 100
const FULL_PERCENT = 90
/** A path moves to another relay only for a fifth and 10 ms: readings of one relay differ by less from minute to minute. */
const STAY_FACTOR = 1.2
const STAY_MILLIS = 10
