import type { Endpoint } from '#ntm-lib/addr/endpoint.ts'
import { parseEndpoint } from '#ntm-lib/addr/endpoint.ts'
import { ip16 } from '#ntm-lib/addr/ip.ts'
import { type Prefix, parsePrefix } from '#ntm-lib/addr/prefix.ts'
import { VIA_BYTES } from '#ntm-lib/addr/via.ts'
import { BugError } from '#ntm-lib/base/invariant.ts'
import { type Instant, instant } from '#ntm-lib/base/time.ts'
import type { SealSecret } from '#ntm-lib/crypto/schedule.ts'
import type { KeyLimits } from '#ntm-lib/crypto/seal.ts'
import { AES_128_GCM, type SuiteId } from '#ntm-lib/crypto/suite.ts'
import { CELLS, type MirrorEvent, type MirroredEpoch, type MirroredPath } from '#ntm-lib/negotiate/mirror.ts'
import { type DatagramRuns, type PacketEngine, RUN } from '#ntm-lib/plane/engine.ts'
import { type PlaneParts, type PutVerdict, type Share, TunnelPlane } from '#ntm-lib/plane/tunnel-plane.ts'
import { CounterMap } from '#ntm-lib/ports/counters.ts'
import { HEADROOM } from '#ntm-lib/ports/packet-port.ts'
import { plainPackets } from './tcp-packets.ts'

export const ROW = 1
export const LEFT_AT = endpoint('192.0.2.1:4330')
export const RIGHT_AT = endpoint('[2001:db8::2]:4330')
export const NOW = instant(1000)

export type Datagram = { readonly bytes: Uint8Array; readonly from: Endpoint }
export type EndOptions = {
  readonly lane?: number
  readonly rows?: number
  readonly limits?: KeyLimits
  readonly share?: Share
}

/** A tunnel plane with everything it says and sends kept. */
export class PlaneEnd {
  readonly plane: TunnelPlane
  readonly cells: Float64Array
  readonly counters = new CounterMap()
  readonly events: MirrorEvent[] = []
  /** Inner packets as they were given, copied. */
  readonly inner: { readonly row: number; readonly bytes: Uint8Array; readonly gso: number }[] = []
  readonly sent: {
    readonly row: number
    readonly to: Uint8Array
    readonly port: number
    /** Null when none was named for any row. */
    readonly via: Uint8Array | null
    readonly bytes: Uint8Array
  }[] = []
  rounds = 0
  now: Instant = NOW
  readonly at: Endpoint

  constructor(
    engine: PacketEngine,
    at: Endpoint,
    { lane = 1, rows = 16, limits, share = { index: 0, of: 1 } }: EndOptions = {},
  ) {
    this.at = at
    this.cells = new Float64Array(rows * CELLS.words)
    for (let i = 0; i < this.cells.length; i += CELLS.words) {
      this.cells[i + CELLS.unansweredSince] = Number.NaN
      this.cells[i + CELLS.owedSince] = Number.NaN
    }
    const parts: PlaneParts = {
      engine,
      lane,
      share,
      cells: this.cells,
      counters: this.counters,
      emit: (event) => this.events.push(event),
      send: ({ arena, runs, count }, addrs, ports, vias) => {
        for (let r = 0; r < count * RUN.words; r += RUN.words) {
          const [row, at, len, each] = runs.subarray(r, r + 4) as unknown as [number, number, number, number]
          for (let p = at; p < at + len; p += each) {
            const bytes = arena.slice(p, Math.min(p + each, at + len))
            const via = vias?.slice(row * VIA_BYTES, (row + 1) * VIA_BYTES) ?? null
            this.sent.push({ row, to: addrs.slice(row * 16, row * 16 + 16), port: ports[row] ?? 0, via, bytes })
          }
        }
      },
      onInner: (row, batch, i) => {
        const start = i * batch.slotBytes + HEADROOM
        const bytes = batch.arena.slice(start, start + (batch.lens[i] ?? 0))
        this.inner.push({ row, bytes, gso: batch.gso[i] ?? 0 })
      },
      afterOpen: () => {
        this.rounds++
      },
    }
    this.plane = new TunnelPlane(limits === undefined ? parts : { ...parts, limits })
  }

  path(path: MirroredPath): void {
    this.plane.apply({ mirror: 'path', path }, this.now)
  }

  /** Puts a copy; the memory is the packet's own, so every packet is flushed by itself unless `queue` is used. */
  put(bytes: Uint8Array, gso = 0, row = ROW): PutVerdict {
    const [verdict] = this.putAll([{ bytes, gso }], row)
    return verdict as PutVerdict
  }

  /** Puts many in one arena, then flushes. */
  putAll(packets: readonly { readonly bytes: Uint8Array; readonly gso: number }[], row = ROW): PutVerdict[] {
    const verdicts = this.queue(packets, row)
    this.plane.flush(this.now)
    return verdicts
  }

  queue(packets: readonly { readonly bytes: Uint8Array; readonly gso: number }[], row = ROW): PutVerdict[] {
    const arena = new Uint8Array(packets.reduce((n, p) => n + p.bytes.length + 2 * HEADROOM, 0))
    const view = new DataView(arena.buffer)
    let at = HEADROOM
    return packets.map(({ bytes, gso }) => {
      arena.set(bytes, at)
      const verdict = this.plane.put(row, { arena, view }, at, bytes.length, gso, this.now)
      at += bytes.length + 2 * HEADROOM
      return verdict
    })
  }

  /** What was sent since the last call, as it arrives at the other end. */
  leaving(): Datagram[] {
    return this.sent.splice(0).map(({ bytes }) => ({ bytes, from: this.at }))
  }

  take(datagrams: readonly Datagram[]): void {
    this.plane.take(received(datagrams), this.now)
  }

  /** Everything that came out since the last call, as plain packets. */
  plain(): Uint8Array[] {
    return this.inner.splice(0).flatMap(({ bytes, gso }) => plainPackets(bytes, gso))
  }

  cell(name: Exclude<keyof typeof CELLS, 'words'>, row = ROW): number {
    return this.cells[row * CELLS.words + CELLS[name]] as number
  }
}

/** Datagrams as a socket with GRO gives them: equal neighbours of one sender share a slot. */
export function received(datagrams: readonly Datagram[]): DatagramRuns {
  const groups: { readonly from: Endpoint; readonly each: number; readonly all: Uint8Array[]; closed: boolean }[] = []
  for (const { bytes, from } of datagrams) {
    const last = groups.at(-1)
    if (last !== undefined && !last.closed && last.from === from && bytes.length <= last.each && last.all.length < 40) {
      last.all.push(bytes)
      last.closed = bytes.length < last.each
    } else groups.push({ from, each: bytes.length, all: [bytes], closed: false })
  }
  const slotBytes = 70_000
  const arena = new Uint8Array(groups.length * slotBytes)
  const runs: DatagramRuns = {
    arena,
    view: new DataView(arena.buffer),
    slotBytes,
    lens: new Uint32Array(groups.length),
    segs: new Uint16Array(groups.length),
    addrs: new Uint8Array(groups.length * 16),
    ports: new Uint16Array(groups.length),
    count: groups.length,
  }
  for (const [i, g] of groups.entries()) {
    let at = i * slotBytes
    for (const bytes of g.all) {
      arena.set(bytes, at)
      at += bytes.length
    }
    runs.lens[i] = at - i * slotBytes
    runs.segs[i] = g.each
    runs.addrs.set(ip16(g.from.ip), i * 16)
    runs.ports[i] = g.from.port
  }
  return runs
}

export const prefixes = (...texts: readonly string[]): Prefix[] =>
  texts.map((t) => parsePrefix(t) ?? raise(`not a prefix: ${t}`))

export const LEFT_HOSTS = prefixes('10.1.0.0/24', 'fd00:1::/64')
export const RIGHT_HOSTS = prefixes('10.2.0.9/32', 'fd00:2::9/128')

/** A path between two ends as `left` (the opener) sees it, and as `right` does. */
export function pathPair(
  changes: Partial<MirroredPath> = {},
  epochs: readonly { readonly epoch: number; readonly serial: number }[] = [{ epoch: 1, serial: 1 }],
): { readonly left: MirroredPath; readonly right: MirroredPath } {
  const keysOf = (opener: boolean): MirroredEpoch[] =>
    epochs.map(({ epoch, serial }) => {
      const [down, up] = [secretOf(serial * 2), secretOf(serial * 2 + 1)]
      return { epoch, serial, seal: opener ? down : up, open: opener ? up : down }
    })
  const shared = {
    row: ROW,
    peer: 'a peer',
    ids: [0xa1b2c3d4e5f6, 0xa1b2c3d4e5f7],
    id: 0xa1b2c3d4e5f6,
    wholeBytes: 1400,
    innerBytes: 1400,
    clampBytes: 1400,
    leads: true,
    seals: { epoch: epochs.at(-1)?.epoch ?? 0, until: instant(1e9) },
    tell: false,
    via: null,
    ahead: null,
  }
  return {
    left: {
      ...shared,
      direction: 0,
      to: RIGHT_AT,
      ownAllowed: LEFT_HOSTS,
      peerAllowed: RIGHT_HOSTS,
      epochs: keysOf(true),
      ...changes,
    },
    right: {
      ...shared,
      direction: 1,
      to: LEFT_AT,
      ownAllowed: RIGHT_HOSTS,
      peerAllowed: LEFT_HOSTS,
      epochs: keysOf(false),
      ...changes,
    },
  }
}

export const secretOf = (seed: number, suiteId: SuiteId = AES_128_GCM): SealSecret => ({
  suiteId,
  key: Uint8Array.from({ length: suiteId === AES_128_GCM ? 16 : 32 }, (_, i) => (seed * 31 + i) & 0xff),
  iv: Uint8Array.from({ length: 12 }, (_, i) => (seed * 17 + i * 3) & 0xff),
})

function endpoint(text: string): Endpoint {
  return parseEndpoint(text) ?? raise(`not an endpoint: ${text}`)
}

function raise(why: string): never {
  throw new BugError(why)
}
