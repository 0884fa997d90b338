import { type Endpoint, sameEndpoint } from '../addr/endpoint.ts'
import type { Ip } from '../addr/ip.ts'
import type { Via } from '../addr/via.ts'
import { between, type Instant } from '../base/time.ts'
import { encodeFrames, type Frame } from '../wire/frames.ts'
import type { Path } from './paths.ts'
import { TIMERS } from './timers.ts'
import { type AddressStep, addressClock, CHALLENGE_BYTES, maySend, onAnswered, onHeard } from './tunnel-address.ts'
import type { Core } from './tunnel-core.ts'
import { sendFrames } from './tunnel-send.ts'
import { isOurRelay, waysFollowed } from './tunnel-ways.ts'
import { provenAt } from './ways.ts'

/** A genuine datagram of a path, as to where its peer is. */
export type Sign = {
  readonly from: Endpoint
  /** Length of the datagram, or of those of one burst. */
  readonly bytes: number
  /** The highest counter of its lane so far, in the epoch that seals. */
  readonly newest: boolean
  /** Null: it carried an inner packet. */
  readonly frames: readonly Frame[] | null
  /** Address of ours that it came to, where it is known. */
  readonly local?: Ip | undefined
}

/** Follows the peer to where it speaks from: at once within an allowance, wholly once it answers there. */
export function follow(core: Core, path: Path, sign: Sign, now: Instant): void {
  if (path.address === null) return
  const { from, bytes, frames } = sign
  // Nearly every packet: from where the peer is, with nothing in doubt.
  const { trial, waiting, current } = path.address
  if (trial === null && waiting === null && sameEndpoint(from, current)) return
  const use = frames?.some((f) => f.kind === 'check' && f.use) === true
  const newest = sign.newest && (frames === null || frames.some(isFollowed)) && !insists(path, use, now)
  const relayed = isOurRelay(path, from)
  const proven = isSure(path, from, now)
  // Two ends that each follow the other to where it was would change places for ever.
  const patient = path.role === 'opener' && isSure(path, path.address.current, now)
  const heard = { from, bytes, newest, use, proven, relayed, patient }
  after(
    core,
    path,
    onHeard(path.address, heard, () => core.random.bytes(22), path.rtt, now),
    now,
  )
}

/** Whether the peer is at `to` without a doubt: we asked there lately, or it is our own relay. */
const isSure = (path: Path, to: Endpoint, now: Instant): boolean =>
  isOurRelay(path, to) || (path.ways !== null && provenAt(path.ways, to, now))

/**
 * Whether the peer was followed to where it spoke from, or is about to be. A relay is where it is for both, and what is not followed for
 * any other reason than its age has been decided about.
 */
export function isHeeded(path: Path, { from, newest }: Sign): boolean {
  if (newest || path.address === null || isOurRelay(path, from)) return true
  const { current, trial } = path.address
  return sameEndpoint(current, from) || (trial !== null && sameEndpoint(trial.to, from))
}

/** A response frame came. */
export function onResponseFrame(core: Core, path: Path, from: Endpoint, nonce: Uint8Array, now: Instant): void {
  if (path.address !== null) after(core, path, onAnswered(path.address, from, nonce, path.rtt, now), now)
}

export function followClock(core: Core, path: Path, now: Instant): void {
  if (path.address !== null) after(core, path, addressClock(path.address, now), now)
}

/** Answers `from`, within what an address on trial may get. Out of `via`, or as the path goes. */
export function answer(
  core: Core,
  path: Path,
  frames: readonly Frame[],
  from: Endpoint,
  now: Instant,
  via?: Via | null,
): void {
  const trial = path.address?.trial ?? null
  if (path.address !== null && trial !== null && sameEndpoint(trial.to, from)) {
    const allowed = maySend(path.address, SEALED_BYTES + encodeFrames(frames).length)
    if (allowed === null) return
    path.address = allowed
  }
  sendFrames(core, path, frames, from, now, undefined, via)
}

/** A peer that asks or answers about ways is not followed there: it may only be trying them. */
function isFollowed(frame: Frame): boolean {
  switch (frame.kind) {
    case 'check':
      return frame.use
    case 'checked':
    case 'challenge':
    case 'response':
    case 'pong':
    case 'mtu-ack':
    case 'close':
      return false
    default:
      return true
  }
}

/**
 * We took a way that works, and the peer may not have heard of it: what it still sends elsewhere means nothing. When it took another at
 * the same moment, the opener's counts.
 */
function insists(path: Path, use: boolean, now: Instant): boolean {
  const { ways } = path
  if (ways === null || ways.tookAt === null || (use && path.role !== 'opener')) return false
  if (!ways.list.some((k) => k.worked !== null && sameEndpoint(k.to, ways.used.to))) return false
  return between(ways.tookAt, now) < Math.max(TIMERS.leftAlone.millis, 2 * (path.rtt ?? 0))
}

function after(core: Core, path: Path, step: AddressStep, now: Instant): void {
  path.address = step.address
  const { trial, current } = step.address
  if (step.moved) {
    core.counters.count('ntm.tunnel.moved')
    path.ahead = null
    return waysFollowed(core, path, now)
  }
  if (step.challenge && trial !== null) {
    if (trial.challenges === 1) core.counters.count('ntm.tunnel.address-trial')
    const allowed = maySend(step.address, CHALLENGE_BYTES)
    if (allowed !== null) {
      path.address = allowed
      sendFrames(core, path, [{ kind: 'challenge', nonce: trial.nonce }], trial.to, now)
    }
    sendFrames(core, path, [{ kind: 'challenge', nonce: trial.oldNonce }], current, now)
  }
  // Where it was it still is: nobody needs to be quicker than the proof.
  path.ahead = trial === null || trial.oldAnswered ? null : { serial: trial.serial, to: trial.to, bytes: trial.granted }
}

/** Header and tag. */
const SEALED_BYTES = 32
