import { Expiring } from '../base/expiring.ts'
import { after, between, type Instant, type Millis, millis, sooner } from '../base/time.ts'
import type { Counters } from '../ports/counters.ts'
import { decodeMessage, encodeMessage } from '../wire/codec.ts'
import {
  type Envelope,
  EnvelopeJoiner,
  MAX_PART_BYTES,
  MAX_PARTS,
  splitBody,
  USUAL_PART_BYTES,
} from '../wire/envelope.ts'
import type { Message, Request, Response } from '../wire/message.ts'
import type { TransactionKey } from './control-events.ts'
import { TIMERS } from './timers.ts'

/** What one received envelope turned out to be. */
export type Delivery =
  | { readonly is: 'request'; readonly transaction: TransactionKey; readonly message: Request }
  | { readonly is: 'response'; readonly tag: string; readonly message: Response }

export type Taken = { readonly delivery: Delivery | null; readonly send: readonly Envelope[] }

type Pending = {
  readonly tag: string
  readonly envelopes: readonly Envelope[]
  readonly giveUpAt: Instant
  sentAt: Instant
  tries: number
  resendAt: Instant
}

/**
 * Requests and responses between two peers, over datagrams that get lost: retransmits with RTO = max(100 ms, 2 × SRTT),
 * answers duplicates from a cache, joins parts. Lives as long as the peer's identity, so a request survives the session
 * it was first sent in. `docs/wire.md`, Envelope.
 */
export class Transactions {
  readonly #boot: number
  readonly #counters: Counters
  readonly #pending = new Map<number, Pending>()
  readonly #answered = new Expiring<TransactionKey, readonly Envelope[] | null>(MAX_ANSWERS)
  readonly #joiner = new EnvelopeJoiner()
  #next = 1
  #srtt: Millis | null = null

  /** `boot` is a random 32-bit number of this start of the program: transaction numbers begin anew with it. */
  constructor(boot: number, counters: Counters) {
    this.#boot = boot
    this.#counters = counters
  }

  /** The envelopes of a new request. `tag` comes back with its response or in `expired`. */
  ask(tag: string, message: Request, timeout: Millis, now: Instant): readonly Envelope[] {
    const number = this.#next++
    const envelopes = this.#envelopes(message, this.#boot, number)
    this.#pending.set(number, {
      tag,
      envelopes,
      giveUpAt: after(now, timeout),
      sentAt: now,
      tries: 1,
      resendAt: after(now, this.#rto()),
    })
    return envelopes
  }

  /** Total: a hostile envelope is counted, and at most refused with something smaller. */
  take(envelope: Envelope, now: Instant): Taken {
    const key = `${envelope.boot}:${envelope.number}`
    if (!envelope.response) {
      const cached = this.#answered.get(key)
      // A duplicate of a request: answered again from the cache, or ignored while it is still worked on.
      if (cached !== undefined) {
        this.#counters.count('control.duplicate-request')
        return { delivery: null, send: cached ?? [] }
      }
    } else if (envelope.boot !== this.#boot || !this.#pending.has(envelope.number)) {
      this.#counters.count('control.late-response')
      return NOTHING
    }
    const whole = this.#joiner.take(envelope, now)
    if (whole === null) return NOTHING
    const decoded = decodeMessage(whole.code, whole.response, whole.refusal, whole.body)
    if (!decoded.ok) {
      this.#counters.count(`control.drop.${decoded.fault}`)
      // Only a kind we do not know is answered; damaged bodies inside a sealed packet are the peer's own bug.
      if (envelope.response || decoded.fault !== 'unknown-kind') return NOTHING
      return { delivery: null, send: this.#refuse(envelope) }
    }
    return envelope.response
      ? this.#onResponse(envelope.number, decoded.value as Response, now)
      : this.#onRequest(key, decoded.value as Request, now)
  }

  /** The envelopes that answer a delivered request; they are kept for duplicates. */
  answer(transaction: TransactionKey, message: Response, now: Instant): readonly Envelope[] {
    const [boot, number] = transaction.split(':').map(Number)
    const envelopes = this.#envelopes(message, boot ?? 0, number ?? 0)
    this.#answered.set(transaction, envelopes, after(now, TIMERS.responseCache.millis))
    return envelopes
  }

  /** Retransmissions that are due, and the tags of requests given up. */
  tick(now: Instant): { readonly send: readonly Envelope[]; readonly expired: readonly string[] } {
    this.#answered.sweep(now)
    const send: Envelope[] = []
    const expired: string[] = []
    for (const [number, p] of this.#pending) {
      if (p.giveUpAt <= now) {
        this.#pending.delete(number)
        expired.push(p.tag)
      } else if (p.resendAt <= now) {
        p.tries++
        p.resendAt = after(now, millis(Math.min(this.#rto() * 2 ** (p.tries - 1), TIMERS.requestMaxWait.millis)))
        this.#counters.count('control.retransmit')
        send.push(...p.envelopes)
      }
    }
    return { send, expired }
  }

  /** Everything still unanswered, to be sent at once in a fresh session. */
  resend(now: Instant): readonly Envelope[] {
    return [...this.#pending.values()].flatMap((p) => {
      p.resendAt = after(now, this.#rto())
      p.tries++
      return p.envelopes
    })
  }

  /** Whether any request waits for its response. */
  get waiting(): boolean {
    return this.#pending.size > 0
  }

  deadline(): Instant | null {
    let first = this.#answered.deadline()
    for (const p of this.#pending.values()) first = sooner(first, sooner(p.giveUpAt, p.resendAt))
    return first
  }

  #onRequest(key: TransactionKey, message: Request, now: Instant): Taken {
    this.#answered.set(key, null, after(now, TIMERS.responseCache.millis))
    return { delivery: { is: 'request', transaction: key, message }, send: [] }
  }

  #onResponse(number: number, message: Response, now: Instant): Taken {
    const p = this.#pending.get(number)
    if (p === undefined) return NOTHING
    this.#pending.delete(number)
    // Karn's rule: a retransmitted request's answer cannot be timed.
    if (p.tries === 1) this.#srtt = smoothed(this.#srtt, between(p.sentAt, now))
    return { delivery: { is: 'response', tag: p.tag, message }, send: [] }
  }

  #refuse(to: Envelope): readonly Envelope[] {
    const refusal: Response = { kind: 'refusal', code: 'unsupported', retryAfterMillis: 0, text: '' }
    return this.#envelopes(refusal, to.boot, to.number)
  }

  #envelopes(message: Message, boot: number, number: number): readonly Envelope[] {
    const { code, response, refusal, body } = encodeMessage(message)
    // Only a message that eight small parts cannot hold needs a path of 1280 bytes.
    const parts = splitBody(body, body.length <= MAX_PARTS * USUAL_PART_BYTES ? USUAL_PART_BYTES : MAX_PART_BYTES)
    return parts.map((part, i) => ({ code, response, refusal, boot, number, part: i, parts: parts.length, body: part }))
  }

  #rto(): Millis {
    return this.#srtt === null
      ? TIMERS.requestFirstWait.millis
      : millis(Math.max(TIMERS.requestMinWait.millis, 2 * this.#srtt))
  }
}

const smoothed = (srtt: Millis | null, sample: Millis): Millis =>
  srtt === null ? sample : millis((7 * srtt + sample) / 8)
const NOTHING: Taken = { delivery: null, send: [] }
const MAX_ANSWERS = 256
