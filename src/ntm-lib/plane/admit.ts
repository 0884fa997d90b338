import type { Instant } from '../base/time.ts'
import { type FilterFault, filter } from '../negotiate/filter.ts'
import { Halves, halvesBudget } from '../negotiate/halves.ts'
import { CELLS } from '../negotiate/mirror.ts'
import { HEADROOM, type SuperBatch, slotAt } from '../ports/packet-port.ts'
import { counter, epoch, FRAG_FIRST, FRAG_WHOLE, frag, lane } from '../wire/capsulated.ts'
import type { PlaneParts } from './parts.ts'
import type { TunnelTable } from './tunnel-table.ts'

/** The last door of the opening half: halves are joined, sources checked, the clockwork kept, and the role is told. */
export class Admit {
  readonly #p: PlaneParts
  readonly #table: TunnelTable
  readonly #budget = halvesBudget()
  readonly #halves = new Map<number, Halves>()
  #sweepAt = 0

  constructor(parts: PlaneParts, table: TunnelTable) {
    this.#p = parts
    this.#table = table
  }

  /** A genuine packet, or several that were joined, in slot `s`; `at` is where the first one's header stands in `outer`. */
  inner(
    row: number,
    out: SuperBatch,
    s: number,
    outer: DataView,
    at: number,
    packets: number,
    bytes: number,
    now: Instant,
  ): void {
    const { cells } = this.#p
    const c = row * CELLS.words
    cells[c + CELLS.unansweredSince] = Number.NaN
    cells[c + CELLS.lastInner] = now
    if (Number.isNaN(cells[c + CELLS.owedSince])) cells[c + CELLS.owedSince] = now
    if (frag(outer, at) !== FRAG_WHOLE && !this.#join(row, out, s, outer, at, now)) return
    const own = this.#table.own[row]
    const peer = this.#table.peer[row]
    if (own === undefined || peer === undefined) return
    const start = slotAt(out, s)
    const fault = filter(out.view, start, out.lens[s] ?? 0, peer, own)
    if (fault !== null) {
      this.#p.counters.count(DROPS[fault], packets)
      return
    }
    // Bytes behind the packet's end are nobody's.
    const v6 = out.view.getUint8(start) >> 4 === 6
    const len = v6 ? 40 + out.view.getUint16(start + 4) : out.view.getUint16(start + 2)
    out.lens[s] = len
    cells[c + CELLS.packetsIn] = (cells[c + CELLS.packetsIn] ?? 0) + packets
    cells[c + CELLS.bytesIn] = (cells[c + CELLS.bytesIn] ?? 0) + (frag(outer, at) === FRAG_WHOLE ? bytes : len)
    this.#p.onInner(row, out, s, now)
  }

  /** What lies in slot `s`, as an array of its own. */
  copy(out: SuperBatch, s: number): Uint8Array {
    const start = slotAt(out, s)
    return new Uint8Array(out.arena.subarray(start, start + (out.lens[s] ?? 0)))
  }

  /** The row's path is gone, and what it left behind. */
  forget(row: number): void {
    this.#halves.get(row)?.clear()
    this.#halves.delete(row)
  }

  /** Puts the whole packet in the slot of the half that completes it; false while the other one is missing. */
  #join(row: number, out: SuperBatch, s: number, outer: DataView, at: number, now: Instant): boolean {
    this.#sweep(now)
    const halves = this.#halves.get(row) ?? new Halves(this.#budget)
    this.#halves.set(row, halves)
    const start = slotAt(out, s)
    const bytes = out.arena.subarray(start, start + (out.lens[s] ?? 0))
    const which = frag(outer, at) === FRAG_FIRST ? 1 : 2
    const whole = halves.take(which, epoch(outer, at), lane(outer, at), counter(outer, at), bytes, now)
    if (whole === null) return false
    if (whole.length > out.slotBytes - HEADROOM) {
      this.#p.counters.count('ntm.drop.inner-malformed')
      return false
    }
    out.arena.set(whole, start)
    out.lens[s] = whole.length
    return true
  }

  /** Rows that fell silent keep no halves of the budget for long. */
  #sweep(now: Instant): void {
    if (now < this.#sweepAt) return
    this.#sweepAt = now + SWEEP_MILLIS
    for (const [row, halves] of this.#halves) {
      halves.sweep(now)
      if (halves.size === 0) this.#halves.delete(row)
    }
  }
}

/** Written out: a name put together per packet would be an allocation per packet. */
const DROPS: Readonly<Record<FilterFault, string>> = {
  'inner-malformed': 'ntm.drop.inner-malformed',
  'source-not-allowed': 'ntm.drop.source-not-allowed',
  'destination-not-allowed': 'ntm.drop.destination-not-allowed',
  'embedded-not-allowed': 'ntm.drop.embedded-not-allowed',
}
const SWEEP_MILLIS = 1000
