import { after, type Instant } from '../base/time.ts'
import { resetToken } from '../crypto/schedule.ts'
import type { CryptoSuite } from '../crypto/suite.ts'
import { setU48 } from '../wire/header.ts'
import { encodeReset, RESET_BYTES } from '../wire/reset.ts'
import { LIMITS, TIMERS } from './timers.ts'

/** What this box tells its peer inside the handshake and may show after a crash; the same for the same Path ID, for ever. */
export function pathResetToken(suite: CryptoSuite, resetSecret: Uint8Array, pathId: number): Uint8Array {
  const id = new Uint8Array(6)
  setU48(new DataView(id.buffer), 0, pathId)
  return resetToken(suite, resetSecret, 'path', id)
}

/**
 * Answers datagrams on paths nobody here knows: never more bytes than came, and few per second over all senders, because
 * the sender's address proves nothing.
 */
export class ResetMaker {
  readonly #suite: CryptoSuite
  readonly #secret: Uint8Array
  #windowEnd: Instant | null = null
  #sent = 0

  /** `secret`: 32 bytes that outlive the process. */
  constructor(suite: CryptoSuite, secret: Uint8Array) {
    this.#suite = suite
    this.#secret = secret
  }

  /** The token peers are told for one of our Path IDs. */
  token(pathId: number): Uint8Array {
    return pathResetToken(this.#suite, this.#secret, pathId)
  }

  /** A Reset of 32 bytes, or null when the question was smaller or enough were sent this second. */
  answer(pathId: number, questionBytes: number, now: Instant): Uint8Array | null {
    if (questionBytes < RESET_BYTES) return null
    if (this.#windowEnd === null || now >= this.#windowEnd) {
      this.#windowEnd = after(now, TIMERS.loadWindow.millis)
      this.#sent = 0
    }
    if (this.#sent >= LIMITS.resetsPerSecond) return null
    this.#sent++
    return encodeReset({ about: 'path', id: pathId, token: this.token(pathId) })
  }
}
