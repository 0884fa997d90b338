import { type Endpoint, sameEndpoint } from '../addr/endpoint.ts'
import { same } from '../base/bytes.ts'
import { after, type Instant } from '../base/time.ts'
import { LIMITS, TIMERS } from './timers.ts'

/** A real address of the peer that speaks with its key but has not answered from there yet. */
export type Trial = {
  readonly to: Endpoint
  /** What it must send back, 8 bytes; the old address gets `oldNonce`. */
  readonly nonce: Uint8Array
  readonly oldNonce: Uint8Array
  readonly until: Instant
  readonly bytesIn: number
  readonly bytesOut: number
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
}

export type AddressStep = {
  readonly address: Address
  /** Send challenge `nonce` to the trial's address, `oldNonce` to the current one. */
  readonly challenge: boolean
  readonly moved: boolean
}

export const settledAt = (current: Endpoint, now: Instant): Address => ({ current, trial: null, quietUntil: now })

/** An authenticated datagram of `bytes` came from `from`. `newest` = it has the highest counter so far. */
export function onHeard(
  a: Address,
  from: Endpoint,
  bytes: number,
  newest: boolean,
  nonces: () => Uint8Array,
  now: Instant,
): AddressStep {
  if (sameEndpoint(from, a.current)) {
    const back = newest && a.trial?.oldAnswered === true
    return stay(back ? { ...a, trial: null, quietUntil: after(now, TIMERS.addressTrial.millis) } : a)
  }
  if (a.trial !== null && sameEndpoint(from, a.trial.to)) {
    return stay({ ...a, trial: { ...a.trial, bytesIn: a.trial.bytesIn + bytes } })
  }
  if (!newest || now < a.quietUntil) return stay(a)
  const until = after(now, TIMERS.addressTrial.millis)
  const both = nonces()
  const [nonce, oldNonce] = [both.slice(0, 8), both.slice(8, 16)]
  const trial: Trial = { to: from, nonce, oldNonce, until, bytesIn: bytes, bytesOut: 0, oldAnswered: false }
  return { address: { ...a, trial }, challenge: true, moved: false }
}

/** A response frame with `nonce` came from `from`. */
export function onAnswered(a: Address, from: Endpoint, nonce: Uint8Array, now: Instant): AddressStep {
  if (a.trial === null) return stay(a)
  if (sameEndpoint(from, a.trial.to) && same(nonce, a.trial.nonce)) {
    return { address: settledAt(a.trial.to, now), challenge: false, moved: true }
  }
  if (sameEndpoint(from, a.current) && same(nonce, a.trial.oldNonce)) {
    return stay({ ...a, trial: { ...a.trial, oldAnswered: true } })
  }
  return stay(a)
}

/** Whether `bytes` more may go to the address on trial; counts them when so. */
export function maySend(a: Address, bytes: number): Address | null {
  const t = a.trial
  if (t === null || t.bytesOut + bytes > LIMITS.unprovenFactor * t.bytesIn) return null
  return { ...a, trial: { ...t, bytesOut: t.bytesOut + bytes } }
}

export const addressClock = (a: Address, now: Instant): Address =>
  a.trial !== null && a.trial.until <= now ? { ...a, trial: null } : a
export const addressDeadline = (a: Address): Instant | null => a.trial?.until ?? null

const stay = (address: Address): AddressStep => ({ address, challenge: false, moved: false })
