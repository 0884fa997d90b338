import { between, type Instant } from '../base/time.ts'
import { LIMITS, TIMERS } from './timers.ts'

/** Counts what strangers made us do in the current second. */
export class ControlLoad {
  #from: Instant | null = null
  #hellos = 0
  #resets = 0

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

  #roll(now: Instant): void {
    if (this.#from !== null && between(this.#from, now) < TIMERS.loadWindow.millis) return
    this.#from = now
    this.#hellos = 0
    this.#resets = 0
  }
}
