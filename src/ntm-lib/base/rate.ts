import { between, type Instant } from './time.ts'

/** A token bucket: `perSecond` on average, `burst` at once. For answers that a flood must not multiply. */
export class Rate {
  readonly #perSecond: number
  readonly #burst: number
  #tokens: number
  #last: Instant | null = null

  constructor(perSecond: number, burst: number) {
    this.#perSecond = perSecond
    this.#burst = burst
    this.#tokens = burst
  }

  /** Whether one more is allowed now. */
  take(now: Instant): boolean {
    const passed = this.#last === null ? 0 : between(this.#last, now)
    this.#tokens = Math.min(this.#burst, this.#tokens + (passed * this.#perSecond) / 1000)
    this.#last = now
    if (this.#tokens < 1) return false
    this.#tokens--
    return true
  }
}
