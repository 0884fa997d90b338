import type { Endpoint } from '#ntm-lib/addr/endpoint.ts'
import { type Ip, ip16 } from '#ntm-lib/addr/ip.ts'
import { ip6FromBytes, unmapped } from '#ntm-lib/addr/ip6.ts'
import type { Prefix } from '#ntm-lib/addr/prefix.ts'
import { VIA_BYTES, type Via } from '#ntm-lib/addr/via.ts'
import { invariant } from '#ntm-lib/base/invariant.ts'
import type { Instant } from '#ntm-lib/base/time.ts'
import type { KeyLimits } from '#ntm-lib/crypto/seal.ts'
import type { CryptoSuite } from '#ntm-lib/crypto/suite.ts'
import type { MirrorCommand, MirrorEvent, MirroredPath } from '#ntm-lib/negotiate/mirror.ts'
import type { Sealed } from '#ntm-lib/negotiate/tunnels.ts'
import { RUN, type Runs } from '#ntm-lib/plane/engine.ts'
import { ScriptEngine } from '#ntm-lib/plane/engine-script.ts'
import { TunnelPlane } from '#ntm-lib/plane/tunnel-plane.ts'
import type { Counters } from '#ntm-lib/ports/counters.ts'
import { slotAt } from '#ntm-lib/ports/packet-port.ts'
import { CLASS_TUNNEL_HANDSHAKE, readHeader } from '#ntm-lib/wire/header.ts'

export type PlaneWorkerParts = {
  readonly suite: CryptoSuite
  readonly cells: Float64Array
  readonly counters: Counters
  readonly emit: (event: MirrorEvent) => void
  readonly limits?: KeyLimits
}

/** A packet worker without its thread: the tunnel plane on the script engine, one datagram and one inner packet at a time. */
export class PlaneWorker {
  /** Commands as they came, for tests to look at. */
  readonly commands: MirrorCommand[] = []
  readonly #parts: PlaneWorkerParts
  #made: TunnelPlane | null = null
  readonly #anything = new Map<number, readonly Prefix[]>()
  #inner: Uint8Array | null = null
  #sent: { readonly to: Endpoint; readonly bytes: Uint8Array; readonly via: Via | null }[] = []

  constructor(parts: PlaneWorkerParts) {
    this.#parts = parts
  }

  apply(command: MirrorCommand, now: Instant): void {
    // What crosses between threads is a copy.
    const c = structuredClone(command)
    this.commands.push(c)
    this.#plane.apply(c.mirror === 'path' ? { mirror: 'path', path: this.#lifted(c.path) } : c, now)
  }

  /** A datagram of the negotiation's leaves through the worker's socket. A Tunnel Response promises keys: the worker has them by now. */
  passes(bytes: Uint8Array): void {
    const header = readHeader(bytes)
    if (!header.ok || header.value.cls !== CLASS_TUNNEL_HANDSHAKE || (header.value.flags & 127) !== 2) return
    const { id, word } = header.value
    const row = this.commands.findLast((c) => c.mirror === 'path' && c.path.ids.includes(id))
    invariant(
      row?.mirror === 'path' && row.path.epochs.some((e) => e.epoch === word),
      'an answer leaves before its keys are where they open',
    )
  }

  /** Whether it has this row. */
  knows(row: number): boolean {
    return this.#plane.rows.isKnown(row)
  }

  /** Lets everything out and in, as a taken-over box would. */
  lift(row: number, anything: readonly Prefix[], now: Instant): void {
    this.#anything.set(row, anything)
    const last = this.commands.findLast((c) => c.mirror === 'path' && c.path.row === row)
    if (last?.mirror === 'path') this.#plane.apply({ mirror: 'path', path: this.#lifted(last.path) }, now)
  }

  /** One class 4 datagram; the whole inner packet that it completes. */
  take(from: Endpoint, bytes: Uint8Array, now: Instant, local?: Ip): Uint8Array | null {
    this.#inner = null
    const arena = bytes.slice()
    const place = {
      addrs: ip16(from.ip),
      ports: Uint16Array.of(from.port),
      ...(local === undefined ? {} : { locals: ip16(local) }),
    }
    const sizes = { slotBytes: 65_536, lens: Uint32Array.of(bytes.length), segs: new Uint16Array(1), count: 1 }
    this.#plane.take({ arena, view: new DataView(arena.buffer), ...sizes, ...place }, now)
    return this.#inner
  }

  /** Seals one inner packet into one or two datagrams. */
  put(
    row: number,
    inner: Uint8Array,
    emit: (to: Endpoint, bytes: Uint8Array, via: Via | null) => void,
    now: Instant,
  ): Sealed {
    const arena = new Uint8Array(inner.length + 128)
    arena.set(inner, 64)
    const verdict = this.#plane.put(row, { arena, view: new DataView(arena.buffer) }, 64, inner.length, 0, now)
    this.#plane.flush(now)
    for (const { to, bytes, via } of this.#sent) emit(to, bytes, via)
    this.#sent = []
    if (verdict === 'queued') return { ok: true }
    if (verdict === 'cut-first') throw new Error('a plain packet needs no cutting')
    if (verdict === 'too-big') return { ok: false, why: verdict, innerMtuBytes: this.#plane.innerMtu(row) }
    return { ok: false, why: verdict }
  }

  /** Made when it is needed: it has 8 MiB of its own, and most starts of the stories never open a path. */
  get #plane(): TunnelPlane {
    const { suite, ...parts } = this.#parts
    this.#made ??= new TunnelPlane({
      ...parts,
      engine: new ScriptEngine(suite),
      lane: 1,
      send: (runs, addrs, ports, vias) => this.#send(runs, addrs, ports, vias),
      onInner: (_row, batch, i) => {
        const start = slotAt(batch, i)
        this.#inner = batch.arena.slice(start, start + (batch.lens[i] ?? 0))
      },
      afterOpen: () => {},
    })
    return this.#made
  }

  #lifted(path: MirroredPath): MirroredPath {
    const anything = this.#anything.get(path.row)
    return anything === undefined ? path : { ...path, ownAllowed: anything, peerAllowed: anything }
  }

  #send({ arena, runs, count }: Runs, addrs: Uint8Array, ports: Uint16Array, vias: Uint8Array | null): void {
    for (let i = 0; i < count; i++) {
      const [row = 0, at = 0, len = 0, each = 0] = runs.subarray(i * RUN.words, (i + 1) * RUN.words)
      const ip = ip6FromBytes(addrs, row * 16)
      const to = { ip: unmapped(ip) ?? ip, port: ports[row] ?? 0 }
      const via = vias === null ? null : viaAt(vias, row)
      for (let from = at; from < at + len; from += each) {
        this.#sent.push({ to, bytes: arena.slice(from, Math.min(from + each, at + len)), via })
      }
    }
  }
}

/** What `writeVia` wrote. */
function viaAt(vias: Uint8Array, row: number): Via | null {
  const at = row * VIA_BYTES
  const ifindex = new DataView(vias.buffer, vias.byteOffset + at + 16, 4).getUint32(0, true)
  if (ifindex === 0) return null
  const ip = ip6FromBytes(vias, at)
  return { ifindex, ip: unmapped(ip) ?? ip }
}
