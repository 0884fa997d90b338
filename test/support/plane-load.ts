import { ip16 } from '#ntm-lib/addr/ip.ts'
import type { Instant } from '#ntm-lib/base/time.ts'
import { CELLS } from '#ntm-lib/negotiate/mirror.ts'
import { type DatagramRuns, META, OPEN_JOB, type PacketEngine, RUN, SEAL_JOB } from '#ntm-lib/plane/engine.ts'
import { TunnelPlane } from '#ntm-lib/plane/tunnel-plane.ts'
import { CounterMap } from '#ntm-lib/ports/counters.ts'
import { HEADROOM, SUPER_SLOT_BYTES, slotAt } from '#ntm-lib/ports/packet-port.ts'
import { LEFT_AT, pathPair, ROW } from '#test/support/plane-world.ts'
import { packetOf } from '#test/support/tcp-packets.ts'

/** One kind of inner packet for the bench: `payload` bytes, cut every `gso`. */
export type Kind = {
  readonly name: string
  readonly from: string
  readonly to: string
  /** Tunnels they are spread over, in turn. */
  readonly rows: number
  readonly payload: number
  readonly gso: number
  readonly protocol: 'tcp' | 'udp'
  /** By a way of their own, all to an address that the peer has not proven. */
  readonly ahead?: boolean
}

const FOUR = { from: '10.1.0.5', to: '10.2.0.9', rows: 1 }
const SIX = { from: 'fd00:1::5', to: 'fd00:2::9', rows: 1 }
export const KINDS: readonly Kind[] = [
  { name: 'UDP 64 B', ...FOUR, payload: 36, gso: 0, protocol: 'udp' },
  { name: 'UDP 64 B, 200 tunnels', ...FOUR, rows: 200, payload: 36, gso: 0, protocol: 'udp' },
  { name: 'UDP 1400 B, IPv6', ...SIX, payload: 1352, gso: 0, protocol: 'udp' },
  { name: 'TCP 64 KiB of 1360 B', ...FOUR, payload: 47 * 1360, gso: 1360, protocol: 'tcp' },
]

/** No kind of traffic to compare with: what the bench leaves out. */
export const MOVING: Kind = {
  name: 'TCP 64 KiB ahead of a proof',
  ...FOUR,
  payload: 47 * 1360,
  gso: 1360,
  protocol: 'tcp',
  ahead: true,
}

/** Packets of a kind back to back in one arena, put and flushed again and again by an end whose sent datagrams are kept in `wire`. */
export class Sender {
  readonly plane: TunnelPlane
  readonly wire: DatagramRuns
  readonly count: number
  readonly #arena: Uint8Array
  readonly #fresh: Uint8Array
  readonly #memory: { readonly arena: Uint8Array; readonly view: DataView }
  readonly #kind: Kind
  readonly #bytes: number
  /** Whether what is sent is copied to `wire`. */
  keep = false

  constructor(engine: PacketEngine, kind: Kind, count: number) {
    this.#kind = kind
    this.count = count
    const packet = packetOf(kind)
    this.#bytes = packet.length
    this.#arena = new Uint8Array(count * (packet.length + 2 * HEADROOM))
    this.#memory = { arena: this.#arena, view: new DataView(this.#arena.buffer) }
    for (let i = 0; i < count; i++) this.#arena.set(packet, this.at(i))
    this.#fresh = this.#arena.slice()
    this.wire = datagrams(count)
    this.plane = planeOf(engine, (runs) => {
      if (!this.keep) return
      for (let r = 0; r < runs.count * RUN.words; r += RUN.words) {
        const [from, each] = [runs.runs[r + RUN.at] ?? 0, runs.runs[r + RUN.each] ?? 0]
        const end = from + (runs.runs[r + RUN.len] ?? 0)
        // As much as the kernel would give as one.
        const most = Math.min(64, Math.floor(65_000 / each)) * each
        for (let p = from; p < end; p += most) this.#arrive(runs.arena, p, Math.min(p + most, end), each)
      }
    })
    tell(this.plane, kind.rows, 'left', kind.ahead)
  }

  at(i: number): number {
    return HEADROOM + i * (this.#bytes + 2 * HEADROOM)
  }

  put(): void {
    for (let i = 0; i < this.count; i++)
      this.plane.put(ROW + (i % this.#kind.rows), this.#memory, this.at(i), this.#bytes, this.#kind.gso, NOW)
  }

  flush(): void {
    this.plane.flush(NOW)
  }

  /** Sealing destroys packets: puts them back. */
  refresh(): void {
    this.#arena.set(this.#fresh)
    this.wire.count = 0
  }

  /** Writes the inner headers unsealed where the sealed ones were, for `idleEngine` to find. */
  unseal(): void {
    const { arena, slotBytes, lens, segs, count } = this.wire
    const head = this.#fresh.subarray(HEADROOM, HEADROOM + Math.min(64, this.#bytes))
    for (let i = 0; i < count; i++) {
      const end = i * slotBytes + (lens[i] ?? 0)
      for (let p = i * slotBytes; p < end; p += segs[i] ?? end) arena.set(head, p + 16)
    }
  }

  /** Copied byte by byte: a view of each would be an allocation, and those are what one test counts. */
  #arrive(arena: Uint8Array, from: number, to: number, each: number): void {
    const i = this.wire.count++
    const at = i * this.wire.slotBytes - from
    for (let p = from; p < to; p++) this.wire.arena[at + p] = arena[p] ?? 0
    this.wire.lens[i] = to - from
    this.wire.segs[i] = each
  }
}

/** The other end; what it opens is counted. */
export class Receiver {
  readonly plane: TunnelPlane
  slots = 0
  bytes = 0
  /** What a role would do with a slot. */
  onSlot: () => void = () => {}

  constructor(engine: PacketEngine, rows: number) {
    this.plane = planeOf(
      engine,
      () => {},
      (bytes) => {
        this.slots++
        this.bytes += bytes
        this.onSlot()
      },
    )
    tell(this.plane, rows, 'right')
  }

  take(wire: DatagramRuns): void {
    this.plane.take(wire, NOW)
  }
}

/** An engine that does nothing but answer: what is left is the cost of JavaScript around it. */
export function idleEngine(segments: number, innerBytes: number, joined = segments): PacketEngine {
  const nothing = (): void => {}
  return {
    setSeal: nothing,
    setOpen: nothing,
    clearSeal: nothing,
    clearOpen: nothing,
    newestCounter: () => 0,
    seal(jobs, first, count, _headers, _arena, out, status) {
      out.count = 1
      out.runs[RUN.row] = jobs[first * SEAL_JOB.words + SEAL_JOB.row] ?? 0
      out.runs[RUN.at] = 0
      out.runs[RUN.each] = innerBytes + 32
      out.runs[RUN.len] = (count - first) * segments * (innerBytes + 32)
      status.fill(0, first, count)
      return count - first
    },
    open(jobs, first, count, arena, out, meta, status) {
      let s = 0
      let i = first
      const head = Math.min(64, innerBytes)
      for (; i < count && s < out.lens.length; s++) {
        const jobsHere = Math.min(joined, count - i)
        const at = jobs[i * OPEN_JOB.words + OPEN_JOB.at] ?? 0
        for (let b = 0; b < head; b++) out.arena[slotAt(out, s) + b] = arena[at + 16 + b] ?? 0
        out.lens[s] = innerBytes
        out.gso[s] = 0
        meta[s * META.words + META.first] = i
        meta[s * META.words + META.jobs] = jobsHere
        meta[s * META.words + META.bytes] = innerBytes * jobsHere
        i += jobsHere
      }
      out.count = s
      status.fill(0, first, i)
      return i - first
    },
  }
}

/** Paths with ids whose words are large: those are the ones a careless lookup boxes. */
function tell(plane: TunnelPlane, rows: number, side: 'left' | 'right', ahead = false): void {
  const ways = ahead ? { via: { ifindex: 1, ip: LEFT_AT.ip }, ahead: { serial: 1, to: LEFT_AT, bytes: 1e15 } } : {}
  for (let i = 0; i < rows; i++) {
    const id = 0xa1b2c3d4e5f6 + i * 0x1000001
    const path = pathPair({ row: ROW + i, ids: [id], id, ...ways }, [{ epoch: 1, serial: 1 + i }])[side]
    plane.apply({ mirror: 'path', path }, NOW)
  }
}

/** Room for what `count` packets make. */
function datagrams(count: number): DatagramRuns {
  const slots = Math.max(32, count * 2)
  const arena = new Uint8Array(slots * SUPER_SLOT_BYTES)
  const addrs = new Uint8Array(slots * 16)
  for (let i = 0; i < slots; i++) addrs.set(ip16(LEFT_AT.ip), i * 16)
  return {
    arena,
    view: new DataView(arena.buffer),
    slotBytes: SUPER_SLOT_BYTES,
    lens: new Uint32Array(slots),
    segs: new Uint16Array(slots),
    addrs,
    ports: new Uint16Array(slots).fill(LEFT_AT.port),
    count: 0,
  }
}

function planeOf(
  engine: PacketEngine,
  send: ConstructorParameters<typeof TunnelPlane>[0]['send'],
  inner: (bytes: number) => void = () => {},
): TunnelPlane {
  const cells = new Float64Array(1024 * CELLS.words)
  return new TunnelPlane({
    engine,
    lane: 1,
    cells,
    counters: new CounterMap(),
    emit: () => {},
    send,
    onInner: (_row, batch, i) => inner(batch.lens[i] ?? 0),
    afterOpen: () => {},
    limits: { rekeyPackets: 2 ** 50, rekeyBytes: 2 ** 50, stopPackets: 2 ** 50, stopBytes: 2 ** 50 },
  })
}

export const NOW = 1000 as Instant
