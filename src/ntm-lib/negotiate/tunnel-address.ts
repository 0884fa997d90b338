import { type Endpoint, sameEndpoint } from '../addr/endpoint.ts'
import { same } from '../base/bytes.ts'
import { after, type Instant, type Millis, sooner } from '../base/time.ts'
import { LIMITS, TIMERS } from './timers.ts'

/** A real address of the peer that speaks with its key but has not answered from there yet. */
export type Trial = {
  readonly to: Endpoint
  /** Names the allowance below, `MirroredAhead`. */
  readonly serial: number
  /** What it must send back, 8 bytes; the old address gets `oldNonce`. */
  readonly nonce: Uint8Array
  readonly oldNonce: Uint8Array
  readonly until: Instant
  /** The peer has settled there, not through the relay. */
  readonly straight: boolean
  /** When an answer may have come, and nothing is under way any more from where the peer was. */
  readonly awaitUntil: Instant
  /** Copies of the challenge sent, and when the next one goes. */
  readonly challenges: number
  readonly challengeAt: Instant | null
  readonly bytesIn: number
  /** What the negotiation sent there. */
  readonly bytesOut: number
  /** What packets may take of three times `bytesIn`; it only grows. */
  readonly granted: number
  /** The old address answered after the trial began. */
  readonly oldAnswered: boolean
}

/**
 * Where the peer is. It follows authenticated packets (SEED 003 §4: a moved terminal keeps its tunnels), but only to an
 * address that answers a challenge. `docs/protocol.md`, Moving; RFC 9000 §9.3 for the reasons.
 */
export type Address = {
  readonly current: Endpoint
  readonly trial: Trial | null
  /** No new trial before this: somebody forwards copies of our packets and lost the race. */
  readonly quietUntil: Instant
  /** Where it also speaks from; followed when it does so until then and never from the current one. */
  readonly waiting: { readonly from: Endpoint; readonly until: Instant } | null
  /** Where it was before: not followed back for a moment, nor without a challenge for some more. */
  readonly left: { readonly from: Endpoint; readonly aloneUntil: Instant; readonly doubtUntil: Instant } | null
}

/** A genuine datagram as the address sees it. */
export type HeardFrom = {
  readonly from: Endpoint
  readonly bytes: number
  /** It has the highest counter so far and is one to follow: no mere check, no answer to a question of ours. */
  readonly newest: boolean
  /** The peer says that it has settled there. */
  readonly use: boolean
  /** It answered us from there lately, or is our own relay: no trial is needed. */
  readonly proven: boolean
  /** It came through the relay. */
  readonly relayed: boolean
  /** Both ways work and we are the end that changes last: only when it speaks from there all the time. */
  readonly patient: boolean
}

export type AddressStep = {
  readonly address: Address
  /** Send challenge `nonce` to the trial's address, `oldNonce` to the current one. */
  readonly challenge: boolean
  readonly moved: boolean
}

export const settledAt = (current: Endpoint, now: Instant): Address => ({
  current,
  trial: null,
  quietUntil: now,
  waiting: null,
  left: null,
})

/** An authenticated datagram came. `chance` gives 22 random bytes; `rtt`: the path's, where it is known. */
export function onHeard(
  a: Address,
  h: HeardFrom,
  chance: () => Uint8Array,
  rtt: Millis | null,
  now: Instant,
): AddressStep {
  if (sameEndpoint(h.from, a.current)) {
    const back = h.newest && a.trial !== null && (a.trial.oldAnswered || now >= a.trial.awaitUntil)
    if (back) return stay({ ...a, trial: null, quietUntil: after(now, TIMERS.addressTrial.millis) })
    return stay(h.newest && a.waiting !== null ? { ...a, waiting: null } : a)
  }
  return fromElsewhere(counted(a, h), h, chance, rtt, now)
}

function fromElsewhere(
  a: Address,
  h: HeardFrom,
  chance: () => Uint8Array,
  rtt: Millis | null,
  now: Instant,
): AddressStep {
  if (!h.newest || (now < a.quietUntil && !h.use)) return stay(a)
  const left = a.left !== null && sameEndpoint(a.left.from, h.from) ? a.left : null
  if (left !== null && now < left.aloneUntil && !h.use) return stay(a)
  // Who moves says so on both kinds of way at once; straight is better, for as long as it may still be proven in one round trip.
  if (h.relayed && a.trial?.straight === true && now < a.trial.awaitUntil) return stay(a)
  if (h.proven && h.patient && !h.use) {
    const { waiting } = a
    if (waiting === null || !sameEndpoint(waiting.from, h.from)) {
      const until = after(now, Math.max(TIMERS.leftAlone.millis, 3 * (rtt ?? 0)) as Millis)
      return stay({ ...a, waiting: { from: h.from, until } })
    }
    if (now < waiting.until) return stay(a)
  }
  if (h.proven && (left === null || now >= left.doubtUntil || h.use)) return moveTo(a, h.from, rtt, now)
  if (a.trial !== null && sameEndpoint(h.from, a.trial.to)) return stay(a)
  return { address: { ...a, trial: begun(h, chance(), rtt, now) }, challenge: true, moved: false }
}

const counted = (a: Address, h: HeardFrom): Address =>
  a.trial !== null && sameEndpoint(h.from, a.trial.to) ? { ...a, trial: earned(a.trial, h.bytes) } : a

function begun(h: HeardFrom, random: Uint8Array, rtt: Millis | null, now: Instant): Trial {
  const trial: Trial = {
    to: h.from,
    serial: random.subarray(16, 22).reduce((n, b) => n * 256 + b, 0),
    nonce: random.slice(0, 8),
    oldNonce: random.slice(8, 16),
    until: after(now, TIMERS.addressTrial.millis),
    straight: h.use && !h.relayed,
    awaitUntil: after(now, rtt === null ? TIMERS.leftAlone.millis : ((2 * rtt) as Millis)),
    challenges: 1,
    challengeAt: after(now, TIMERS.challengeAgain.millis),
    bytesIn: 0,
    bytesOut: 0,
    granted: 0,
    oldAnswered: false,
  }
  return earned(trial, h.bytes)
}

/** A response frame with `nonce` came from `from`. */
export function onAnswered(
  a: Address,
  from: Endpoint,
  nonce: Uint8Array,
  rtt: Millis | null,
  now: Instant,
): AddressStep {
  if (a.trial === null) return stay(a)
  if (sameEndpoint(from, a.trial.to) && same(nonce, a.trial.nonce)) return moveTo(a, a.trial.to, rtt, now)
  // It went to the old address only, wherever the answer took its way.
  if (same(nonce, a.trial.oldNonce)) {
    return stay({ ...a, trial: { ...a.trial, oldAnswered: true } })
  }
  return stay(a)
}

/** Whether `bytes` more of the negotiation's may go to the address on trial; counts them when so. */
export function maySend(a: Address, bytes: number): Address | null {
  const t = a.trial
  if (t === null || t.granted + t.bytesOut + bytes > LIMITS.unprovenFactor * t.bytesIn) return null
  return { ...a, trial: { ...t, bytesOut: t.bytesOut + bytes } }
}

/** `challenge`: the trial's goes once more. */
export function addressClock(a: Address, now: Instant): AddressStep {
  const t = a.trial
  if (t === null) return stay(a)
  if (t.until <= now) return stay({ ...a, trial: null })
  if (t.challengeAt === null || now < t.challengeAt) return stay(a)
  const challenges = t.challenges + 1
  const challengeAt =
    challenges < LIMITS.trialChallenges ? after(now, (TIMERS.challengeAgain.millis * challenges) as Millis) : null
  return { address: { ...a, trial: { ...t, challenges, challengeAt } }, challenge: true, moved: false }
}

export const addressDeadline = (a: Address): Instant | null =>
  a.trial === null ? null : sooner(a.trial.until, a.trial.challengeAt)

/** Challenges are kept room for, so that what packets may use never shrinks. */
function earned(t: Trial, bytes: number): Trial {
  const bytesIn = t.bytesIn + bytes
  const left = LIMITS.unprovenFactor * bytesIn - Math.max(t.bytesOut, LIMITS.trialChallenges * CHALLENGE_BYTES)
  return { ...t, bytesIn, granted: Math.max(t.granted, left) }
}

function moveTo(a: Address, to: Endpoint, rtt: Millis | null, now: Instant): AddressStep {
  const aloneUntil = after(now, rtt ?? TIMERS.leftAlone.millis)
  const left = { from: a.current, aloneUntil, doubtUntil: after(now, TIMERS.addressTrial.millis) }
  return { address: { ...settledAt(to, now), left }, challenge: false, moved: true }
}

const stay = (address: Address): AddressStep => ({ address, challenge: false, moved: false })

/** Header, one challenge frame, tag. */
export const CHALLENGE_BYTES = 16 + 11 + 16
