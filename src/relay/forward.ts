import type { Instant } from '#ntm-lib/base/time.ts'
import { type DatagramRuns, RUN, type Runs } from '#ntm-lib/plane/engine.ts'
import { shared } from '#ntm-lib/ports/packet-port.ts'
import { CAPSULATED_FIRST_BYTE, CAPSULATED_OVERHEAD } from '#ntm-lib/wire/capsulated.ts'
import { CLASS_TUNNEL_HANDSHAKE, HEADER_BYTES, WIRE_VERSION } from '#ntm-lib/wire/header.ts'
import type { Budgets } from './budget.ts'
import { boundPlace, legOf, otherLeg, pendingPlace, type RelayTable } from './table.ts'

/** What became of a datagram that did not go. */
export type Unforwarded = 'unbound' | 'limit' | 'peer-unbound'

export type ForwardParts = {
  readonly table: RelayTable
  /** By row; the one behind the last row is that of all paths together. */
  readonly budgets: Budgets
  /** Sends runs that lie in `runs.arena` at once; `addrs` and `ports` are the table's. */
  readonly send: (runs: Runs, addrs: Uint8Array, ports: Uint16Array) => void
  /** Neither class 3 nor 4. The bytes are only there during the call. */
  readonly other: (d: DatagramRuns, slot: number, at: number, len: number, now: Instant) => void
  /** Class 3 or 4 of a path that is not in the table. */
  readonly unknown: (d: DatagramRuns, slot: number, at: number, len: number, now: Instant) => void
  /** More may go to this leg than before. */
  readonly grown: (leg: number) => void
  /** Not forwarded, or not all of it: what begins at `at`. */
  readonly unforwarded: (why: Unforwarded, leg: number, d: DatagramRuns, slot: number, at: number, len: number, now: Instant) => void // biome-ignore format: one line
}

/**
 * Forwards datagrams of class 3 and 4 as they came, in runs, from where they lie (SEED 003: look up the Path ID, send to the other
 * side's real address). What comes from an address that is not its leg's goes nowhere; to an address that has proven nothing go at most three
 * times the bytes that came from it. Nothing is allocated per datagram.
 */
export class Forwarder {
  /** Since the start. */
  datagrams = 0
  bytes = 0
  readonly #p: ForwardParts
  /** What leaves from each memory that was ever read from. */
  readonly #outs = new WeakMap<Uint8Array, Runs>()
  #out: Runs | null = null

  constructor(parts: ForwardParts) {
    this.#p = parts
  }

  take(d: DatagramRuns, now: Instant): void {
    // What had waited is taken in the midst of what let it go.
    const before = this.#out
    this.#out = this.#outOf(d.arena)
    for (let i = 0; i < d.count; i++) {
      const end = i * d.slotBytes + (d.lens[i] ?? 0)
      const each = d.segs[i] || (d.lens[i] ?? 0)
      for (let at = i * d.slotBytes; at < end; ) at = this.#stretch(d, i, at, end, each, now)
    }
    this.#flush()
    this.#out = before
  }

  #outOf(arena: Uint8Array): Runs {
    let out = this.#outs.get(arena)
    if (out === undefined) {
      out = { arena, runs: shared(Int32Array, MOST_RUNS * RUN.words), count: 0, datagrams: 0 }
      this.#outs.set(arena, out)
    }
    return out
  }

  /** Datagrams that go the same way are one stretch. Returns where the next one begins. */
  #stretch(d: DatagramRuns, slot: number, at: number, end: number, each: number, now: Instant): number {
    const { view } = d
    const len = Math.min(each, end - at)
    const first = len >= HEADER_BYTES ? view.getUint8(at) : 0
    const sealed = first === CAPSULATED_FIRST_BYTE && len >= CAPSULATED_OVERHEAD
    if (!sealed && first !== HANDSHAKE_FIRST_BYTE) {
      this.#p.other(d, slot, at, len, now)
      return at + len
    }
    const high = view.getUint16(at + 4)
    const low = view.getInt32(at + 6)
    const side = view.getUint8(at + 1) >> 7
    let next = at + len
    let count = 1
    // Handshakes may have to wait for their peer one by one.
    while (sealed && end - next >= CAPSULATED_OVERHEAD && leads(view, next, high, low, side)) {
      next += Math.min(each, end - next)
      count++
    }
    const row = this.#p.table.byId.find(high, low)
    if (row < 0) this.#p.unknown(d, slot, at, next - at, now)
    else this.#forward(legOf(row, side), d, slot, at, next - at, each, count, now)
    return next
  }

  #forward(
    leg: number,
    d: DatagramRuns,
    slot: number,
    at: number,
    len: number,
    each: number,
    count: number,
    now: Instant,
  ): void {
    const { table, budgets } = this.#p
    const from = table.placeFrom(leg, d.addrs, 16 * slot, d.ports[slot] ?? 0)
    if (from < 0) return this.#p.unforwarded('unbound', leg, d, slot, at, len, now)
    // Before anything is sent back to it.
    if (from === pendingPlace(leg)) {
      table.allowance[leg] = (table.allowance[leg] ?? 0) + AMPLIFICATION * len
      this.#p.grown(leg)
    }
    const to = otherLeg(leg)
    if (!table.isThere(to)) return this.#p.unforwarded('peer-unbound', leg, d, slot, at, len, now)
    const row = leg >> 1
    const total = table.most
    const fit = Math.min(budgets.fits(row, count, each, now), budgets.fits(total, count, each, now))
    const ahead = (table.ports[pendingPlace(to)] ?? 0) === 0 ? 0 : this.#ahead(to, at, len, each, fit)
    const sent = (table.ports[boundPlace(to)] ?? 0) === 0 ? ahead : Math.max(0, fit)
    const bytes = Math.min(sent * each, len)
    const aheadBytes = Math.min(ahead * each, len)
    if (bytes > aheadBytes) this.#add(boundPlace(to), at + aheadBytes, bytes - aheadBytes, each, sent - ahead)
    if (sent > 0) {
      budgets.spend(row, sent, bytes)
      budgets.spend(total, sent, bytes)
      table.usedAt[row] = now
      this.datagrams += sent
      this.bytes += bytes
    }
    if (sent < count) this.#p.unforwarded('limit', leg, d, slot, at + bytes, len - bytes, now)
  }

  /** To the pending place as many of the first datagrams as it may have; returns how many. */
  #ahead(leg: number, at: number, len: number, each: number, most: number): number {
    const { allowance } = this.#p.table
    const allowed = allowance[leg] ?? 0
    // The last of a run may be shorter than the others.
    const count = Math.min(most, allowed >= len ? Math.ceil(len / each) : Math.floor(allowed / each))
    if (count <= 0) return 0
    const bytes = Math.min(count * each, len)
    allowance[leg] = allowed - bytes
    this.#add(pendingPlace(leg), at, bytes, each, count)
    return count
  }

  #add(place: number, at: number, len: number, each: number, datagrams: number): void {
    const out = this.#out
    if (out === null) return
    if (this.#joins(out, place, at, len, each)) {
      out.datagrams += datagrams
      return
    }
    const k = out.count++ * RUN.words
    out.runs[k + RUN.row] = place
    out.runs[k + RUN.at] = at
    out.runs[k + RUN.len] = len
    out.runs[k + RUN.each] = each
    out.datagrams += datagrams
    if (out.count === MOST_RUNS) this.#flush()
  }

  /**
   * Puts what goes the same way as the run before it behind that one, if that costs a short copy: one send for datagrams that came one by
   * one. What lies between the two is no longer needed: runs are queued in the order in which they lie.
   */
  #joins(out: Runs, place: number, at: number, len: number, each: number): boolean {
    const k = (out.count - 1) * RUN.words
    if (k < 0 || len > MOST_COPIED) return false
    const { runs } = out
    const before = runs[k + RUN.len] ?? 0
    const to = (runs[k + RUN.at] ?? 0) + before
    if (runs[k + RUN.row] !== place || runs[k + RUN.each] !== each || before % each !== 0) return false
    if (before + len > MOST_RUN_BYTES || before + len > MOST_SEGMENTS * each) return false
    out.arena.copyWithin(to, at, at + len)
    runs[k + RUN.len] = before + len
    return true
  }

  #flush(): void {
    const out = this.#out
    if (out === null || out.count === 0) return
    const { table, send } = this.#p
    send(out, table.addrs, table.ports)
    out.count = 0
    out.datagrams = 0
  }
}

/** Whether the datagram at `at` is a Capsulated Packet of the same path and side. */
const leads = (view: DataView, at: number, high: number, low: number, side: number): boolean =>
  view.getUint8(at) === CAPSULATED_FIRST_BYTE &&
  view.getInt32(at + 6) === low &&
  view.getUint16(at + 4) === high &&
  view.getUint8(at + 1) >> 7 === side

/** RFC 9000 §8.1: what may go to an address that has proven nothing, in multiples of what came from it. */
export const AMPLIFICATION = 3
const HANDSHAKE_FIRST_BYTE = (WIRE_VERSION << 4) | CLASS_TUNNEL_HANDSHAKE
const MOST_RUNS = 1024
/** Longer ones cost more to copy than a send of their own. */
const MOST_COPIED = 4096
/** What one UDP send may hold, in bytes and datagrams. */
const MOST_RUN_BYTES = 65_000
const MOST_SEGMENTS = 64
