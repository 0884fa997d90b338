import { invariant } from '../base/invariant.ts'
import { after, type Instant, sooner } from '../base/time.ts'
import type { OpenKey, SealKey } from '../crypto/seal.ts'
import type { MirroredEpoch } from './mirror.ts'
import { TIMERS } from './timers.ts'

/** The keys of one epoch, both directions. */
export type Slot = {
  readonly epoch: number
  readonly seal: SealKey
  readonly open: OpenKey
  readonly born: Instant
  /** Whether we began the handshake that made it; the other end owes it key confirmation. */
  readonly initiated: boolean
  /** Answered by us and not proven, it may seal all the same: nothing of its contract can have been recorded before (D-0008). */
  readonly early: boolean
  /** The same keys for packet workers; null when there are none. Forgotten with the slot. */
  readonly keys: MirroredEpoch | null
}

/**
 * The three epochs a path may hold: `cur` seals, `prev` still opens what is under way, `next` was answered by us and waits for
 * a packet that proves that the peer has it too. Epochs only rise.
 */
export type Epochs = { readonly prev: Slot | null; readonly cur: Slot | null; readonly next: Slot | null }

export const noEpochs: Epochs = { prev: null, cur: null, next: null }

/** Our own request was answered: the peer has the keys, so they seal at once. */
export function initiated(e: Epochs, slot: Slot): Epochs {
  invariant(e.cur === null || slot.epoch > e.cur.epoch, 'epochs rise')
  const next = e.next !== null && e.next.epoch > slot.epoch ? e.next : null
  return { prev: e.cur ?? e.prev, cur: slot, next }
}

/**
 * We answered the peer's request. A newer answer for the same or a later epoch takes the place of an unproven one. Only the first
 * epoch of a path may be `early`.
 */
export function answered(e: Epochs, answer: Slot, early = false): Epochs {
  const slot = early ? { ...answer, early } : answer
  invariant(!early || e.cur === null, 'only the first epoch is early')
  invariant(e.cur === null || slot.epoch > e.cur.epoch, 'epochs rise')
  return { ...e, next: slot }
}

/** A genuine packet came in `epoch`: from now on it seals, when it was the unproven one. */
export function heard(e: Epochs, epoch: number): Epochs {
  return e.next?.epoch === epoch ? { prev: e.cur ?? e.prev, cur: e.next, next: null } : e
}

export function slotOf(e: Epochs, epoch: number): Slot | null {
  if (e.cur?.epoch === epoch) return e.cur
  if (e.next?.epoch === epoch) return e.next
  return e.prev?.epoch === epoch ? e.prev : null
}

/** The slot that may seal now; null when there is none or it is too old. */
export function sealing(e: Epochs, now: Instant): Slot | null {
  const slot = sealer(e)
  return slot !== null && now < after(slot.born, TIMERS.keyStop.millis) ? slot : null
}

/** The slot that seals as long as it is young enough. */
export const sealer = (e: Epochs): Slot | null => e.cur ?? (e.next?.early === true ? e.next : null)

/** The epoch to propose; null when the 16 bits are used up and the path must be made anew. */
export function proposal(e: Epochs): number | null {
  const highest = Math.max(e.cur?.epoch ?? 0, e.next?.epoch ?? 0)
  return highest < 0xffff ? highest + 1 : null
}

/** Whether a peer may still propose `epoch`: it must be ahead of what seals and not behind what was already answered. */
export const acceptable = (e: Epochs, epoch: number): boolean =>
  epoch > (e.cur?.epoch ?? 0) && epoch >= (e.next?.epoch ?? 0)

/** Erases what is too old to open anything. */
export function expire(e: Epochs, now: Instant): Epochs {
  const alive = (s: Slot | null): Slot | null => (s !== null && now < after(s.born, TIMERS.keyErase.millis) ? s : null)
  const [prev, cur, next] = [alive(e.prev), alive(e.cur), alive(e.next)]
  return prev === e.prev && cur === e.cur && next === e.next ? e : { prev, cur, next }
}

export function epochsDeadline(e: Epochs): Instant | null {
  let first: Instant | null = null
  for (const s of [e.prev, e.cur, e.next]) if (s !== null) first = sooner(first, after(s.born, TIMERS.keyErase.millis))
  return first
}
