import { invariant } from '../base/invariant.ts'
import type { Instant } from '../base/time.ts'
import { CELLS } from '../negotiate/mirror.ts'
import { shared, superBatch } from '../ports/packet-port.ts'
import * as cap from '../wire/capsulated.ts'
import { Admit } from './admit.ts'
import { ALONE, type DatagramRuns, META, OPEN_JOB, STATUS } from './engine.ts'
import { Heard, localOf, senderOf } from './heard.ts'
import { Keyless } from './keyless.ts'
import type { PlaneParts, Share } from './parts.ts'
import { LOCATED, TELL, type TunnelTable } from './tunnel-table.ts'

/**
 * The opening half of the tunnel plane: checks what a datagram says of itself, queues it as the engine's job, and gives what
 * opened to `Admit`. Nothing is allocated per datagram. `docs/wire.md`, class 4.
 */
export class Inward {
  readonly #p: PlaneParts
  readonly #table: TunnelTable
  readonly #heard: Heard
  readonly #admit: Admit
  readonly #keyless = new Keyless()
  readonly #jobs = shared(Int32Array, MOST_JOBS * OPEN_JOB.words)
  readonly #status = shared(Int8Array, MOST_JOBS)
  /** Per job: row, slot of the datagrams, and whether the negotiation may want to hear of it. */
  readonly #rows = new Int32Array(MOST_JOBS)
  readonly #slots = new Int32Array(MOST_JOBS)
  readonly #notable = new Uint8Array(MOST_JOBS)
  /** Of frames: the newest counter of their lane before this batch. */
  readonly #before = new Float64Array(MOST_JOBS)
  readonly #out = superBatch(OUT_SLOTS)
  readonly #meta = shared(Int32Array, OUT_SLOTS * META.words)
  readonly #share: Share
  #count = 0
  /** The datagram before this one, in the same slot: its first ten bytes, and what they led to. */
  readonly #last = new Int32Array(3)
  #lastHolds = false
  #lastRow = -1
  #lastKey = -1
  #lastFlags = 0
  #lastNotable = 0

  constructor(parts: PlaneParts, table: TunnelTable) {
    this.#p = parts
    this.#table = table
    this.#share = parts.share ?? ALL
    this.#heard = new Heard(parts.emit)
    this.#admit = new Admit(parts, table)
  }

  /** The row's path is gone. */
  forget(row: number): void {
    this.#admit.forget(row)
    this.#keyless.forget(row)
  }

  /** What waited for its path's first key and can be opened now. */
  takeKept(now: Instant): void {
    const kept = this.#keyless.take((row) => this.#table.hasKey(row), now)
    if (kept !== null) this.take(kept, now)
  }

  take(d: DatagramRuns, now: Instant): void {
    for (let i = 0; i < d.count; i++) {
      const base = i * d.slotBytes
      const end = base + (d.lens[i] ?? 0)
      const each = d.segs[i] || end - base
      // What was true of the slot before need not be true of this one's sender.
      this.#lastHolds = false
      for (let at = base; at < end; at += each) {
        if (this.#count === MOST_JOBS) this.#open(d, now)
        this.#queue(d, i, at, Math.min(each, end - at), now)
      }
    }
    this.#open(d, now)
    this.#heard.tellAll(d)
  }

  #queue(d: DatagramRuns, slot: number, at: number, len: number, now: Instant): void {
    const { view } = d
    if (!cap.isCapsulated(view, at, len)) {
      if (len === 0 || view.getUint8(at) === cap.CAPSULATED_FIRST_BYTE) this.#drop('ntm.drop.malformed')
      else this.#pass(d, slot, at, len)
      return
    }
    // Signed: a larger number than 31 bits would be boxed on its way through a call.
    const first = view.getInt32(at)
    const high = view.getUint16(at + 4)
    const low = view.getInt32(at + 6)
    const last = this.#last
    if (!this.#lastHolds || last[0] !== first || last[2] !== low || last[1] !== high) {
      this.#lastHolds = false
      if (!this.#find(d, slot, at, len, high, low, now)) return
      last[0] = first
      last[1] = high
      last[2] = low
      this.#lastHolds = true
    }
    const n = this.#count++
    const j = n * OPEN_JOB.words
    this.#jobs[j + OPEN_JOB.key] = this.#lastKey
    this.#jobs[j + OPEN_JOB.at] = at
    this.#jobs[j + OPEN_JOB.len] = len
    this.#jobs[j + OPEN_JOB.flags] = this.#lastFlags
    this.#rows[n] = this.#lastRow
    this.#slots[n] = slot
    this.#notable[n] = this.#lastNotable
    if (cap.isFrames(view, at)) this.#before[n] = this.#p.engine.newestCounter(this.#lastKey, cap.lane(view, at))
  }

  /** What the header leads to; false, and counted or passed on, when it leads nowhere. */
  #find(d: DatagramRuns, slot: number, at: number, len: number, high: number, low: number, now: Instant): boolean {
    const { view } = d
    // A copy that came with another worker's path would meet a window that has not seen it.
    if ((low & 0xff) % this.#share.of !== this.#share.index) return this.#drop('ntm.drop.other-worker')
    const t = this.#table
    const row = t.byId.find(high, low)
    if (row < 0) {
      this.#pass(d, slot, at, len)
      return false
    }
    const ours = (t.flags[row] ?? 0) >> 7
    if (cap.direction(view, at) === ours) return this.#drop('ntm.drop.wrong-direction')
    const key = t.opening(row, cap.epoch(view, at))
    if (key < 0) {
      if (!t.hasKey(row) && this.#keyless.keep(d, slot, at, len, row, now)) return false
      return this.#drop('ntm.drop.old-epoch')
    }
    const alone = cap.isFrames(view, at) || cap.frag(view, at) !== cap.FRAG_WHOLE
    this.#lastRow = row
    this.#lastKey = key
    this.#lastFlags = cap.lane(view, at) | (alone ? ALONE : 0)
    this.#lastNotable = this.#isNotable(d, slot, row) || !t.keys.wasHeard(key) ? 1 : 0
    return true
  }

  /** Whether any packet of the row is to be told, or this one comes from elsewhere than where the peer is known to be. */
  #isNotable(d: DatagramRuns, slot: number, row: number): boolean {
    const t = this.#table
    const state = t.state[row] ?? 0
    if ((state & TELL) !== 0 || (state & LOCATED) === 0) return true
    const { addrs, ports } = t.places
    if (ports[row] !== d.ports[slot]) return true
    for (let i = 0; i < 16; i++) if (addrs[row * 16 + i] !== d.addrs[slot * 16 + i]) return true
    return false
  }

  #open(d: DatagramRuns, now: Instant): void {
    const count = this.#count
    this.#count = 0
    for (let first = 0; first < count; ) {
      const done = this.#p.engine.open(this.#jobs, first, count, d.arena, this.#out, this.#meta, this.#status)
      invariant(done > 0, 'the engine opens at least one job of a call')
      this.#told(d, first, first + done)
      for (let s = 0; s < this.#out.count; s++) this.#slot(d, s, now)
      this.#p.afterOpen()
      first += done
    }
  }

  /** Counts the refused, and notes what the negotiation is to hear of. */
  #told(d: DatagramRuns, first: number, end: number): void {
    for (let n = first; n < end; n++) {
      const status = this.#status[n] ?? 0
      if (status !== STATUS.done) this.#drop(REFUSED[-status] ?? 'ntm.drop.malformed')
      else if (this.#notable[n] === 1) this.#note(d, n)
    }
  }

  #note(d: DatagramRuns, n: number): void {
    const t = this.#table
    const row = this.#rows[n] ?? 0
    const slot = this.#slots[n] ?? 0
    const j = n * OPEN_JOB.words
    const key = this.#jobs[j + OPEN_JOB.key] ?? 0
    const isNew = !t.keys.wasHeard(key)
    t.keys.heard(key)
    const at = this.#jobs[j + OPEN_JOB.at] ?? 0
    // Frames carry all that would be noted here with them.
    if (cap.isFrames(d.view, at) || !(isNew || this.#isNotable(d, slot, row))) return
    const bytes = this.#jobs[j + OPEN_JOB.len] ?? 0
    this.#heard.note(d, row, cap.epoch(d.view, at), t.keys.serialOf(key), slot, bytes, this.#isNewest(d, n))
  }

  /** Whether it carries the highest counter so far of its lane. */
  #isNewest(d: DatagramRuns, n: number): boolean {
    const j = n * OPEN_JOB.words
    const key = this.#jobs[j + OPEN_JOB.key] ?? 0
    const at = this.#jobs[j + OPEN_JOB.at] ?? 0
    return this.#p.engine.newestCounter(key, cap.lane(d.view, at)) === cap.counter(d.view, at)
  }

  /**
   * The same of frames, when they came: what a peer says in one turn arrives in one batch, and what it said first is not made old by what
   * it said next.
   */
  #wereNewest(d: DatagramRuns, n: number): boolean {
    const j = n * OPEN_JOB.words
    const key = this.#jobs[j + OPEN_JOB.key] ?? 0
    const at = this.#jobs[j + OPEN_JOB.at] ?? 0
    const [lane, counter] = [cap.lane(d.view, at), cap.counter(d.view, at)]
    if (counter <= (this.#before[n] ?? 0)) return false
    for (let m = 0; m < n; m++) {
      if (this.#jobs[m * OPEN_JOB.words + OPEN_JOB.key] !== key || this.#status[m] !== STATUS.done) continue
      const other = this.#jobs[m * OPEN_JOB.words + OPEN_JOB.at] ?? 0
      if (cap.lane(d.view, other) === lane && cap.counter(d.view, other) > counter) return false
    }
    return true
  }

  /** Slot `s` of what opened. */
  #slot(d: DatagramRuns, s: number, now: Instant): void {
    const n = this.#meta[s * META.words + META.first] ?? 0
    const jobs = this.#meta[s * META.words + META.jobs] ?? 1
    const row = this.#rows[n] ?? 0
    const at = this.#jobs[n * OPEN_JOB.words + OPEN_JOB.at] ?? 0
    if (!cap.isFrames(d.view, at)) {
      const bytes = this.#meta[s * META.words + META.bytes] ?? 0
      this.#admit.inner(row, this.#out, s, d.view, at, jobs, bytes, now)
      return
    }
    const { cells } = this.#p
    cells[row * CELLS.words + CELLS.unansweredSince] = Number.NaN
    this.#p.emit({
      event: 'heard',
      row,
      epoch: cap.epoch(d.view, at),
      serial: this.#table.keys.serialOf(this.#jobs[n * OPEN_JOB.words + OPEN_JOB.key] ?? 0),
      from: senderOf(d, this.#slots[n] ?? 0),
      bytes: this.#jobs[n * OPEN_JOB.words + OPEN_JOB.len] ?? 0,
      newest: this.#wereNewest(d, n),
      frames: this.#admit.copy(this.#out, s),
      ...localOf(d, this.#slots[n] ?? 0),
    })
  }

  #pass(d: DatagramRuns, slot: number, at: number, len: number): void {
    this.#p.emit({ event: 'datagram', from: senderOf(d, slot), bytes: new Uint8Array(d.arena.subarray(at, at + len)) })
  }

  #drop(name: string): false {
    this.#p.counters.count(name)
    return false
  }
}

/** By negated status. */
const REFUSED: Readonly<Record<number, string>> = {
  [-STATUS.noKey]: 'ntm.drop.old-epoch',
  [-STATUS.replay]: 'ntm.drop.replay',
  [-STATUS.badTag]: 'ntm.drop.bad-tag',
}

const ALL: Share = { index: 0, of: 1 }
const MOST_JOBS = 2048
const OUT_SLOTS = 128
