import { invariant } from '../base/invariant.ts'
import { ReplayWindow } from '../crypto/replay.ts'
import { LANES } from '../crypto/seal.ts'
import type { AeadKey } from '../crypto/suite.ts'

/** A sealing key that owns its counters, one per lane. */
export class ScriptSealKey {
  readonly aead: AeadKey
  readonly #nonce: Uint8Array
  readonly #mostPackets: number
  readonly #mostBytes: number
  readonly #next = new Float64Array(LANES)
  #packets = 0
  #bytes = 0

  constructor(aead: AeadKey, nonce: Uint8Array, mostPackets: number, mostBytes: number) {
    this.aead = aead
    this.#nonce = new Uint8Array(nonce)
    this.#mostPackets = mostPackets
    this.#mostBytes = mostBytes
  }

  allows(packets: number, bytes: number): boolean {
    return this.#packets + packets <= this.#mostPackets && this.#bytes + bytes <= this.#mostBytes
  }

  /** Takes the lane's next counter for a packet of so many bytes. */
  take(lane: number, bytes: number): number {
    const counter = this.#next[lane] ?? 0
    invariant(counter < 2 ** 48, 'counters are 48 bits')
    this.#next[lane] = counter + 1
    this.#packets++
    this.#bytes += bytes
    return counter
  }

  nonce(lane: number, counter: number): Uint8Array {
    return nonceOf(this.#nonce, lane, counter)
  }
}

/** An opening key with a replay window per lane. */
export class ScriptOpenKey {
  readonly aead: AeadKey
  readonly #nonce: Uint8Array
  readonly #window: number
  readonly #lanes: (ReplayWindow | null)[] = new Array<ReplayWindow | null>(LANES).fill(null)

  constructor(aead: AeadKey, nonce: Uint8Array, window: number) {
    this.aead = aead
    this.#nonce = new Uint8Array(nonce)
    this.#window = window
  }

  newest(lane: number): number {
    return this.#lanes[lane]?.newest ?? -1
  }

  fresh(lane: number, counter: number): boolean {
    return this.#lanes[lane]?.fresh(counter) ?? true
  }

  /** A window is made only for a lane that has proven itself. */
  commit(lane: number, counter: number): void {
    const window = this.#lanes[lane] ?? new ReplayWindow(this.#window)
    this.#lanes[lane] = window
    window.commit(counter)
  }

  nonce(lane: number, counter: number): Uint8Array {
    return nonceOf(this.#nonce, lane, counter)
  }
}

/** Byte 3 takes the lane, bytes 6–11 the counter. */
function nonceOf(base: Uint8Array, lane: number, counter: number): Uint8Array {
  const nonce = new Uint8Array(base)
  nonce[3] = (nonce[3] ?? 0) ^ lane
  for (let i = 11, rest = counter; i >= 6; i--) {
    nonce[i] = (nonce[i] ?? 0) ^ (rest % 256)
    rest = Math.floor(rest / 256)
  }
  return nonce
}
