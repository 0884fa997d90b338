import type { Endpoint } from '../addr/endpoint.ts'
import { pathId } from '../addr/ids.ts'
import { isIp4 } from '../addr/ip.ts'
import type { Via } from '../addr/via.ts'
import type { Instant } from '../base/time.ts'
import { checkLeg, signLeg } from '../crypto/relay-leg.ts'
import type { Header } from '../wire/header.ts'
import type { RelayLeg } from '../wire/messages/relay.ts'
import { decodeRelayLeg, encodeRelayLeg } from '../wire/relay-leg.ts'
import type { Path } from './paths.ts'
import { type LegInput, type LegPlace, legDue, legPlaces, legStep, noLeg } from './relay-leg.ts'
import { type Core, drop, send } from './tunnel-core.ts'

/** Takes up our leg at the path's relay, out of the best way of each family; nothing when it has none or is on it already. */
export function legStart(core: Core, path: Path, now: Instant): void {
  const { relay } = path.whereabouts
  if (relay === null || path.leg?.binding != null || path.leg?.bound != null) return
  const places = relay.endpoints.flatMap((e) => placeOf(core, path, e))
  step(core, path, relay, { in: 'bind', places }, now)
}

/** Binds anew out of `via` alone: the relay forwards to where we were until this one is proven. */
export function legRebind(core: Core, path: Path, via: Via | null, now: Instant): void {
  const { relay } = path.whereabouts
  if (relay === null) return
  const fits = (e: Endpoint): boolean => via === null || isIp4(via.ip) === isIp4(e.ip)
  const places = relay.endpoints.filter(fits).map((endpoint) => ({ endpoint, via }))
  step(core, path, relay, { in: 'bind', places }, now)
}

/** After `whereabouts` changed: another relay (or another key at it) is a new leg, none ends it. Whether the leg is another. */
export function legReplace(core: Core, path: Path, before: RelayLeg | null, now: Instant): boolean {
  const { relay } = path.whereabouts
  if (relay !== null && before !== null && core.suite.equal(relay.key, before.key)) return false
  const wasUp = path.leg !== null
  // The count goes on: nobody else tells us whether a relay has kept what it knew of an older leg of this path.
  path.leg = path.leg === null || relay === null ? null : noLeg(path.leg.seq)
  if (wasUp && relay !== null) legStart(core, path, now)
  return true
}

export function legClock(core: Core, path: Path, now: Instant): void {
  const { leg, whereabouts } = path
  const due = legDeadline(path)
  if (leg === null || whereabouts.relay === null || due === null || now < due) return
  step(core, path, whereabouts.relay, { in: 'clock' }, now)
}

export const legDeadline = (path: Path): Instant | null => (path.leg === null ? null : legDue(path.leg))

/** Sends a datagram for the peer through the relay; whether there was a way to. */
export function sendByLeg(core: Core, path: Path, bytes: Uint8Array): boolean {
  const places = path.leg === null ? [] : legPlaces(path.leg)
  for (const { endpoint, via } of places) send(core, endpoint, bytes, via)
  return places.length > 0
}

/**
 * A class 5 datagram about `path`; total. Returns the way to the relay when it has just been proven, and it is another than
 * before: who keeps ways is to be told.
 */
export function onRelayLeg(
  core: Core,
  path: Path,
  header: Header,
  from: Endpoint,
  bytes: Uint8Array,
  now: Instant,
): LegPlace | null {
  const { relay } = path.whereabouts
  const decoded = decodeRelayLeg(bytes)
  if (!decoded.ok) return dropped(core, decoded.fault)
  const d = decoded.value
  if (relay === null || path.leg === null) return dropped(core, 'no-leg')
  if (d.kind !== 'challenge' && d.kind !== 'notice') return dropped(core, 'unknown-kind')
  if (d.direction !== path.direction) return dropped(core, 'wrong-direction')
  if (!checkLeg(core.suite, relay.key, bytes, true)) return dropped(core, 'bad-tag')
  if (d.kind === 'notice') {
    core.counters.count(`ntm.leg.notice.${d.reason}`)
    step(core, path, relay, { in: 'notice', reason: d.reason, seq: d.seq }, now)
    return null
  }
  return step(core, path, relay, { in: 'challenge', from, id: header.id, seq: d.seq, cookie: d.cookie }, now)
}

function step(core: Core, path: Path, relay: RelayLeg, input: LegInput, now: Instant): LegPlace | null {
  const { leg, out } = legStep(path.leg ?? noLeg(), input, now)
  path.leg = leg
  let bound: LegPlace | null = null
  for (const o of out) {
    switch (o.out) {
      case 'bind': {
        core.counters.count('ntm.leg.bind')
        const words = { path: path.id, direction: path.direction, seq: o.seq, nonce: core.random.bytes(8), tag: NO_TAG }
        const bytes = signLeg(core.suite, relay.key, encodeRelayLeg({ kind: 'bind', ...words }), false)
        for (const { endpoint, via } of o.to) send(core, endpoint, bytes, via)
        break
      }
      case 'confirm': {
        const { id, seq, cookie, to } = o.confirm
        const words = { path: pathId(id), direction: path.direction, seq, cookie, tag: NO_TAG }
        const bytes = signLeg(core.suite, relay.key, encodeRelayLeg({ kind: 'confirm', ...words }), false)
        send(core, to.endpoint, bytes, to.via)
        break
      }
      case 'bound':
        core.counters.count('ntm.leg.bound')
        core.log.debug('tunnel.leg-bound', { path: path.label })
        bound = o.place
        break
      case 'lost':
        core.counters.count('ntm.leg.lost')
        core.log.info('tunnel.leg-lost', { path: path.label })
        break
      default:
        return o satisfies never
    }
  }
  return bound
}

/** The way to one endpoint: the path's own where it has the family, else our best of that family, or none. */
function placeOf(core: Core, path: Path, endpoint: Endpoint): readonly LegPlace[] {
  if (core.vias.length === 0) return [{ endpoint, via: null }]
  const fits = (v: Via): boolean => isIp4(v.ip) === isIp4(endpoint.ip)
  const via = path.via !== null && fits(path.via) ? path.via : core.vias.find(fits)
  return via === undefined ? [] : [{ endpoint, via }]
}

function dropped(core: Core, reason: string): null {
  drop(core, reason)
  return null
}

const NO_TAG = new Uint8Array(16)
