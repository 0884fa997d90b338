import type { CryptoSuite, SuiteId } from '../crypto/suite.ts'
import { UDP } from '../packet/protocol.ts'
import { CSUM_MISSING, HEADROOM, type SuperBatch, slotAt } from '../ports/packet-port.ts'
import { CAPSULATED_OVERHEAD, counter, lane, TAG_BYTES } from '../wire/capsulated.ts'
import { HEADER_BYTES, setU48 } from '../wire/header.ts'
import { completeCheck } from './checksums.ts'
import { cutSegment, segmentsOf } from './cut.ts'
import { META, OPEN_JOB, type PacketEngine, RUN, type Runs, SEAL_JOB, STATUS } from './engine.ts'
import { layoutOf, newLayout } from './layout.ts'
import { ScriptOpenKey, ScriptSealKey } from './script-keys.ts'

/**
 * The engine in JavaScript: for machines without the addon, and a second opinion on it. It cuts super-packets but joins nothing,
 * and it allocates as it likes.
 */
export class ScriptEngine implements PacketEngine {
  readonly #suite: CryptoSuite
  readonly #seals: (ScriptSealKey | null)[] = []
  readonly #opens: (ScriptOpenKey | null)[] = []
  readonly #layout = newLayout()
  readonly #segment = memoryOf(new Uint8Array(0x10000))

  constructor(suite: CryptoSuite) {
    this.#suite = suite
  }

  setSeal(
    index: number,
    suite: SuiteId,
    key: Uint8Array,
    nonce: Uint8Array,
    mostPackets: number,
    mostBytes: number,
  ): void {
    this.#seals[index] = new ScriptSealKey(this.#suite.aead(suite, key), nonce, mostPackets, mostBytes)
  }

  setOpen(index: number, suite: SuiteId, key: Uint8Array, nonce: Uint8Array, window: number): void {
    this.#opens[index] = new ScriptOpenKey(this.#suite.aead(suite, key), nonce, window)
  }

  clearSeal(index: number): void {
    this.#seals[index] = null
  }

  clearOpen(index: number): void {
    this.#opens[index] = null
  }

  newestCounter(index: number, lane: number): number {
    return this.#opens[index]?.newest(lane) ?? -1
  }

  seal(
    jobs: Int32Array,
    first: number,
    count: number,
    headers: Uint8Array,
    arena: Uint8Array,
    out: Runs,
    status: Int8Array,
  ): number {
    const from = memoryOf(arena)
    const writer = new RunWriter(out)
    for (let i = first; i < count; i++) {
      const said = this.#sealJob(jobs, i * SEAL_JOB.words, headers, from, writer)
      if (said === null) return i - first
      status[i] = said
    }
    return count - first
  }

  open(
    jobs: Int32Array,
    first: number,
    count: number,
    arena: Uint8Array,
    out: SuperBatch,
    meta: Int32Array,
    status: Int8Array,
  ): number {
    const view = new DataView(arena.buffer, arena.byteOffset, arena.byteLength)
    out.count = 0
    for (let i = first; i < count; i++) {
      if (out.count === out.lens.length) return i - first
      const j = i * OPEN_JOB.words
      const [at, len] = [jobs[j + OPEN_JOB.at] ?? 0, jobs[j + OPEN_JOB.len] ?? 0]
      const inner = this.#openOne(jobs[j + OPEN_JOB.key] ?? 0, arena.subarray(at, at + len), view, at)
      status[i] = typeof inner === 'number' ? inner : STATUS.done
      if (typeof inner === 'number') continue
      if (inner.length > out.slotBytes - HEADROOM) {
        status[i] = STATUS.malformed
        continue
      }
      const s = out.count++
      out.arena.set(inner, slotAt(out, s))
      out.lens[s] = inner.length
      out.gso[s] = 0
      meta[s * META.words + META.first] = i
      meta[s * META.words + META.jobs] = 1
      meta[s * META.words + META.bytes] = inner.length
    }
    return count - first
  }

  /** Status of the job; null when `out` has no room for it now. */
  #sealJob(jobs: Int32Array, j: number, headers: Uint8Array, from: Memory, writer: RunWriter): number | null {
    const key = this.#seals[jobs[j + SEAL_JOB.key] ?? 0] ?? null
    const [row, at, len] = [jobs[j + SEAL_JOB.row] ?? 0, jobs[j + SEAL_JOB.at] ?? 0, jobs[j + SEAL_JOB.len] ?? 0]
    const [gso, flags, most] = [
      jobs[j + SEAL_JOB.gso] ?? 0,
      jobs[j + SEAL_JOB.flags] ?? 0,
      jobs[j + SEAL_JOB.most] ?? 0,
    ]
    if (key === null) return STATUS.noKey
    const isPart = (flags & PART_FLAGS) !== 0
    if (isPart && gso !== 0) return STATUS.malformed
    const plain = gso === 0 || gso === CSUM_MISSING
    if (plain && len > most) return STATUS.tooBig
    let [each, count, bytes] = [len, 1, len]
    if (!plain) {
      const l = this.#layout
      if (!layoutOf(from.view, at, len, l)) return STATUS.malformed
      if (l.protocol === UDP && Math.min(l.headers + gso, len) > most) return STATUS.tooBig
      each = Math.min(gso, most - l.headers)
      if (each <= 0) return STATUS.tooBig
      count = segmentsOf(l, len, each)
      bytes = len + (count - 1) * l.headers
    }
    if (bytes + count * CAPSULATED_OVERHEAD > writer.capacity) return STATUS.tooBig
    if (!key.allows(count, bytes)) return STATUS.usedUp
    if (!writer.fits(bytes + count * CAPSULATED_OVERHEAD)) return null
    // Last, for it changes the packet: a job that is begun again must find it as it was.
    if (gso === CSUM_MISSING && !completeCheck(from.view, at, len)) return STATUS.malformed
    for (let i = 0; i < count; i++) {
      const length = plain ? len : cutSegment(from, at, len, this.#layout, each, i, this.#segment)
      const inner = plain ? from.arena.subarray(at, at + len) : this.#segment.arena.subarray(0, length)
      this.#sealOne(key, flags, headers.subarray(row * HEADER_BYTES, (row + 1) * HEADER_BYTES), inner, row, writer)
    }
    return STATUS.done
  }

  #sealOne(
    key: ScriptSealKey,
    flags: number,
    template: Uint8Array,
    inner: Uint8Array,
    row: number,
    writer: RunWriter,
  ): void {
    const lane = (flags >> 4) & 3
    const number = key.take(lane, inner.length)
    const header = new Uint8Array(template)
    header[1] = flags
    setU48(new DataView(header.buffer), 10, number)
    writer.write(row, header, key.aead.seal(key.nonce(lane, number), header, inner))
  }

  /** The inner bytes, or the status of what is none. */
  #openOne(index: number, datagram: Uint8Array, view: DataView, at: number): Uint8Array | number {
    const key = this.#opens[index] ?? null
    if (key === null) return STATUS.noKey
    if (datagram.length < HEADER_BYTES + TAG_BYTES) return STATUS.short
    const [l, n] = [lane(view, at), counter(view, at)]
    if (!key.fresh(l, n)) return STATUS.replay
    const header = datagram.subarray(0, HEADER_BYTES)
    const inner = key.aead.open(key.nonce(l, n), header, datagram.subarray(HEADER_BYTES))
    if (inner === null) return STATUS.badTag
    key.commit(l, n)
    return inner
  }
}

type Memory = { readonly arena: Uint8Array; readonly view: DataView }

/** Puts datagrams back to back and joins those of one row and length to runs. */
class RunWriter {
  readonly #out: Runs
  #bytes = 0
  /** Whether the last run may grow: it ends with a datagram of its full length. */
  #grows = false

  constructor(out: Runs) {
    this.#out = out
    out.count = 0
    out.datagrams = 0
  }

  get capacity(): number {
    return this.#out.arena.length
  }

  fits(bytes: number): boolean {
    return this.#bytes + bytes <= this.capacity && this.#out.count < this.#out.runs.length / RUN.words - 1
  }

  write(row: number, header: Uint8Array, sealed: Uint8Array): void {
    const { arena, runs } = this.#out
    const length = header.length + sealed.length
    arena.set(header, this.#bytes)
    arena.set(sealed, this.#bytes + header.length)
    let r = (this.#out.count - 1) * RUN.words
    if (!this.#grows || runs[r + RUN.row] !== row || length > (runs[r + RUN.each] ?? 0)) {
      r = this.#out.count++ * RUN.words
      runs[r + RUN.row] = row
      runs[r + RUN.at] = this.#bytes
      runs[r + RUN.len] = 0
      runs[r + RUN.each] = length
    }
    runs[r + RUN.len] = (runs[r + RUN.len] ?? 0) + length
    this.#grows = length === runs[r + RUN.each]
    this.#bytes += length
    this.#out.datagrams++
  }
}

const memoryOf = (arena: Uint8Array): Memory => ({
  arena,
  view: new DataView(arena.buffer, arena.byteOffset, arena.byteLength),
})

/** Frames or a half: bytes that are no IP packet of their own. */
const PART_FLAGS = 0x4c
