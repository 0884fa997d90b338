import { invariant } from '../base/invariant.ts'
import type { Instant } from '../base/time.ts'
import type { KeyLimits } from '../crypto/seal.ts'
import type { MirrorCommand, MirroredEpoch, MirroredPath } from '../negotiate/mirror.ts'
import { shared } from '../ports/packet-port.ts'
import { capsulatedFlags, FRAG_WHOLE, writeCapsulated } from '../wire/capsulated.ts'
import { AddressSet, AddressSets } from './address-sets.ts'
import type { PacketEngine } from './engine.ts'
import { grown, KeySlots } from './key-slots.ts'
import { PathIds } from './path-ids.ts'
import { Places } from './places.ts'

/** What a row can do. Bits of `state`. */
export const KNOWN = 1
/** The peer's address is known. */
export const LOCATED = 2
/** The next genuine packet is to be told. */
export const TELL = 4

/** Epochs a row may open: previous, current, next. */
export const EPOCHS = 3
export const MOST_ROWS = 65_536

/**
 * The tunnel table of a packet worker: all that a packet needs to know of its path, in typed arrays by row. Written by
 * `MirrorCommand`s alone.
 */
export class TunnelTable {
  /** Header template, 16 bytes per row: flags and counter are the engine's. */
  headers: Uint8Array = shared(Uint8Array, 0)
  state = new Uint8Array(0)
  /** Byte 1 of our headers, for whole packets of our lane; its top bit is our direction. */
  flags = new Uint8Array(0)
  /** T and M. */
  whole = new Uint16Array(0)
  inner = new Uint16Array(0)
  /** The key that seals, -1 for none, its epoch, and until when. */
  sealKey = new Int32Array(0)
  sealEpoch = new Uint16Array(0)
  sealUntil = new Float64Array(0)
  /** `EPOCHS` per row: epoch, and its key or -1. */
  epochs = new Uint16Array(0)
  epochKeys = new Int32Array(0)
  readonly own: AddressSet[] = []
  readonly peer: AddressSet[] = []

  readonly places: Places
  readonly keys: KeySlots
  readonly sets = new AddressSets()
  readonly byId = new PathIds()
  readonly #lane: number
  readonly #rowsFit: number
  readonly #ids: (readonly number[])[] = []
  /** Newest serial whose keys the row has erased: those never come back. */
  #erased = new Float64Array(0)
  #capacity = 0
  #size = 0

  /** `rowsFit`: rows there may be at all; `workers`: how many tables like this one there are. */
  constructor(engine: PacketEngine, lane: number, limits: KeyLimits, rowsFit: number, workers: number) {
    this.places = new Places(workers)
    this.keys = new KeySlots(engine, limits)
    this.#lane = lane
    this.#rowsFit = Math.min(rowsFit, MOST_ROWS)
  }

  /** Rows in use. */
  get size(): number {
    return this.#size
  }

  apply(c: MirrorCommand): void {
    if (c.mirror === 'gone') this.#forget(c.row)
    else this.#set(c.path)
  }

  isKnown(row: number): boolean {
    return ((this.state[row] ?? 0) & KNOWN) !== 0
  }

  /** The key that may seal for the row now; -1 when none may, or the peer is nowhere. */
  sealing(row: number, now: Instant): number {
    if (!this.places.mayBeSent(row) || now >= (this.sealUntil[row] ?? 0)) return -1
    return this.sealKey[row] ?? -1
  }

  /** The key that opens an epoch of the row; -1 when there is none. */
  opening(row: number, epoch: number): number {
    for (let i = row * EPOCHS; i < (row + 1) * EPOCHS; i++) {
      const key = this.epochKeys[i] ?? -1
      if (key >= 0 && this.epochs[i] === epoch) return key
    }
    return -1
  }

  /** Whether the row has any key to open with. */
  hasKey(row: number): boolean {
    for (let i = row * EPOCHS; i < (row + 1) * EPOCHS; i++) if ((this.epochKeys[i] ?? -1) >= 0) return true
    return false
  }

  #set(p: MirroredPath): void {
    const { row } = p
    invariant(Number.isInteger(row) && row >= 0 && row < this.#rowsFit, `no row ${row} in a table of ${this.#rowsFit}`)
    invariant(p.epochs.length <= EPOCHS, 'a path has at most three epochs')
    invariant(p.wholeBytes <= 0xffff && p.innerBytes <= 0xffff, 'packet sizes are 16 bits')
    if (row >= this.#capacity) this.#grow(row)
    if (!this.isKnown(row)) this.#size++
    this.state[row] = KNOWN | (p.to === null ? 0 : LOCATED) | (p.tell ? TELL : 0)
    this.flags[row] = capsulatedFlags(p.direction, false, this.#lane, FRAG_WHOLE)
    this.whole[row] = p.wholeBytes
    this.inner[row] = p.innerBytes
    this.#setIds(row, p.ids)
    this.#setSide(this.own, row, this.sets.hold(p.ownAllowed))
    this.#setSide(this.peer, row, this.sets.hold(p.peerAllowed))
    this.#setEpochs(row, p)
    this.places.set(row, p)
    const view = new DataView(this.headers.buffer, row * 16, 16)
    writeCapsulated(view, 0, this.flags[row] ?? 0, this.sealEpoch[row] ?? 0, p.id, 0)
  }

  #setIds(row: number, ids: readonly number[]): void {
    const before = this.#ids[row] ?? []
    for (const id of before) if (!ids.includes(id)) this.byId.remove(id, row)
    for (const id of ids) this.byId.set(id, row)
    this.#ids[row] = [...ids]
  }

  #setSide(side: AddressSet[], row: number, set: AddressSet): void {
    const before = side[row] ?? NOBODY
    side[row] = set
    if (before !== NOBODY) this.sets.drop(before)
  }

  #setEpochs(row: number, p: MirroredPath): void {
    const kept = p.epochs.map((e) => this.#hold(row, e))
    this.#dropOthers(row, kept)
    this.sealKey[row] = -1
    this.sealUntil[row] = 0
    this.sealEpoch[row] = p.seals?.epoch ?? 0
    for (const [i, e] of p.epochs.entries()) {
      const key = kept[i] ?? -1
      this.epochs[row * EPOCHS + i] = e.epoch
      this.epochKeys[row * EPOCHS + i] = key
      if (p.seals?.epoch !== e.epoch) continue
      this.keys.seals(key, e)
      this.sealKey[row] = key
      this.sealUntil[row] = p.seals.until
    }
  }

  #hold(row: number, e: MirroredEpoch): number {
    const held = this.epochKeys.subarray(row * EPOCHS, (row + 1) * EPOCHS)
    for (const key of held) if (key >= 0 && this.keys.serialOf(key) === e.serial) return key
    invariant(e.serial > (this.#erased[row] ?? 0), 'keys once erased would begin their counters anew')
    return this.keys.hold(e)
  }

  #dropOthers(row: number, kept: readonly number[]): void {
    for (let i = row * EPOCHS; i < (row + 1) * EPOCHS; i++) {
      const key = this.epochKeys[i] ?? -1
      this.epochKeys[i] = -1
      if (key < 0 || kept.includes(key)) continue
      this.#erased[row] = Math.max(this.#erased[row] ?? 0, this.keys.serialOf(key))
      this.keys.drop(key)
    }
  }

  #forget(row: number): void {
    if (!this.isKnown(row)) return
    this.#size--
    this.#setIds(row, [])
    this.#dropOthers(row, [])
    this.#setSide(this.own, row, NOBODY)
    this.#setSide(this.peer, row, NOBODY)
    this.places.forget(row)
    this.state[row] = 0
    this.sealKey[row] = -1
    this.sealUntil[row] = 0
    this.headers.fill(0, row * 16, row * 16 + 16)
  }

  #grow(row: number): void {
    let most = Math.max(64, this.#capacity)
    while (most <= row) most *= 2
    const before = this.#capacity
    this.headers = grown(this.headers, shared(Uint8Array, most * 16))
    this.places.grow(most)
    this.state = grown(this.state, new Uint8Array(most))
    this.flags = grown(this.flags, new Uint8Array(most))
    this.whole = grown(this.whole, new Uint16Array(most))
    this.inner = grown(this.inner, new Uint16Array(most))
    this.sealKey = grown(this.sealKey, new Int32Array(most))
    this.sealEpoch = grown(this.sealEpoch, new Uint16Array(most))
    this.sealUntil = grown(this.sealUntil, new Float64Array(most))
    this.epochs = grown(this.epochs, new Uint16Array(most * EPOCHS))
    this.epochKeys = grown(this.epochKeys, new Int32Array(most * EPOCHS))
    this.#erased = grown(this.#erased, new Float64Array(most))
    this.sealKey.fill(-1, before)
    this.epochKeys.fill(-1, before * EPOCHS)
    for (let i = before; i < most; i++) {
      this.own.push(NOBODY)
      this.peer.push(NOBODY)
      this.#ids.push([])
    }
    this.#capacity = most
  }
}

const NOBODY = new AddressSet([], '')
