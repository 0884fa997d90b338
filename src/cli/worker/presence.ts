import { after, between, type Instant, millis } from '#ntm-lib/base/time.ts'
import type { Clock } from '#ntm-lib/ports/machine.ts'

/**
 * Notices that this thread was away (frozen, or busy with one thing) for so long that the diversion may have lapsed. What waited at
 * the TAP meanwhile is passed on, but for a moment nothing is asked of our own: until the rules are armed again the answers
 * would go to the host, which never asked.
 */
export class Presence {
  readonly #clock: Clock
  readonly #timer: NodeJS.Timeout
  #seen: Instant
  #quietUntil: Instant

  constructor(clock: Clock) {
    this.#clock = clock
    this.#seen = this.#quietUntil = clock.now()
    this.#timer = setInterval(() => this.isQuiet(this.#clock.now()), TURN_MS)
  }

  /** Whether it is too early to ask anything. To be asked before the frames of a turn are judged, too. */
  isQuiet(now: Instant): boolean {
    if (between(this.#seen, now) > AWAY) this.#quietUntil = after(now, QUIET)
    this.#seen = now
    return now < this.#quietUntil
  }

  /** Another thread was away. */
  hush(now: Instant): void {
    this.#quietUntil = after(now, QUIET)
  }

  stop(): void {
    clearInterval(this.#timer)
  }
}

const TURN_MS = 250
/** The rules stay armed for three seconds after a refresh, and are refreshed each second. */
const AWAY = millis(1900)
/** By then they are armed again. */
const QUIET = millis(1000)
