import { invariant } from '../base/invariant.ts'
import type { Instant } from '../base/time.ts'
import { type FilterFault, filter } from '../negotiate/filter.ts'
import { cutAt } from '../negotiate/halves.ts'
import { CELLS } from '../negotiate/mirror.ts'
import { UDP } from '../packet/protocol.ts'
import { CSUM_MISSING, shared } from '../ports/packet-port.ts'
import { CAPSULATED_OVERHEAD, FRAG_FIRST, FRAG_SECOND } from '../wire/capsulated.ts'
import { sendAhead } from './ahead.ts'
import { completeCheck } from './checksums.ts'
import { RUN, type Runs, SEAL_JOB, STATUS } from './engine.ts'
import { layoutOf, newLayout } from './layout.ts'
import type { PacketMemory, PlaneParts, PutVerdict } from './parts.ts'
import type { TunnelTable } from './tunnel-table.ts'

type OutwardParts = Pick<PlaneParts, 'engine' | 'cells' | 'counters' | 'emit' | 'send'>

/**
 * The sealing half of the tunnel plane: judges inner packets, queues them as the engine's jobs, and seals and sends the queue in
 * one go. Nothing is allocated per packet; `docs/protocol.md`, MTU, says what is cut how.
 */
export class Outward {
  readonly #p: OutwardParts
  readonly #table: TunnelTable
  readonly #jobs = shared(Int32Array, MOST_JOBS * SEAL_JOB.words)
  readonly #status = shared(Int8Array, MOST_JOBS)
  readonly #runs: Runs = {
    arena: shared(Uint8Array, OUT_BYTES),
    runs: shared(Int32Array, MOST_RUNS * RUN.words),
    count: 0,
    datagrams: 0,
  }
  readonly #worn: number[] = []
  #count = 0
  #arena: Uint8Array | null = null

  constructor(parts: OutwardParts, table: TunnelTable) {
    this.#p = parts
    this.#table = table
  }

  put(row: number, memory: PacketMemory, at: number, len: number, gso: number, now: Instant): PutVerdict {
    const t = this.#table
    const key = t.sealing(row, now)
    if (key < 0) return this.#refuse('not-open')
    const own = t.own[row]
    const peer = t.peer[row]
    if (own === undefined || peer === undefined) return this.#refuse('not-open')
    const fault = filter(memory.view, at, len, own, peer)
    if (fault !== null) return this.#refuse(fault)
    if (t.keys.isUsedUp(key)) return this.#refuse('key-used-up')
    const most = t.whole[row] ?? 0
    if (gso === 0 || gso === CSUM_MISSING) {
      if (len <= most) return this.#queue(memory, key, row, at, len, gso, 0, most, now)
      if (len <= (t.inner[row] ?? 0) && cutAt(len) <= most)
        return this.#halve(memory, key, row, at, len, gso, most, now)
      this.#p.counters.count('ntm.too-big')
      return 'too-big'
    }
    if (!layoutOf(memory.view, at, len, LAYOUT)) return this.#refuse('inner-malformed')
    // TCP is cut to any size on its way; a UDP segment is somebody's datagram.
    if (LAYOUT.protocol === UDP && Math.min(LAYOUT.headers + gso, len) > most) return 'cut-first'
    return this.#queue(memory, key, row, at, len, gso, 0, most, now)
  }

  /** Seals and sends what was put. */
  flush(now: Instant): void {
    const { engine, send } = this.#p
    const { places } = this.#table
    const count = this.#count
    const arena = this.#arena
    this.#count = 0
    this.#arena = null
    if (count === 0 || arena === null) return
    for (let first = 0; first < count; ) {
      const done = engine.seal(this.#jobs, first, count, this.#table.headers, arena, this.#runs, this.#status)
      // A packet larger than all of `out`: nothing a port can have given us.
      invariant(done > 0, 'the engine seals at least one job of a call')
      this.#account(first, first + done, now)
      if (places.hasAhead) this.#sendAhead()
      if (this.#runs.count > 0) send(this.#runs, places.addrs, places.ports, places.vias)
      first += done
    }
    for (let row = this.#worn.pop(); row !== undefined; row = this.#worn.pop()) {
      const serial = this.#table.keys.serialOf(this.#table.sealKey[row] ?? 0)
      this.#p.emit({ event: 'worn', row, epoch: this.#table.sealEpoch[row] ?? 0, serial })
    }
  }

  #halve(
    memory: PacketMemory,
    key: number,
    row: number,
    at: number,
    len: number,
    gso: number,
    most: number,
    now: Instant,
  ): PutVerdict {
    // A half is bytes to the engine: it cannot complete what it does not see whole.
    if (gso === CSUM_MISSING && !completeCheck(memory.view, at, len)) return this.#refuse('inner-malformed')
    const cut = cutAt(len)
    // In this order and with nothing between: the receiver pairs halves by consecutive counters.
    this.#queue(memory, key, row, at, cut, 0, FRAG_FIRST, most, now)
    return this.#queue(memory, key, row, at + cut, len - cut, 0, FRAG_SECOND, most, now)
  }

  #queue(
    memory: PacketMemory,
    key: number,
    row: number,
    at: number,
    len: number,
    gso: number,
    frag: number,
    most: number,
    now: Instant,
  ): PutVerdict {
    // The engine takes jobs of one arena at a time.
    if (this.#count === MOST_JOBS || this.#arena !== memory.arena) this.flush(now)
    this.#arena = memory.arena
    const jobs = this.#jobs
    const j = this.#count++ * SEAL_JOB.words
    jobs[j + SEAL_JOB.key] = key
    jobs[j + SEAL_JOB.row] = row
    jobs[j + SEAL_JOB.at] = at
    jobs[j + SEAL_JOB.len] = len
    jobs[j + SEAL_JOB.gso] = gso
    jobs[j + SEAL_JOB.flags] = (this.#table.flags[row] ?? 0) | (frag << 2)
    jobs[j + SEAL_JOB.most] = most
    return 'queued'
  }

  /** Jobs `[first, end)` are done: counts what was refused, and keeps the clockwork of the rows that sent. */
  #account(first: number, end: number, now: Instant): void {
    const jobs = this.#jobs
    const { cells } = this.#p
    for (let i = first; i < end; i++) {
      const j = i * SEAL_JOB.words
      const row = jobs[j + SEAL_JOB.row] ?? 0
      const status = this.#status[i] ?? 0
      if (status !== STATUS.done) this.#refused(status, row, jobs[j + SEAL_JOB.key] ?? 0)
      else if ((((jobs[j + SEAL_JOB.flags] ?? 0) >> 2) & 3) === FRAG_SECOND) {
        // Two datagrams, one packet.
        const at = row * CELLS.words + CELLS.packetsOut
        cells[at] = (cells[at] ?? 0) - 1
        this.#p.counters.count('ntm.halved')
      }
    }
    const { runs, count } = this.#runs
    for (let r = 0; r < count * RUN.words; r += RUN.words) {
      const len = runs[r + RUN.len] ?? 0
      const each = runs[r + RUN.each] ?? 0
      this.#sent(runs[r + RUN.row] ?? 0, each > 0 ? Math.ceil(len / each) : 1, len, now)
    }
  }

  #sent(row: number, datagrams: number, bytes: number, now: Instant): void {
    const { cells } = this.#p
    const c = row * CELLS.words
    const inner = bytes - datagrams * CAPSULATED_OVERHEAD
    cells[c + CELLS.lastSent] = now
    cells[c + CELLS.lastInner] = now
    cells[c + CELLS.owedSince] = Number.NaN
    if (Number.isNaN(cells[c + CELLS.unansweredSince])) cells[c + CELLS.unansweredSince] = now
    cells[c + CELLS.packetsOut] = (cells[c + CELLS.packetsOut] ?? 0) + datagrams
    cells[c + CELLS.bytesOut] = (cells[c + CELLS.bytesOut] ?? 0) + inner
    if (this.#table.keys.sealed(this.#table.sealKey[row] ?? 0, datagrams, inner)) this.#worn.push(row)
  }

  /** Sealed and beyond the allowance of a peer that is nowhere else: the key was used, so they were accounted all the same. */
  #sendAhead(): void {
    const lost = sendAhead(this.#runs, this.#table.places)
    if (lost > 0) this.#p.counters.count(UNSENT['not-open'], lost)
  }

  #refused(status: number, row: number, key: number): void {
    switch (status) {
      case STATUS.usedUp:
        if (this.#table.keys.usedUp(key)) this.#worn.push(row)
        this.#refuse('key-used-up')
        return
      case STATUS.noKey:
        this.#refuse('not-open')
        return
      case STATUS.tooBig:
        this.#p.counters.count('ntm.too-big')
        return
      default:
        this.#refuse('inner-malformed')
    }
  }

  #refuse(why: Refusal): Refusal {
    this.#p.counters.count(UNSENT[why])
    return why
  }
}

type Refusal = 'not-open' | 'key-used-up' | FilterFault

/** Written out: a name put together per packet would be an allocation per packet. */
const UNSENT: Readonly<Record<Refusal, string>> = {
  'not-open': 'ntm.unsent.not-open',
  'key-used-up': 'ntm.unsent.key-used-up',
  'inner-malformed': 'ntm.unsent.inner-malformed',
  'source-not-allowed': 'ntm.unsent.source-not-allowed',
  'destination-not-allowed': 'ntm.unsent.destination-not-allowed',
  'embedded-not-allowed': 'ntm.unsent.embedded-not-allowed',
}

/** Refilled by each `layoutOf`, read at once. */
const LAYOUT = newLayout()
const MOST_JOBS = 1024
const MOST_RUNS = 2048
/** Seven super-packets a call: large enough to be worth the call, small enough to stay in the processor's second cache. */
const OUT_BYTES = 512 << 10
