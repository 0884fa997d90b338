import { invariant } from '../base/invariant.ts'
import { TAG_BYTES } from '../wire/capsulated.ts'
import { CLASS_CAPSULATED, HEADER_BYTES } from '../wire/header.ts'
import { REPLAY_WINDOW, ReplayWindow } from './replay.ts'
import type { SealSecret } from './schedule.ts'
import type { AeadKey, CryptoSuite } from './suite.ts'

/** Sending workers that may share a key: bits 5–4 of a Capsulated Packet's flags. */
export const LANES = 4
/** What sealing adds to an inner packet. */
export const SEAL_OVERHEAD = HEADER_BYTES + TAG_BYTES

/** Per key, over all lanes. Past `rekey…` a new epoch is due, past `stop…` nothing is sealed. `docs/wire.md`, Timers. */
export const KEY_LIMITS: KeyLimits = {
  rekeyPackets: 2 ** 26,
  rekeyBytes: 2 ** 38,
  stopPackets: 2 ** 28,
  stopBytes: 2 ** 39,
}
export type KeyLimits = {
  readonly rekeyPackets: number
  readonly rekeyBytes: number
  readonly stopPackets: number
  readonly stopBytes: number
}

/**
 * The owner of one sending key's nonces: one direction, one epoch. Nobody else counts, so no (key, nonce) is used
 * twice; re-sealing after a failed send takes a new counter. Never stored: a restart means a new handshake.
 */
export class SealKey {
  readonly epoch: number
  readonly #aead: AeadKey
  readonly #nonce: Nonce
  readonly #limits: KeyLimits
  readonly #next = new Float64Array(LANES)
  #packets = 0
  #bytes = 0

  constructor(suite: CryptoSuite, secret: SealSecret, epoch: number, limits: KeyLimits = KEY_LIMITS) {
    this.epoch = epoch
    this.#limits = limits
    this.#aead = suite.aead(secret.suiteId, secret.key)
    this.#nonce = new Nonce(secret.iv, epoch)
  }

  /** Packets sealed so far, over all lanes. */
  get packets(): number {
    return this.#packets
  }

  /** Whether a new epoch should be prepared. */
  get wantsRekey(): boolean {
    return this.#packets >= this.#limits.rekeyPackets || this.#bytes >= this.#limits.rekeyBytes
  }

  /**
   * Seals in place. `bytes[at, at+16)` holds the header (class 2 or 4, lane in its flags), the inner packet follows
   * it, 16 bytes of room follow that. Writes the counter, the sealed text and the tag. Returns the datagram's length,
   * or null when the key has done all it may.
   */
  sealAt(bytes: Uint8Array, at: number, innerBytes: number): number | null {
    const end = at + HEADER_BYTES + innerBytes + TAG_BYTES
    invariant(end <= bytes.length, 'sealing needs 16 bytes of room behind the inner packet')
    invariant(epochOf(bytes, at) === this.epoch, 'the header names another epoch than the key')
    if (this.#packets >= this.#limits.stopPackets || this.#bytes + innerBytes > this.#limits.stopBytes) return null
    const lane = laneOf(bytes, at)
    const counter = this.#take(lane)
    this.#packets++
    this.#bytes += innerBytes
    writeCounter(bytes, at, counter)
    const header = bytes.subarray(at, at + HEADER_BYTES)
    const inner = bytes.subarray(at + HEADER_BYTES, end - TAG_BYTES)
    bytes.set(this.#aead.seal(this.#nonce.of(lane, counter), header, inner), at + HEADER_BYTES)
    return end - at
  }

  /** The same for callers with separate parts: header 16 bytes, its counter ignored. A new datagram, or null. */
  seal(header: Uint8Array, inner: Uint8Array): Uint8Array | null {
    invariant(header.length === HEADER_BYTES, 'a header is 16 bytes')
    const datagram = new Uint8Array(inner.length + SEAL_OVERHEAD)
    datagram.set(header)
    datagram.set(inner, HEADER_BYTES)
    return this.sealAt(datagram, 0, inner.length) === null ? null : datagram
  }

  /** The counter the lane's next packet will carry. */
  next(lane: number): number {
    return this.#next[lane] ?? 0
  }

  /**
   * Leaves out counters, for a lane handed from one worker to another: what the old one may have sealed is skipped.
   * Going back would put two plaintexts under one nonce; that is refused as the bug it is.
   */
  skipTo(lane: number, counter: number): void {
    invariant(lane >= 0 && lane < LANES, `no lane ${lane}`)
    invariant(counter >= this.next(lane), `lane ${lane} is at ${this.next(lane)} and cannot go back to ${counter}`)
    invariant(Number.isInteger(counter) && counter < MAX_COUNTER, 'counters are 48 bits')
    this.#next[lane] = counter
  }

  /** Taken before sealing starts: a seal that fails half-way has used its counter up. */
  #take(lane: number): number {
    const counter = this.next(lane)
    invariant(counter < MAX_COUNTER, 'counters are 48 bits')
    this.#next[lane] = counter + 1
    return counter
  }
}

/** Why datagrams were refused by one key; each is a counter. */
export type OpenRefusals = { short: number; replay: number; badTag: number }

/** The receiving side of one direction and epoch: a replay window per lane. */
export class OpenKey {
  readonly epoch: number
  readonly refused: OpenRefusals
  readonly #aead: AeadKey
  readonly #nonce: Nonce
  readonly #window: number
  readonly #lanes: (ReplayWindow | null)[] = [null, null, null, null]

  /** `refused` may be shared, so that counts outlive the epoch. */
  constructor(
    suite: CryptoSuite,
    secret: SealSecret,
    epoch: number,
    { window = REPLAY_WINDOW, refused = { short: 0, replay: 0, badTag: 0 } }: OpenOptions = {},
  ) {
    this.epoch = epoch
    this.refused = refused
    this.#aead = suite.aead(secret.suiteId, secret.key)
    this.#nonce = new Nonce(secret.iv, epoch)
    this.#window = window
  }

  /** The inner bytes of a class 2 or 4 datagram, as an array of its own; null, and counted, when it is not genuine or not new. */
  open(datagram: Uint8Array): Uint8Array | null {
    if (datagram.length < SEAL_OVERHEAD) {
      this.refused.short++
      return null
    }
    const [lane, counter] = [laneOf(datagram, 0), readCounter(datagram, 0)]
    const window = this.#lanes[lane] ?? null
    if (window !== null && !window.fresh(counter)) {
      this.refused.replay++
      return null
    }
    const header = datagram.subarray(0, HEADER_BYTES)
    const inner = this.#aead.open(this.#nonce.of(lane, counter), header, datagram.subarray(HEADER_BYTES))
    if (inner === null) {
      this.refused.badTag++
      return null
    }
    // A window is made only for a lane that has proven itself.
    const proven = window ?? new ReplayWindow(this.#window)
    this.#lanes[lane] = proven
    proven.commit(counter)
    return inner
  }

  /** Newest counter that opened on a lane; -1 before the first. */
  newest(lane: number): number {
    return this.#lanes[lane]?.newest ?? -1
  }
}

export type OpenOptions = { readonly window?: number; readonly refused?: OpenRefusals }

/** iv ⊕ (u16 0 ‖ u16 lane ‖ u16 epoch ‖ u48 counter), in one array that is written over each time. */
class Nonce {
  readonly #iv: Uint8Array
  readonly #bytes: Uint8Array

  constructor(iv: Uint8Array, epoch: number) {
    invariant(iv.length === 12, 'a nonce base is 12 bytes')
    invariant(Number.isInteger(epoch) && epoch >= 0 && epoch <= 0xffff, 'an epoch is 16 bits')
    this.#iv = iv.slice()
    this.#bytes = iv.slice()
    xor(this.#iv, this.#bytes, 4, epoch >>> 8)
    xor(this.#iv, this.#bytes, 5, epoch & 0xff)
  }

  of(lane: number, counter: number): Uint8Array {
    xor(this.#iv, this.#bytes, 3, lane)
    for (let i = 11, rest = counter; i >= 6; i--) {
      xor(this.#iv, this.#bytes, i, rest % 256)
      rest = Math.floor(rest / 256)
    }
    return this.#bytes
  }
}

function xor(iv: Uint8Array, into: Uint8Array, at: number, byte: number): void {
  into[at] = (iv[at] ?? 0) ^ byte
}

/** Only Capsulated Packets have lanes; sealed control packets are lane 0. */
function laneOf(bytes: Uint8Array, at: number): number {
  return ((bytes[at] ?? 0) & 15) === CLASS_CAPSULATED ? ((bytes[at + 1] ?? 0) >> 4) & (LANES - 1) : 0
}

const epochOf = (bytes: Uint8Array, at: number): number => ((bytes[at + 2] ?? 0) << 8) | (bytes[at + 3] ?? 0)

function readCounter(bytes: Uint8Array, at: number): number {
  let counter = 0
  for (let i = 10; i < 16; i++) counter = counter * 256 + (bytes[at + i] ?? 0)
  return counter
}

function writeCounter(bytes: Uint8Array, at: number, counter: number): void {
  for (let i = 15, rest = counter; i >= 10; i--) {
    bytes[at + i] = rest % 256
    rest = Math.floor(rest / 256)
  }
}

const MAX_COUNTER = 2 ** 48
