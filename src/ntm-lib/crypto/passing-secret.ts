import { after, type Instant, seconds } from '../base/time.ts'
import type { CryptoSuite } from './suite.ts'

/**
 * A secret that is renewed every 120 s; the one before is honoured as long again. What is made with it proves that its holder received it
 * lately, and nothing is kept per holder.
 */
export class PassingSecret {
  readonly #suite: CryptoSuite
  #secret: Uint8Array
  #previous: Uint8Array | null = null
  #renewAt: Instant | null = null

  constructor(suite: CryptoSuite) {
    this.#suite = suite
    this.#secret = suite.random(32)
  }

  /** To make something with now. */
  current(now: Instant): Uint8Array {
    this.#renew(now)
    return this.#secret
  }

  /** Whether `proves` holds for one that is still honoured. */
  some(proves: (secret: Uint8Array) => boolean, now: Instant): boolean {
    this.#renew(now)
    return proves(this.#secret) || (this.#previous !== null && proves(this.#previous))
  }

  /** Counted from first use, and lazily: a secret that nobody uses has no timer. */
  #renew(now: Instant): void {
    if (this.#renewAt !== null && now < this.#renewAt) return
    if (this.#renewAt !== null) {
      this.#previous = now >= after(this.#renewAt, SECRET_LIFE) ? null : this.#secret
      this.#secret = this.#suite.random(32)
    }
    this.#renewAt = after(now, SECRET_LIFE)
  }
}

const SECRET_LIFE = seconds(120)
