import { type Endpoint, sameEndpoint } from '../addr/endpoint.ts'
import { isIp4 } from '../addr/ip.ts'
import { sameVia, type Via } from '../addr/via.ts'
import { between, type Instant } from '../base/time.ts'
import type { Frame } from '../wire/frames.ts'
import type { Whereabouts } from '../wire/messages/direction.ts'
import type { Path } from './paths.ts'
import { type LegPlace, legPlaces } from './relay-leg.ts'
import { LIMITS, TIMERS } from './timers.ts'
import { type Core, touch } from './tunnel-core.ts'
import { legRebind, legReplace, legStart } from './tunnel-relay.ts'
import { sendFrames } from './tunnel-send.ts'
import { setupRelocated } from './tunnel-setup.ts'
import { relocated, viaFor, waysDoubted, waysLost, waysRenewed } from './tunnel-ways.ts'

/**
 * Our own ways out are these now, best first per family. A path on a way that stays but is no longer the best tries the better one first
 * and changes when it was answered there; a path on a way that is gone goes on from the best at once (SEED 003 §4).
 */
export function viasChanged(core: Core, vias: readonly Via[], now: Instant): void {
  core.vias = vias
  for (const path of core.paths.all()) {
    if (path.isOpen && path.address !== null && path.ways !== null) onVias(core, path, now)
    else path.via = null
    touch(core, path, now)
  }
}

/** Fresh word of where the peer is; false when it is older than what is known. */
export function relocate(core: Core, path: Path, whereabouts: Whereabouts, now: Instant): boolean {
  const before = path.whereabouts
  if (whereabouts.peerLocationVersion < before.peerLocationVersion) return false
  path.whereabouts = whereabouts
  if (whereabouts.peerCandidates.length > 0) {
    const best = whereabouts.peerCandidates.toSorted((a, b) => b.priority - a.priority).map((c) => c.endpoint)
    path.candidates = best.filter((e, i) => best.findIndex((o) => sameEndpoint(o, e)) === i)
  }
  legReplace(core, path, before.relay, now)
  if (path.isOpen) relocated(core, path, now)
  else setupRelocated(core, path, now)
  touch(core, path, now)
  return true
}

function onVias(core: Core, path: Path, now: Instant): void {
  const own = path.via ?? path.adrift
  if (core.vias.length === 0) {
    path.adrift = own
    path.via = null
    return
  }
  // Back after a time without any: nobody knows whether it is the same network, whatever the address.
  const stays = path.adrift === null && own !== null && core.vias.some((v) => sameVia(v, own))
  path.adrift = null
  // Nobody knew where we were, and the kernel chose as we would now.
  if (own === null) path.via = path.address === null ? null : viaFor(core, path, path.address.current)
  else if (!stays) return unplanned(core, path, now)
  else path.via = own
  rebindToBest(core, path, now)
  waysRenewed(core, path, now)
  const isBest = own !== null && sameVia(core.vias.find((v) => isIp4(v.ip) === isIp4(own.ip)) ?? null, own)
  if (isBest && wanted(core, path, now)) waysDoubted(core, path, now)
}

/** Thousands of idle paths do not all ask everywhere: whoever wants something of them will. */
const wanted = (core: Core, path: Path, now: Instant): boolean =>
  usedLately(path, now) || core.paths.size <= LIMITS.seekAllPaths

const usedLately = (path: Path, now: Instant): boolean =>
  path.alive !== null && between(path.alive.lastInner, now) < TIMERS.wayFresh.millis

/** A leg on another way than the best is moved to the best: at the relay both are good until the new one is proven. */
function rebindToBest(core: Core, path: Path, now: Instant): void {
  if (path.leg === null) return legStart(core, path, now)
  const via = legVia(core, path)
  const bound = legPlaces(path.leg)
  if (via !== null && !bound.some((p) => sameVia(p.via, via))) legRebind(core, path, via, now)
}

/** The way that we were on is gone: everything goes on from the best that is left, under another Path ID, and is said there at once. */
function unplanned(core: Core, path: Path, now: Instant): void {
  if (path.address === null || path.ways === null) return
  core.counters.count('ntm.tunnel.own-move')
  const ids = path.contract.pathIds
  path.id = ids[(ids.indexOf(path.id) + 1) % ids.length] ?? path.id
  const relayVia = legVia(core, path)
  if (path.leg === null) legStart(core, path, now)
  else if (relayVia !== null) legRebind(core, path, relayVia, now)
  const place = firstPlace(core, path, path.address.current)
  path.via = place.via
  waysLost(core, path, place.endpoint, wanted(core, path, now), now)
  if (usedLately(path, now) && path.via !== null) pads(core, path, now)
}

/**
 * Where we are heard most likely, out of which of ours: through the relay when that was the way or is the one expected, else where the peer
 * is, else at a place it is said to be of a family that we have.
 */
function firstPlace(core: Core, path: Path, current: Endpoint): LegPlace {
  const [relay] = path.leg === null ? [] : legPlaces(path.leg)
  const { optimise, way } = path.whereabouts
  if (relay !== undefined && (path.ways?.used.kind === 'relay' || way === 'relay')) return relay
  const places = [current, ...(way === 'direct' || optimise === 'ice' ? path.candidates : [])]
  for (const endpoint of places) {
    const via = core.vias.find((v) => isIp4(v.ip) === isIp4(endpoint.ip))
    if (via !== undefined) return { endpoint, via }
  }
  return relay ?? { endpoint: current, via: null }
}

/** What the peer may send here before this address is proven is three times what came from it: make it worth something. */
function pads(core: Core, path: Path, now: Instant): void {
  if (path.address === null) return
  for (let i = 0; i < LIMITS.movePads; i++) {
    const frame: Frame = { kind: 'check', nonce: core.random.bytes(8), use: true, zeros: LIMITS.movePadBytes }
    sendFrames(core, path, [frame], path.address.current, now)
  }
}

/** The best of our ways out that leads to the relay; null when none does, or none is known. */
function legVia(core: Core, path: Path): Via | null {
  const endpoints = path.whereabouts.relay?.endpoints ?? []
  return core.vias.find((v) => endpoints.some((e) => isIp4(e.ip) === isIp4(v.ip))) ?? null
}
