import { type WallTime, wallTime } from '../base/time.ts'
import { decodeSignedCertificate } from '../wire/certificate.ts'

/** What a box has to go by, in milliseconds. */
export type TimeSources = {
  /** Its own clock. */
  readonly own: WallTime
  /** A moment that has certainly passed: `floorOf`. */
  readonly floor: WallTime
  /** The coordinator's clock, carried on by a monotonic one since the coordinator last told it; null before it did. */
  readonly coordinator: WallTime | null
}

/**
 * The time by which certificates are judged; null when the box knows none: then nothing is too early, and only the floor makes things too late
 * (`verifyChain`). Its own clock counts unless it shows less than what has certainly passed (a board without a battery), or its coordinator's
 * differs: one of the two is wrong, and whichever it is, nobody is locked out by it.
 */
export function trustedTime({ own, floor, coordinator }: TimeSources): WallTime | null {
  if (own < floor) return null
  return coordinator !== null && Math.abs(own - coordinator) > APART_MS ? null : own
}

/**
 * What has certainly passed: when the program was built, and when the root signed the box's membership or its signer. Not what an issuer says: its clock
 * may have jumped ahead, and a floor in the future locks the box out.
 */
export function floorOf(builtAt: WallTime, chain: readonly Uint8Array[]): WallTime {
  const last = chain.at(-1)
  const top = last === undefined ? null : decodeSignedCertificate(last)
  return wallTime(Math.max(builtAt, top?.ok === true ? top.value.certificate.issued * 1000 : 0))
}

/** Clocks that nobody keeps drift by seconds a day; memberships live for months. */
const APART_MS = 10 * 60 * 1000
