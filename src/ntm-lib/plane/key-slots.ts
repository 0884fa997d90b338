import { invariant } from '../base/invariant.ts'
import { REPLAY_WINDOW } from '../crypto/replay.ts'
import type { SealSecret } from '../crypto/schedule.ts'
import type { KeyLimits } from '../crypto/seal.ts'
import { LANES } from '../crypto/seal.ts'
import type { MirroredEpoch } from '../negotiate/mirror.ts'
import type { PacketEngine } from './engine.ts'

/**
 * Which of the engine's keys belongs to which serial. A serial's keys are put into the engine once and stay until it is dropped:
 * putting them again would begin the counters at 0 and seal two packets under one nonce.
 */
export class KeySlots {
  readonly #engine: PacketEngine
  readonly #limits: KeyLimits
  readonly #bySerial = new Map<number, number>()
  readonly #free: number[] = []
  #serials = new Float64Array(FIRST)
  #bits = new Uint8Array(FIRST)
  #packets = new Float64Array(FIRST)
  #bytes = new Float64Array(FIRST)
  #used = 0

  /** `limits`: of a key over all lanes; each lane gets an equal share, as lanes cannot ask each other. */
  constructor(engine: PacketEngine, limits: KeyLimits) {
    this.#engine = engine
    this.#limits = {
      rekeyPackets: limits.rekeyPackets / LANES,
      rekeyBytes: limits.rekeyBytes / LANES,
      stopPackets: Math.floor(limits.stopPackets / LANES),
      stopBytes: Math.floor(limits.stopBytes / LANES),
    }
  }

  /** Keys held now. */
  get size(): number {
    return this.#bySerial.size
  }

  /** Takes up new keys, which open from now on. Returns the engine's index of them. */
  hold(e: MirroredEpoch): number {
    invariant(!this.#bySerial.has(e.serial), 'keys belong to one path')
    const index = this.#free.pop() ?? this.#used++
    if (index >= this.#bits.length) this.#grow()
    this.#bySerial.set(e.serial, index)
    this.#serials[index] = e.serial
    this.#bits[index] = 0
    this.#packets[index] = 0
    this.#bytes[index] = 0
    this.#engine.setOpen(index, e.open.suiteId, e.open.key, nonceOf(e.open, e.epoch), REPLAY_WINDOW)
    return index
  }

  /** Lets them seal too. */
  seals(index: number, e: MirroredEpoch): void {
    invariant(this.#serials[index] === e.serial, 'keys are named by their serial')
    if (this.#has(index, SEALS)) return
    this.#mark(index, SEALS)
    const { stopPackets, stopBytes } = this.#limits
    this.#engine.setSeal(index, e.seal.suiteId, e.seal.key, nonceOf(e.seal, e.epoch), stopPackets, stopBytes)
  }

  drop(index: number): void {
    if (this.#has(index, SEALS)) this.#engine.clearSeal(index)
    this.#engine.clearOpen(index)
    this.#bySerial.delete(this.#serials[index] ?? 0)
    this.#free.push(index)
  }

  serialOf(index: number): number {
    return this.#serials[index] ?? 0
  }

  /** What it has sealed. True once, when a new epoch is due. */
  sealed(index: number, packets: number, bytes: number): boolean {
    const p = (this.#packets[index] ?? 0) + packets
    const b = (this.#bytes[index] ?? 0) + bytes
    this.#packets[index] = p
    this.#bytes[index] = b
    if (p < this.#limits.rekeyPackets && b < this.#limits.rekeyBytes) return false
    return this.#once(index, WORN)
  }

  /** The engine refused to seal more. True once, when nobody was told that the key is worn. */
  usedUp(index: number): boolean {
    this.#mark(index, USED_UP)
    return this.#once(index, WORN)
  }

  isUsedUp(index: number): boolean {
    return this.#has(index, USED_UP)
  }

  /** Whether a genuine packet came under it before. */
  wasHeard(index: number): boolean {
    return this.#has(index, HEARD)
  }

  heard(index: number): void {
    this.#mark(index, HEARD)
  }

  #once(index: number, bit: number): boolean {
    if (this.#has(index, bit)) return false
    this.#mark(index, bit)
    return true
  }

  #has(index: number, bit: number): boolean {
    return ((this.#bits[index] ?? 0) & bit) !== 0
  }

  #mark(index: number, bit: number): void {
    this.#bits[index] = (this.#bits[index] ?? 0) | bit
  }

  #grow(): void {
    const most = this.#bits.length * 2
    this.#serials = grown(this.#serials, new Float64Array(most))
    this.#bits = grown(this.#bits, new Uint8Array(most))
    this.#packets = grown(this.#packets, new Float64Array(most))
    this.#bytes = grown(this.#bytes, new Float64Array(most))
  }
}

/** `to` with what `from` held at its start. */
export function grown<T extends { set(from: T): void }>(from: T, to: T): T {
  to.set(from)
  return to
}

/** The engine adds lane and counter; the epoch's share of the nonce is fixed: iv ⊕ (u16 0 ‖ u16 lane ‖ u16 epoch ‖ u48 counter). */
function nonceOf(secret: SealSecret, epoch: number): Uint8Array {
  const nonce = new Uint8Array(secret.iv)
  nonce[4] = (nonce[4] ?? 0) ^ (epoch >>> 8)
  nonce[5] = (nonce[5] ?? 0) ^ (epoch & 0xff)
  return nonce
}

const FIRST = 64
const SEALS = 1
const HEARD = 2
const WORN = 4
const USED_UP = 8
