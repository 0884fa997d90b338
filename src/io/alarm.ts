import type { Instant } from '#ntm-lib/base/time.ts'
import type { Clock } from '#ntm-lib/ports/machine.ts'

/**
 * The one timer of a machine: `set` it to the machine's deadline after every touch. Cheap to set again and again, as a packet
 * path does: a timer that would fire too early is kept and asks again, only an earlier deadline makes a new one.
 */
export class Alarm {
  readonly #clock: Clock
  readonly #ring: () => void
  #timer: NodeJS.Timeout | undefined
  #due: Instant | null = null
  /** When the running timer fires; Infinity when none runs. */
  #fires = Number.POSITIVE_INFINITY
  #stopped = false

  /** `ring` is called once for each deadline that has come, never before it. */
  constructor(clock: Clock, ring: () => void) {
    this.#clock = clock
    this.#ring = ring
  }

  /** Replaces the deadline; null while nothing is pending. */
  set(due: Instant | null): void {
    this.#due = due
    if (due !== null && due < this.#fires && !this.#stopped) this.#arm(due)
  }

  /** It never rings again. */
  stop(): void {
    this.#stopped = true
    this.#due = null
    this.#fires = Number.POSITIVE_INFINITY
    clearTimeout(this.#timer)
  }

  #arm(due: Instant): void {
    clearTimeout(this.#timer)
    // Rounded up: a timer that fires a fraction of a millisecond early would find nothing due and spin.
    const wait = Math.min(LONGEST_TIMER_MS, Math.max(0, Math.ceil(due - this.#clock.now())))
    this.#fires = due
    this.#timer = setTimeout(() => {
      this.#fires = Number.POSITIVE_INFINITY
      const now = this.#due
      if (now === null) return
      if (now > this.#clock.now()) return this.#arm(now)
      this.#due = null
      this.#ring()
    }, wait)
  }
}

/** setTimeout counts in 31 bits; a later deadline is simply asked for again. */
const LONGEST_TIMER_MS = 2 ** 31 - 1
