import { after, type Instant, sooner } from '../base/time.ts'
import { LIMITS, TIMERS } from './timers.ts'

/** Bytes of halves that all paths of a node may keep together. */
export type HalvesBudget = { left: number }
export const halvesBudget = (): HalvesBudget => ({ left: LIMITS.halvesBytes })

type Half = { readonly which: 1 | 2; readonly bytes: Uint8Array; readonly until: Instant }

/**
 * Joins inner packets that came in two sealed halves. Halves of one packet have consecutive counters in one lane and
 * epoch, so the pair is named by the first one's. Only authenticated halves come here: nobody else can fill the table.
 */
export class Halves {
  readonly #waiting = new Map<string, Half>()
  readonly #budget: HalvesBudget

  constructor(budget: HalvesBudget) {
    this.#budget = budget
  }

  get size(): number {
    return this.#waiting.size
  }

  /** The whole packet when this half completes it; null while the other one is missing. Copies what it keeps. */
  take(which: 1 | 2, epoch: number, lane: number, counter: number, bytes: Uint8Array, now: Instant): Uint8Array | null {
    const key = `${epoch}.${lane}.${which === 1 ? counter : counter - 1}`
    const other = this.#waiting.get(key)
    if (other !== undefined) {
      this.#forget(key, other)
      if (other.which === which || other.until <= now) return null
      const [first, second] = which === 1 ? [bytes, other.bytes] : [other.bytes, bytes]
      const whole = new Uint8Array(first.length + second.length)
      whole.set(first)
      whole.set(second, first.length)
      return whole
    }
    this.sweep(now)
    if (this.#waiting.size >= LIMITS.halvesPerPath || bytes.length > this.#budget.left) this.#forgetOldest()
    if (bytes.length > this.#budget.left) return null
    this.#budget.left -= bytes.length
    this.#waiting.set(key, { which, bytes: new Uint8Array(bytes), until: after(now, TIMERS.halfPacket.millis) })
    return null
  }

  sweep(now: Instant): void {
    for (const [key, half] of this.#waiting) if (half.until <= now) this.#forget(key, half)
  }

  clear(): void {
    for (const [key, half] of this.#waiting) this.#forget(key, half)
  }

  deadline(): Instant | null {
    let first: Instant | null = null
    for (const half of this.#waiting.values()) first = sooner(first, half.until)
    return first
  }

  #forget(key: string, half: Half): void {
    if (this.#waiting.delete(key)) this.#budget.left += half.bytes.length
  }

  #forgetOldest(): void {
    for (const [key, half] of this.#waiting) {
      this.#forget(key, half)
      return
    }
  }
}

/** Where to cut an inner packet so that both halves are at most ⌈length / 2⌉. */
export const cutAt = (length: number): number => (length + 1) >> 1
