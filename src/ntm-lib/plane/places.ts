import type { Endpoint } from '../addr/endpoint.ts'
import { ip16, isIp4 } from '../addr/ip.ts'
import { VIA_BYTES, type Via, writeVia } from '../addr/via.ts'
import type { MirroredAhead, MirroredPath } from '../negotiate/mirror.ts'
import { shared } from '../ports/packet-port.ts'
import { grown } from './key-slots.ts'

/**
 * Where datagrams of each row go and how they leave, in typed arrays by row: the peer, our way out, and the address that
 * the peer speaks from but has not proven, with what may be sent there.
 */
export class Places {
  /** 16 bytes per row, IPv4 as v4-mapped; and a port. At `aheadRow(row)`: the address not proven. */
  addrs: Uint8Array = shared(Uint8Array, 0)
  ports: Uint16Array = shared(Uint16Array, 0)
  /** Bytes of datagrams that may still go to the address not proven; 0 where there is none. */
  allowed = new Float64Array(0)
  #vias: Uint8Array = shared(Uint8Array, 0)
  /** 1 where the peer has proven an address. */
  #hasProven = new Uint8Array(0)
  /** 1 where the row leaves by a way of its own; where its peer has an address not proven. */
  #hasVia = new Uint8Array(0)
  #hasAhead = new Uint8Array(0)
  /** The allowance that `allowed` is of, and what of it was used up. */
  #serials = new Float64Array(0)
  #used = new Float64Array(0)
  readonly #workers: number
  #capacity = 0
  #viaRows = 0
  #aheadRows = 0

  /** `workers`: how many tables like this one must keep to an allowance together. */
  constructor(workers: number) {
    this.#workers = workers
  }

  /** `VIA_BYTES` per row; null while no row leaves by a way of its own. */
  get vias(): Uint8Array | null {
    return this.#viaRows > 0 ? this.#vias : null
  }

  /** Whether any peer speaks from an address that it has not proven. */
  get hasAhead(): boolean {
    return this.#aheadRows > 0
  }

  /** Where `addrs`, `ports` and `vias` hold the address that the row's peer has not proven. */
  aheadRow(row: number): number {
    return this.#capacity + row
  }

  /** Whether anything may be sent for the row now: to an address that the peer has proven, or within the allowance. */
  mayBeSent(row: number): boolean {
    return this.#hasProven[row] === 1 || (this.allowed[row] ?? 0) > 0
  }

  /** Whether `row`, of a path or its `aheadRow`, is an address to send to. */
  isPlace(row: number): boolean {
    return row >= this.#capacity || this.#hasProven[row] === 1
  }

  /** So many bytes of datagrams go to the address not proven: at most `allowed`. */
  spend(row: number, bytes: number): void {
    this.allowed[row] = (this.allowed[row] ?? 0) - bytes
    this.#used[row] = (this.#used[row] ?? 0) + bytes
  }

  set(row: number, { to, via, ahead }: Pick<MirroredPath, 'to' | 'via' | 'ahead'>): void {
    this.#hasProven[row] = to === null ? 0 : 1
    this.#setEndpoint(row, to)
    this.#setEndpoint(this.aheadRow(row), ahead?.to ?? null)
    this.#setVia(row, to, ahead?.to ?? null, via)
    this.#setAhead(row, ahead)
  }

  forget(row: number): void {
    this.set(row, { to: null, via: null, ahead: null })
    this.#serials[row] = Number.NaN
  }

  /** To `rows` rows, more than there are. */
  grow(rows: number): void {
    const before = this.#capacity
    this.addrs = grownBoth(this.addrs, shared(Uint8Array, 2 * rows * 16))
    this.ports = grownBoth(this.ports, shared(Uint16Array, 2 * rows))
    this.#vias = grownBoth(this.#vias, shared(Uint8Array, 2 * rows * VIA_BYTES))
    this.allowed = grown(this.allowed, new Float64Array(rows))
    this.#hasProven = grown(this.#hasProven, new Uint8Array(rows))
    this.#hasVia = grown(this.#hasVia, new Uint8Array(rows))
    this.#hasAhead = grown(this.#hasAhead, new Uint8Array(rows))
    this.#serials = grown(this.#serials, new Float64Array(rows))
    this.#used = grown(this.#used, new Float64Array(rows))
    this.#serials.fill(Number.NaN, before)
    this.#capacity = rows
  }

  #setEndpoint(row: number, at: Endpoint | null): void {
    if (at === null) this.addrs.fill(0, row * 16, row * 16 + 16)
    else this.addrs.set(ip16(at.ip), row * 16)
    this.ports[row] = at?.port ?? 0
  }

  #setVia(row: number, to: Endpoint | null, ahead: Endpoint | null, via: Via | null): void {
    const has = via === null ? 0 : 1
    this.#viaRows += has - (this.#hasVia[row] ?? 0)
    this.#hasVia[row] = has
    writeVia(this.#vias, row, fitting(via, to))
    writeVia(this.#vias, this.aheadRow(row), fitting(via, ahead))
  }

  #setAhead(row: number, ahead: MirroredAhead | null): void {
    const has = ahead === null ? 0 : 1
    this.#aheadRows += has - (this.#hasAhead[row] ?? 0)
    this.#hasAhead[row] = has
    if (ahead !== null && this.#serials[row] !== ahead.serial) {
      this.#serials[row] = ahead.serial
      this.#used[row] = 0
    }
    // All workers together must keep to the allowance, and none knows what the others send.
    const share = Math.floor((ahead?.bytes ?? 0) / this.#workers)
    this.allowed[row] = Math.max(0, share - (this.#used[row] ?? 0))
  }
}

/** A peer that speaks from the other family now cannot be answered from this address: the kernel chooses. */
const fitting = (via: Via | null, to: Endpoint | null): Via | null =>
  via !== null && to !== null && isIp4(via.ip) === isIp4(to.ip) ? via : null

type Rows = Uint8Array<ArrayBufferLike> | Uint16Array<ArrayBufferLike>

/** The first halves of both are the rows, the second halves what is ahead of them. */
function grownBoth<T extends Rows>(from: T, to: T): T {
  to.set(from.subarray(0, from.length / 2))
  to.set(from.subarray(from.length / 2), to.length / 2)
  return to
}
