import { concat } from '../base/bytes.ts'
import { type Decoded, ok, refuse } from '../base/decoded.ts'
import { invariant } from '../base/invariant.ts'
import { after, type Instant, type Millis, seconds } from '../base/time.ts'
import { type Field, type Fields, readFields, u8, u16, u32, writeFields } from './field.ts'
import { HEADER_BYTES } from './header.ts'
import { Reader } from './reader.ts'
import { Writer } from './writer.ts'

/** Largest UDP payload of every class but 4: fits IPv6's smallest MTU, 1280 − 40 − 8. RFC 8200 §5. */
export const MAX_DATAGRAM_BYTES = 1232
export const ENVELOPE_HEADER_BYTES = 14
/** What one sealed control datagram holds: without header and tag. */
export const MAX_ENVELOPES_BYTES = MAX_DATAGRAM_BYTES - HEADER_BYTES - 16
/** What is left of it for the body of one envelope. */
export const MAX_PART_BYTES = MAX_ENVELOPES_BYTES - ENVELOPE_HEADER_BYTES
/**
 * What a sender puts into one datagram while it can: fits the smallest IPv4 path that tunnels are promised on, 700 bytes, less
 * 20 + 8 of IP and UDP, header and tag. Outer packets are never fragmented, and control has no path MTU search.
 */
export const USUAL_ENVELOPES_BYTES = 700 - 28 - HEADER_BYTES - 16
export const USUAL_PART_BYTES = USUAL_ENVELOPES_BYTES - ENVELOPE_HEADER_BYTES
export const MAX_PARTS = 8
/** Largest body of a message. */
export const MAX_BODY_BYTES = MAX_PARTS * MAX_PART_BYTES

/** One message, or one part of it, inside a sealed control datagram. */
export type Envelope = {
  /** Row of the message table, `wire/codec.ts`. */
  readonly code: number
  readonly response: boolean
  /** Only with `response`. */
  readonly refusal: boolean
  /** Random per start of the asking program; with `number` it names the transaction. */
  readonly boot: number
  readonly number: number
  /** 0 … parts − 1. */
  readonly part: number
  /** 1 … 8. */
  readonly parts: number
  readonly body: Uint8Array
}

/** Several envelopes one after the other: the plain text of a class 2 datagram. */
export function encodeEnvelopes(list: readonly Envelope[]): Uint8Array {
  const w = new Writer()
  for (const e of list) {
    invariant(fits(e), `envelope part ${e.part} of ${e.parts}, ${e.body.length} bytes`)
    const flags = (e.response ? RESPONSE_BIT : 0) | (e.refusal ? REFUSAL_BIT : 0)
    writeFields(envelopeHeader, w, { ...e, flags, length: e.body.length })
    w.bytes(e.body)
  }
  invariant(w.length <= MAX_ENVELOPES_BYTES, `envelopes of ${w.length} bytes, at most ${MAX_ENVELOPES_BYTES}`)
  return w.done()
}

/** Total. No bytes are no envelopes: an empty sealed datagram only proves that its sender lives. */
export function decodeEnvelopes(bytes: Uint8Array): Decoded<Envelope[]> {
  if (bytes.length > MAX_ENVELOPES_BYTES) return refuse('long')
  const r = new Reader(bytes)
  const list: Envelope[] = []
  while (r.left > 0 && r.fault === null) {
    const { flags, length, ...rest } = readFields(envelopeHeader, r) as EnvelopeHeader
    const body = r.bytes(length).slice()
    const e = { ...rest, response: (flags & RESPONSE_BIT) !== 0, refusal: (flags & REFUSAL_BIT) !== 0, body }
    if (flags > (RESPONSE_BIT | REFUSAL_BIT) || !fits(e)) r.refuse('bad-value')
    list.push(e)
  }
  return r.fault === null ? ok(list) : refuse(r.fault)
}

/** Cuts a body into at most 8 parts; an empty body is one empty part. A larger body than fits is our own mistake. */
export function splitBody(body: Uint8Array, maxBytes: number): readonly Uint8Array[] {
  const parts = Math.max(1, Math.ceil(body.length / maxBytes))
  invariant(parts <= MAX_PARTS, `a body of ${body.length} bytes takes ${parts} parts of ${maxBytes}`)
  return Array.from({ length: parts }, (_, i) => body.slice(i * maxBytes, (i + 1) * maxBytes))
}

/** A whole message body with what names it. */
export type Joined = Omit<Envelope, 'part' | 'parts'>

/**
 * Puts the parts of messages together, in any order. One per session. Holds at most `LIMITS.messages` unfinished
 * messages and `LIMITS.bytes` bytes, the oldest goes first; parts that contradict each other kill their message.
 */
export class EnvelopeJoiner {
  /** Messages given up: contradicting parts, no room, or parts that never came. */
  dropped = 0
  readonly #open = new Map<string, Assembly>()
  readonly #lifetime: Millis
  #bytes = 0

  constructor(lifetime: Millis = seconds(10)) {
    this.#lifetime = lifetime
  }

  /** Bytes held for unfinished messages. */
  get heldBytes(): number {
    return this.#bytes
  }

  /** The whole message when this was its last missing part; a message of one part passes straight through. */
  take(e: Envelope, now: Instant): Joined | null {
    this.sweep(now)
    if (e.parts === 1) return joined(e, e.body)
    const key = `${e.response ? 'r' : 'q'}${e.boot}.${e.number}`
    const a = this.#open.get(key) ?? this.#start(key, e, now)
    if (a.code !== e.code || a.refusal !== e.refusal || a.parts.length !== e.parts) return this.#drop(key)
    if (a.parts[e.part] !== null) return null
    a.parts[e.part] = e.body
    a.missing--
    a.bytes += e.body.length
    this.#bytes += e.body.length
    if (a.missing > 0) return this.#shrink()
    this.#remove(key)
    return joined(e, concat(...a.parts.filter((p) => p !== null)))
  }

  /** Gives up what is older than the lifetime. */
  sweep(now: Instant): void {
    for (const [key, a] of this.#open) {
      // A Map keeps the order of insertion and every message lives equally long.
      if (a.until > now) return
      this.#drop(key)
    }
  }

  /** When `sweep` is next worth calling. */
  deadline(): Instant | null {
    const [oldest] = this.#open.values()
    return oldest?.until ?? null
  }

  #start(key: string, e: Envelope, now: Instant): Assembly {
    const { code, refusal, parts } = e
    const until = after(now, this.#lifetime)
    const a: Assembly = { code, refusal, parts: new Array(parts).fill(null), missing: parts, bytes: 0, until }
    this.#open.set(key, a)
    return a
  }

  #shrink(): null {
    for (const key of this.#open.keys()) {
      if (this.#bytes <= LIMITS.bytes && this.#open.size <= LIMITS.messages) return null
      this.#drop(key)
    }
    return null
  }

  #drop(key: string): null {
    this.dropped++
    return this.#remove(key)
  }

  #remove(key: string): null {
    this.#bytes -= this.#open.get(key)?.bytes ?? 0
    this.#open.delete(key)
    return null
  }
}

/** What one session may make us keep: four of the largest bodies. */
const LIMITS = { messages: 32, bytes: 4 * MAX_BODY_BYTES } as const

type Assembly = {
  readonly code: number
  readonly refusal: boolean
  readonly parts: (Uint8Array | null)[]
  missing: number
  bytes: number
  readonly until: Instant
}

const joined = (e: Envelope, body: Uint8Array): Joined => {
  const { code, response, refusal, boot, number } = e
  return { code, response, refusal, boot, number, body }
}

type EnvelopeHeader = Omit<Envelope, 'response' | 'refusal' | 'body'> & {
  readonly flags: number
  readonly length: number
}

const RESPONSE_BIT = 1
const REFUSAL_BIT = 2

const bits: Field<number> = { ...u8, type: 'bits: 0 response, 1 refusal, 7–2 zero' }

/** In wire order; the body follows. */
export const envelopeHeader = {
  code: u8,
  flags: bits,
  length: u16,
  boot: u32,
  number: u32,
  part: u8,
  parts: u8,
} satisfies Fields<EnvelopeHeader>

function fits(e: Envelope): boolean {
  return e.parts >= 1 && e.parts <= MAX_PARTS && e.part < e.parts && (e.response || !e.refusal)
}
