import { type Ip, ipBytes, isIp4 } from '#ntm-lib/addr/ip.ts'
import { hex } from '#ntm-lib/base/hex.ts'
import type { Instant } from '#ntm-lib/base/time.ts'

type Bucket = { tokens: number; at: Instant; slips: number }

/**
 * Response-rate limit per network of askers: a /24 or a /56, because a forged source usually aims at one. Beyond it
 * every second answer is only a truncated one, so that a true asker comes back over TCP, and the others are dropped.
 */
export class AnswerLimit {
  readonly #perSecond: number
  readonly #buckets = new Map<string, Bucket>()

  constructor(perSecond: number) {
    this.#perSecond = perSecond
  }

  take(from: Ip, now: Instant): 'answer' | 'slip' | 'drop' {
    const key = hex(ipBytes(from).subarray(0, isIp4(from) ? 3 : 7))
    const bucket = this.#buckets.get(key) ?? { tokens: this.#perSecond, at: now, slips: 0 }
    bucket.tokens = Math.min(this.#perSecond, bucket.tokens + ((now - bucket.at) * this.#perSecond) / 1000)
    bucket.at = now
    // Moved to the end: the first entry is then the one seen longest ago, and the only one ever pushed out.
    this.#buckets.delete(key)
    this.#buckets.set(key, bucket)
    const [oldest] = this.#buckets.keys()
    if (this.#buckets.size > MAX_BUCKETS && oldest !== undefined) this.#buckets.delete(oldest)
    if (bucket.tokens >= 1) {
      bucket.tokens--
      return 'answer'
    }
    return bucket.slips++ % 2 === 0 ? 'slip' : 'drop'
  }
}

const MAX_BUCKETS = 8192
