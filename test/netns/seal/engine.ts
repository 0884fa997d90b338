import { packetIo } from '#io/native.ts'
import type { Keys } from '#native/packet-io/index.d.ts'
import type { SuiteId } from '#ntm-lib/crypto/suite.ts'
import { SUPER_SLOT_BYTES } from '#ntm-lib/ports/packet-port.ts'

export const HEADROOM = 64
export const NONCE = Uint8Array.from({ length: 12 }, (_, i) => 0xa0 + i)
export const keyOf = (suite: SuiteId): Uint8Array => new Uint8Array(suite === 1 ? 16 : 32).fill(0x30 + suite)

export type Sealing = {
  readonly packet: Uint8Array
  readonly gso?: number
  readonly key?: number
  readonly row?: number
  readonly flags?: number
  readonly most?: number
}
export type Sealed = {
  readonly datagrams: Uint8Array[]
  readonly rows: number[]
  readonly runs: number[][]
  readonly status: number[]
  readonly jobs: number
}
export type Opening = {
  readonly datagram: Uint8Array
  readonly key?: number
  readonly lane?: number
  readonly alone?: boolean
}
export type Slot = {
  readonly bytes: Uint8Array
  readonly gso: number
  readonly first: number
  readonly jobs: number
  readonly inner: number
}
export type Opened = { readonly slots: Slot[]; readonly status: number[]; readonly jobs: number }

/** The addon's engine with memory of its own: arrays in, arrays out, for tests. */
export class TestEngine {
  readonly io = packetIo()
  readonly keys: Keys = this.io.newKeys(0, 0)
  #out = new Uint8Array(0)

  /** Both halves of one key at an index. */
  key(index: number, suite: SuiteId, { most = 2 ** 28, bytes = 2 ** 39, window = 8192 } = {}): void {
    this.io.setSeal(this.keys, index, suite, keyOf(suite), NONCE, most, bytes)
    this.io.setOpen(this.keys, index, suite, keyOf(suite), NONCE, window)
  }

  seal(sealing: readonly Sealing[], { first = 0, outBytes = 1 << 20, runRoom = 256 } = {}): Sealed {
    const jobs = new Int32Array(8 * sealing.length)
    const arena = new Uint8Array(sealing.reduce((n, s) => n + s.packet.length, 0) + 1)
    const headers = Uint8Array.from({ length: 16 * 4 }, (_, i) => 0xc0 + (i >> 4))
    let at = 0
    for (const [i, s] of sealing.entries()) {
      arena.set(s.packet, at)
      const { key = 0, row = 0, gso = 0, flags = 0x10, most = 65_535 } = s
      jobs.set([key, row, at, s.packet.length, gso, flags, most, 0], 8 * i)
      at += s.packet.length
    }
    const out = new Uint8Array(outBytes)
    const words = new Int32Array(4 * runRoom)
    const status = new Int8Array(sealing.length).fill(99)
    const done = new Int32Array(4)
    const count = sealing.length
    const done0 = this.io.seal(this.keys, jobs, first, count, headers, arena, out, words, status, done)
    const runs = Array.from({ length: done[1] ?? 0 }, (_, i) => Array.from(words.subarray(4 * i, 4 * i + 4)))
    const datagrams: Uint8Array[] = []
    const rows: number[] = []
    for (const [row = 0, from = 0, len = 0, each = 1] of runs)
      for (let p = 0; p < len; p += each) {
        datagrams.push(out.slice(from + p, from + Math.min(p + each, len)))
        rows.push(row)
      }
    if (datagrams.length !== done[3]) throw new Error(`${datagrams.length} datagrams in runs, told ${done[3]}`)
    if (datagrams.reduce((n, d) => n + d.length, 0) !== done[2]) throw new Error('runs do not cover what was written')
    if (done[0] !== done0) throw new Error('two counts of jobs')
    return { datagrams, rows, runs, status: [...status], jobs: done0 }
  }

  open(opening: readonly Opening[], { join = true, slots = 256, most = 65_000, first = 0 } = {}): Opened {
    const jobs = new Int32Array(4 * opening.length)
    const arena = new Uint8Array(opening.reduce((n, o) => n + o.datagram.length, 0) + 1)
    let at = 0
    for (const [i, o] of opening.entries()) {
      arena.set(o.datagram, at)
      const lane = o.lane ?? ((o.datagram[1] ?? 0) >> 4) & 3
      jobs.set([o.key ?? 0, at, o.datagram.length, lane | (o.alone === true ? 4 : 0)], 4 * i)
      at += o.datagram.length
    }
    const before = arena.slice()
    const out = this.#slots(slots)
    const lens = new Uint32Array(slots)
    const gso = new Uint16Array(slots)
    const meta = new Int32Array(3 * slots)
    const status = new Int8Array(opening.length).fill(99)
    const done = new Int32Array(2)
    const count = opening.length
    const jobsDone = this.io.open(
      this.keys,
      jobs,
      first,
      count,
      arena,
      out,
      SUPER_SLOT_BYTES,
      HEADROOM,
      lens,
      gso,
      meta,
      join,
      most,
      status,
      done,
    )
    if (Buffer.compare(arena, before) !== 0) throw new Error('opening wrote to where the datagrams are')
    const opened = Array.from({ length: done[1] ?? 0 }, (_, i): Slot => {
      const start = i * SUPER_SLOT_BYTES
      if (out.subarray(start, start + HEADROOM).some((b) => b !== GROUND)) throw new Error('headroom was written to')
      const bytes = out.slice(start + HEADROOM, start + HEADROOM + (lens[i] ?? 0))
      const [first = 0, jobs = 0, inner = 0] = meta.subarray(3 * i, 3 * i + 3)
      return { bytes, gso: gso[i] ?? 0, first, jobs, inner }
    })
    return { slots: opened, status: [...status], jobs: jobsDone }
  }

  /** Kept between calls, for it is large. */
  #slots(count: number): Uint8Array {
    const bytes = count * SUPER_SLOT_BYTES
    if (this.#out.length < bytes) this.#out = new Uint8Array(bytes).fill(GROUND)
    return this.#out.subarray(0, bytes)
  }
}

const GROUND = 0x5a
