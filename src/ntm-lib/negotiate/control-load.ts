import { Expiring } from '../base/expiring.ts'
import { after, between, type Instant } from '../base/time.ts'
import { LIMITS, TIMERS } from './timers.ts'

/** Counts what strangers made us do in the current second, and keeps them from filling the log. */
export class ControlLoad {
  #from: Instant | null = null
  #hellos = 0
  #resets = 0
  readonly #told = new Expiring<string, true>(LIMITS.strangersTold)

  /** Counts one Hello; true when there were so many that callers must prove their address first. */
  busy(now: Instant): boolean {
    this.#roll(now)
    return this.#hellos++ >= LIMITS.handshakesPerWindow
  }

  /** Counts one reset; false when enough were sent. */
  mayReset(now: Instant): boolean {
    this.#roll(now)
    return this.#resets++ < LIMITS.resetsPerSecond
  }

  /** Whether the log may be told of this stranger: each once in a while, and not too many of them. */
  mayTell(who: string, now: Instant): boolean {
    this.#told.sweep(now)
    if (this.#told.get(who) !== undefined || this.#told.size >= LIMITS.strangersTold) return false
    this.#told.set(who, true, after(now, TIMERS.strangerTold.millis))
    return true
  }

  #roll(now: Instant): void {
    if (this.#from !== null && between(this.#from, now) < TIMERS.loadWindow.millis) return
    this.#from = now
    this.#hellos = 0
    this.#resets = 0
  }
}
