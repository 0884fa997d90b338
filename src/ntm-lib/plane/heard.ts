import type { Endpoint } from '../addr/endpoint.ts'
import type { Ip } from '../addr/ip.ts'
import { ip6FromBytes, unmapped } from '../addr/ip6.ts'
import type { MirrorEvent } from '../negotiate/mirror.ts'
import type { DatagramRuns } from './engine.ts'
import { grown } from './key-slots.ts'

/**
 * What the negotiation is to hear of one turn's packets. Packets of one row, key and sender are one event with the sum of
 * their bytes: a peer that moved while it sends at full speed is told once a turn, not once a packet.
 */
export class Heard {
  readonly #emit: (event: MirrorEvent) => void
  readonly #rows = new Int32Array(MOST)
  readonly #epochs = new Int32Array(MOST)
  readonly #serials = new Float64Array(MOST)
  /** Slot of the datagrams that the sender is taken from. */
  readonly #slots = new Int32Array(MOST)
  readonly #bytes = new Float64Array(MOST)
  readonly #newest = new Uint8Array(MOST)
  /** 1 + the row's entry before this one, 0 for none. */
  readonly #before = new Int32Array(MOST)
  /** By row: 1 + its latest entry, 0 for none. */
  #latest = new Int32Array(64)
  #count = 0

  constructor(emit: (event: MirrorEvent) => void) {
    this.#emit = emit
  }

  note(
    d: DatagramRuns,
    row: number,
    epoch: number,
    serial: number,
    slot: number,
    bytes: number,
    newest: boolean,
  ): void {
    if (row >= this.#latest.length)
      this.#latest = grown(this.#latest, new Int32Array(2 ** Math.ceil(Math.log2(row + 1))))
    let i = this.#find(d, row, serial, slot)
    if (i === MANY) return
    if (i < 0) {
      if (this.#count === MOST) this.tellAll(d)
      i = this.#count++
      this.#before[i] = this.#latest[row] ?? 0
      this.#latest[row] = i + 1
      this.#rows[i] = row
      this.#epochs[i] = epoch
      this.#serials[i] = serial
      this.#slots[i] = slot
      this.#bytes[i] = 0
      this.#newest[i] = 0
    }
    this.#bytes[i] = (this.#bytes[i] ?? 0) + bytes
    if (newest) this.#newest[i] = 1
  }

  /** The entry that this is one more of; -1 when there is none, `MANY` when the row has all it may have in one turn. */
  #find(d: DatagramRuns, row: number, serial: number, slot: number): number {
    let seen = 0
    for (let i = (this.#latest[row] ?? 0) - 1; i >= 0; i = (this.#before[i] ?? 0) - 1) {
      if (this.#serials[i] === serial && sameSender(d, this.#slots[i] ?? 0, slot)) return i
      if (++seen === MOST_SENDERS) return MANY
    }
    return -1
  }

  /** Tells what was noted; `d` holds the datagrams it was noted of. */
  tellAll(d: DatagramRuns): void {
    for (let i = 0; i < this.#count; i++) {
      const row = this.#rows[i] ?? 0
      this.#latest[row] = 0
      this.#emit({
        event: 'heard',
        row,
        epoch: this.#epochs[i] ?? 0,
        serial: this.#serials[i] ?? 0,
        from: senderOf(d, this.#slots[i] ?? 0),
        bytes: this.#bytes[i] ?? 0,
        newest: this.#newest[i] === 1,
        frames: null,
      })
    }
    this.#count = 0
  }
}

/** Who sent slot `i`. Allocates: for what is told, not for what passes. */
export function senderOf(d: DatagramRuns, i: number): Endpoint {
  const ip = ip6FromBytes(d.addrs, i * 16)
  return { ip: unmapped(ip) ?? ip, port: d.ports[i] ?? 0 }
}

/** The address of ours that slot `i` came to, where it is known. Allocates, as `senderOf`. */
export function localOf(d: DatagramRuns, i: number): { readonly local?: Ip } {
  if (d.locals === undefined) return {}
  const ip = ip6FromBytes(d.locals, i * 16)
  return { local: unmapped(ip) ?? ip }
}

function sameSender(d: DatagramRuns, a: number, b: number): boolean {
  if (a === b) return true
  if (d.ports[a] !== d.ports[b]) return false
  for (let i = 0; i < 16; i++) if (d.addrs[a * 16 + i] !== d.addrs[b * 16 + i]) return false
  return true
}

const MOST = 256
/** Who stands in the way can send genuine datagrams on from as many addresses as he likes; one trial at a time is all it gets him. */
const MOST_SENDERS = 4
const MANY = -2
