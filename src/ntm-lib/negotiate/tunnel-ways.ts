import { type Endpoint, endpointText, sameEndpoint } from '../addr/endpoint.ts'
import { isIp4 } from '../addr/ip.ts'
import { sameVia, type Via } from '../addr/via.ts'
import type { Instant } from '../base/time.ts'
import type { CheckedFrame, CheckFrame, Frame } from '../wire/frames.ts'
import type { Path } from './paths.ts'
import { type LegPlace, legPlaces } from './relay-leg.ts'
import { settledAt } from './tunnel-address.ts'
import { type Core, touch } from './tunnel-core.ts'
import { startProbing } from './tunnel-probing.ts'
import { legRebind, legStart } from './tunnel-relay.ts'
import { sendFrames } from './tunnel-send.ts'
import type { Known, Offer, WayTo } from './way.ts'
import {
  answered,
  answeredOut,
  askedOn,
  content,
  followed,
  lastAsked,
  offer,
  onWay,
  peek,
  seekAny,
  seekBetter,
  taken,
  type WaysStep,
  waysDue,
  waysStep,
} from './ways.ts'

/** The path is open where it is: from now on its other ways are kept, and a better one is looked for. */
export function waysOpened(core: Core, path: Path, now: Instant): void {
  if (path.address === null) return
  path.keepsMapping = path.role === 'opener' || core.keepsMappings
  path.via = viaFor(core, path, path.address.current)
  const used = usedNow(core, path, path.address.current)
  path.ways = onWay(used, path.role === 'opener')
  // Both ends keep a leg standing by, so that nobody needs the coordinator when they move: even both at once.
  legStart(core, path, now)
  path.ways = seekBetter(offer(path.ways, offersOf(core, path)), seeds(core), now)
  if (used.kind === 'relay') core.out.push({ out: 'way', path, way: 'relay' })
}

/** The clock of checks. */
export function waysClock(core: Core, path: Path, now: Instant): void {
  if (path.ways === null) return
  // Something came after all: where we are is good enough.
  if (path.ways.aim === 'any' && path.ways.why === 'silence' && path.alive?.astray === false) {
    path.ways = seekBetter(content(path.ways), seeds(core), now)
  }
  const due = waysDue(path.ways)
  if (due !== null && due <= now) apply(core, path, waysStep(path.ways, seeds(core), now), now)
}

export const waysDeadline = (path: Path): Instant | null => (path.ways === null ? null : waysDue(path.ways))

/** Nothing has come from the peer for long: everything is tried at once. */
export function waysAstray(core: Core, path: Path, now: Instant): void {
  if (path.ways === null) return
  rebind(core, path, now)
  if (path.ways.aim === 'any') return
  path.ways = seekAny(offer(path.ways, offersOf(core, path)), 'silence', seeds(core), now)
  waysClock(core, path, now)
}

/**
 * Something about our ways out is different, though not by their names: another network may have given us the same address. What is in use
 * has to answer once more.
 */
export function waysDoubted(core: Core, path: Path, now: Instant): void {
  if (path.ways === null || path.ways.aim === 'any') return
  rebind(core, path, now)
  path.ways = seekAny(offer(path.ways, offersOf(core, path)), 'doubt', seeds(core), now)
  waysClock(core, path, now)
}

/** The relay forwards to us there now: the way through it may be used, and is when it was the one in use. */
export function onLegBound(core: Core, path: Path, place: LegPlace, now: Instant): void {
  const { ways, address } = path
  if (ways === null || address === null || !path.isOpen) return
  const way: Offer = { via: place.via, to: place.endpoint, kind: 'relay', rank: rankOf(core, 'relay', place.via) }
  const elsewhere = !sameVia(place.via, path.via) || !sameEndpoint(place.endpoint, address.current)
  path.ways = offer(ways, offersOf(core, path))
  // The old address is forwarded to no more: nothing to be asked first.
  if (ways.used.kind === 'relay' && elsewhere) take(core, path, way, now)
  else if (ways.aim === 'any') path.ways = seekAny(path.ways, ways.why, seeds(core), now)
  waysClock(core, path, now)
  touch(core, path, now)
}

/** The peer's whereabouts are new. What is in use is left alone while it works; asking opens our NAT for the peer either way. */
export function relocated(core: Core, path: Path, now: Instant): void {
  if (path.ways === null || !path.isOpen) return
  legStart(core, path, now)
  const { aim, why, used } = path.ways
  const ways = offer(path.ways, offersOf(core, path))
  if (aim === 'any') path.ways = seekAny(ways, why, seeds(core), now)
  else path.ways = used.kind === 'relay' ? seekBetter(ways, seeds(core), now) : peek(ways, seeds(core), now)
  waysClock(core, path, now)
  touch(core, path, now)
}

/** The ways out of our own are others: better ones are tried before anything is given up. */
export function waysRenewed(core: Core, path: Path, now: Instant): void {
  if (path.ways === null) return
  path.ways = seekBetter(offer(path.ways, offersOf(core, path)), seeds(core), now)
  waysClock(core, path, now)
}

/** We are elsewhere and nobody could prepare it: on from here with what we know, and everything else is tried at once. */
export function waysLost(core: Core, path: Path, to: Endpoint, seekAll: boolean, now: Instant): void {
  if (path.ways === null) return
  const used = usedNow(core, path, to)
  take(core, path, used, now)
  path.ways = offer(path.ways, offersOf(core, path))
  if (seekAll) path.ways = seekAny(path.ways, 'moved', seeds(core), now)
  waysClock(core, path, now)
}

/** The peer asks whether a way works; what is sent back there, and out of which of ours. `via`: where it came in, if that is known. */
export function onCheck(
  core: Core,
  path: Path,
  frame: CheckFrame,
  from: Endpoint,
  via: Via | null | undefined,
  now: Instant,
): { readonly frames: readonly Frame[]; readonly via: Via | null } {
  const checked: Frame = { kind: 'checked', nonce: frame.nonce, observed: from }
  const out = via !== undefined ? via : arrivedOn(core, path, from)
  const kind = kindOf(path, from)
  const wanted = path.ways !== null && !frame.use && (kind === 'relay' || mayGoDirect(path))
  if (path.ways === null || !wanted) return { frames: [checked], via: out }
  const way: Offer = { via: out, to: from, kind, rank: rankOf(core, kind, out) }
  const { ways, send } = askedOn(path.ways, way, seeds(core), now)
  path.ways = ways
  return { frames: [checked, ...send.map(checkFrame)], via: out }
}

/** An answer to a check of ours; the way it came back on, null when it is to nothing we asked. */
export function onChecked(core: Core, path: Path, frame: CheckedFrame, from: Endpoint, now: Instant): Known | null {
  if (path.ways === null) return null
  const step = answered(path.ways, frame.nonce, from, now)
  if (step.way?.worked != null && sameWayOf(path, step.way)) path.rtt = step.way.worked.rtt
  apply(core, path, step, now)
  return step.way
}

/** The peer was followed: `path.address` says where to. */
export function waysFollowed(core: Core, path: Path, now: Instant): void {
  if (path.address === null) return
  const to = path.address.current
  // A way that the kernel chose has no name and gives way to any that has one: where the peer answered us there, it has.
  path.via = viaFor(core, path, to) ?? (path.ways === null ? null : answeredOut(path.ways, to, now))
  const before = path.ways?.used.kind ?? 'direct'
  if (path.ways !== null) {
    path.ways = followed(offer(path.ways, offersOf(core, path)), usedNow(core, path, to))
    path.ways = seekBetter(path.ways, seeds(core), now)
  }
  changed(core, path, before, now)
}

/** Whether our leg at the relay is there: what comes from it needs no proof. */
export const isOurRelay = (path: Path, from: Endpoint): boolean =>
  path.leg !== null && legPlaces(path.leg).some((p) => sameEndpoint(p.endpoint, from))

/**
 * Out of which of ours `to` is reached: the one that leads to the relay, or the path's own where it fits. Else the kernel chooses, which
 * knows more routes than we do, until the best of ours has been answered there.
 */
export function viaFor(core: Core, path: Path, to: Endpoint): Via | null {
  const leg = path.leg === null ? undefined : legPlaces(path.leg).find((p) => sameEndpoint(p.endpoint, to))
  if (leg !== undefined) return leg.via
  const fits = (v: Via): boolean => isIp4(v.ip) === isIp4(to.ip)
  if (path.via !== null && fits(path.via) && core.vias.some((v) => sameVia(v, path.via))) return path.via
  return null
}

/** The relay may know us at an address that is not ours any more. */
function rebind(core: Core, path: Path, now: Instant): void {
  const [place] = path.leg === null ? [] : legPlaces(path.leg)
  if (place === undefined) legStart(core, path, now)
  else legRebind(core, path, place.via, now)
}

function take(core: Core, path: Path, way: Offer, now: Instant): void {
  if (path.ways === null || path.address === null) return
  const before = path.ways.used.kind
  // The kernel's choice has a name now; most likely nothing else is different.
  const named = path.via === null && sameEndpoint(path.address.current, way.to)
  path.via = way.via
  path.address = settledAt(way.to, now)
  path.ahead = null
  path.ways = taken(path.ways, way, seeds(core), now)
  if (named) return touch(core, path, now)
  core.counters.count('ntm.tunnel.way-taken')
  changed(core, path, before, now)
}

function changed(core: Core, path: Path, before: WayTo['kind'], now: Instant): void {
  const at = path.address === null ? '' : endpointText(path.address.current)
  const way = path.ways?.used.kind ?? before
  core.log.info('tunnel.moved', { path: path.label, way })
  core.log.debug('tunnel.address', { path: path.label, at })
  startProbing(core, path, now)
  if (way !== before) core.out.push({ out: 'way', path, way })
  touch(core, path, now)
}

function apply(core: Core, path: Path, step: WaysStep, now: Instant): void {
  path.ways = step.ways
  for (const copy of step.send) {
    core.counters.count('ntm.tunnel.check')
    sendFrames(core, path, [checkFrame(copy)], copy.way.to, now, undefined, copy.way.via)
  }
  if (step.take === null) return
  if (step.take.worked !== null) path.rtt = step.take.worked.rtt
  take(core, path, step.take, now)
  waysClock(core, path, now)
}

/** Everything that may be tried: the relay, where the peer is and was heard, and where it is said to be, out of each of ours. */
function offersOf(core: Core, path: Path): Offer[] {
  const offers: Offer[] = []
  for (const { endpoint: to, via } of path.leg === null ? [] : legPlaces(path.leg))
    offers.push({ via, to, kind: 'relay', rank: rankOf(core, 'relay', via) })
  const heard = path.ways?.list.filter((k) => k.kind === 'direct' && k.worked !== null).map((k) => k.to) ?? []
  const current = path.address === null ? [] : [path.address.current]
  for (const to of [...current, ...(mayGoDirect(path) ? [...heard, ...path.candidates] : [])]) {
    if (kindOf(path, to) === 'relay') continue
    const least = isToBeNamed(core, path) && !current.some((c) => sameEndpoint(c, to)) ? UNNAMED : 0
    for (const via of viasTo(core, to))
      offers.push({ via, to, kind: 'direct', rank: Math.max(least, rankOf(core, 'direct', via)) })
  }
  return offers
}

/**
 * The kernel chose how the peer is reached, and most likely by the first of our interfaces: only an answer from the same place gives that way its
 * name. Any other place of the peer, even one that it has just left, would be better by having one.
 */
const isToBeNamed = ({ vias }: Core, { via, address }: Path): boolean =>
  via === null &&
  address !== null &&
  vias.some((v) => v.ifindex === vias[0]?.ifindex && isIp4(v.ip) === isIp4(address.current.ip))

/** With `seed` a path that the coordinator sends through a relay looks for no other way (SEED 002 §3.3). */
const mayGoDirect = ({ whereabouts }: Path): boolean => whereabouts.optimise === 'ice' || whereabouts.way === 'direct'

const kindOf = (path: Path, to: Endpoint): WayTo['kind'] =>
  path.whereabouts.relay?.endpoints.some((e) => sameEndpoint(e, to)) === true ? 'relay' : 'direct'

function viasTo(core: Core, to: Endpoint): readonly (Via | null)[] {
  return core.vias.length === 0 ? [null] : core.vias.filter((v) => isIp4(v.ip) === isIp4(to.ip))
}

/** Direct before relay, then in the order of our interfaces; what the kernel chooses may be had better out of the first of them only. */
function rankOf(core: Core, kind: WayTo['kind'], via: Via | null): number {
  const base = kind === 'relay' ? RELAYED : 0
  if (core.vias.length === 0) return base
  if (via === null) return base + UNNAMED
  const interfaces = [...new Set(core.vias.map((v) => v.ifindex))]
  const listed = core.vias.some((v) => sameVia(v, via))
  return base + (listed ? interfaces.indexOf(via.ifindex) : interfaces.length)
}

const usedNow = (core: Core, path: Path, to: Endpoint): Offer => {
  const kind = kindOf(path, to)
  return { via: path.via, to, kind, rank: rankOf(core, kind, path.via) }
}

const arrivedOn = (core: Core, path: Path, from: Endpoint): Via | null => {
  const asked = path.ways === null ? null : lastAsked(path.ways, from)
  return asked === null ? viaFor(core, path, from) : asked.via
}

const sameWayOf = (path: Path, way: WayTo): boolean =>
  path.address !== null && sameEndpoint(path.address.current, way.to) && sameVia(path.via, way.via)

const checkFrame = ({ nonce, use }: { readonly nonce: Uint8Array; readonly use: boolean }): Frame => ({
  kind: 'check',
  nonce,
  use,
  zeros: 0,
})

const seeds = (core: Core) => (): Uint8Array => core.random.bytes(7)
const RELAYED = 1000
const UNNAMED = 0.5
