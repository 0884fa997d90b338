import type { UdpPort as NativeUdpPort, PacketIo } from '#native/packet-io/index.d.ts'
import type { Endpoint } from '#ntm-lib/addr/endpoint.ts'
import type { Via } from '#ntm-lib/addr/via.ts'
import type { DatagramRuns, Runs } from '#ntm-lib/plane/engine.ts'
import { shared } from '#ntm-lib/ports/packet-port.ts'
import { CAPSULATED_FIRST_BYTE } from '#ntm-lib/wire/capsulated.ts'
import { Bindings, canBind } from './bindings.ts'
import { bindUdp, drainErrors, SingleSends, type UdpError, type UdpOptions } from './datagrams.ts'
import { errnoFault } from './fault.ts'
import { type PortCounters, packetIo, readCounters } from './native.ts'

/** Runs with the address of ours that each came to: 16 bytes per slot, IPv4 as v4-mapped. */
export type LocatedRuns = DatagramRuns & { readonly locals: Uint8Array }

/** A UDP socket for a packet worker: runs of equal datagrams in one piece, in and out. Both families, DF set. */
export interface UdpRuns {
  /** The port actually bound. */
  readonly port: number
  readonly counters: PortCounters
  /** Errors by code (`ECONNREFUSED`, `EMSGSIZE`, `ENETUNREACH`, …) since the start. */
  readonly errors: ReadonlyMap<string, number>
  /** Fills `into` from slot 0 (and `locals` where it has them), sets `count` and returns it; 0 when nothing waits. */
  recv(into: DatagramRuns): number
  /**
   * Sends all runs: `addrs` holds 16 bytes per row, `ports` one number, `vias` `VIA_BYTES`; without, the kernel chooses. What the kernel does not
   * take now is counted and lost; where it refuses a row's via it chooses itself (`viaRefusedOut`).
   */
  send(runs: Runs, addrs: Uint8Array, ports: Uint16Array, vias?: Uint8Array | null): void
  /**
   * Sends one datagram at once. By a via that the kernel refuses it is lost (`viaRefusedOut`): it may be there to try that way and no other.
   */
  sendOne(to: Endpoint, bytes: Uint8Array, via?: Via | null): void
  /** Calls `wake` once per readiness; the reader calls `recv` until it returns 0, or stops early and is woken again. */
  onReadable(wake: () => void): void
  onError(tell: (error: UdpError) => void): void
  /**
   * Of `group` sockets on one port (`reusePort`, in the order they were opened), capsulated packets go to number (last byte of the
   * path id) mod `group`, everything else to number 0. All lanes of a path come to one socket; a run goes where its first datagram belongs. Called once, on any of them. IoFault when refused.
   */
  steer(group: number): void
  close(): void
}

/** Memory for `recv`. Slots hold the largest run there can be, so that none is ever lost for its size. */
export function datagramRuns(slots: number, slotBytes: number = RUN_SLOT_BYTES): LocatedRuns {
  const arena = shared(Uint8Array, slots * slotBytes)
  return {
    arena,
    view: new DataView(arena.buffer),
    slotBytes,
    lens: shared(Uint32Array, slots),
    segs: shared(Uint16Array, slots),
    addrs: shared(Uint8Array, 16 * slots),
    ports: shared(Uint16Array, slots),
    locals: shared(Uint8Array, 16 * slots),
    count: 0,
  }
}

/** Opens the socket. IoFault when refused. Works in worker threads; the port belongs to the thread that opened it. */
export function openUdpRuns(options: UdpOptions): UdpRuns {
  const io = packetIo()
  return new NativeUdpRuns(io, bindUdp(io, options, true))
}

class NativeUdpRuns implements UdpRuns {
  readonly port: number
  readonly errors = new Map<string, number>()
  readonly #io: PacketIo
  readonly #native: NativeUdpPort
  readonly #single: SingleSends
  readonly #recvs = new Bindings<() => number>()
  readonly #sends = new Bindings<(count: number) => number>()
  #last: PortCounters | null = null
  #tell: (error: UdpError) => void = () => {}

  constructor(io: PacketIo, native: NativeUdpPort) {
    this.#io = io
    this.#native = native
    this.#single = new SingleSends(io, native)
    this.port = native.port
  }

  get counters(): PortCounters {
    return this.#last ?? readCounters(this.#io, this.#native)
  }

  recv(into: DatagramRuns): number {
    into.count = 0
    if (this.#last !== null) return 0
    const n = (this.#recvs.find(into) ?? this.#bindRecv(into))()
    // Negative: the machine is short of memory for the moment; readiness brings us back.
    if (n > 0) into.count = n
    return into.count
  }

  send(runs: Runs, addrs: Uint8Array, ports: Uint16Array, vias: Uint8Array | null = null): void {
    if (this.#last !== null || runs.count === 0) return
    const call = this.#sends.find(runs, addrs, ports, vias) ?? this.#bindSend(runs, addrs, ports, vias)
    const sent = call(runs.count)
    // Errors of sockets that send by one interface wake nobody: a path that has become too narrow shows here.
    if (vias !== null && sent < runs.datagrams) this.#drainErrors()
  }

  sendOne(to: Endpoint, bytes: Uint8Array, via: Via | null = null): void {
    if (this.#last === null) this.#single.send(to, bytes, via)
  }

  onReadable(wake: () => void): void {
    const error = this.#io.watch(this.#native, (status) => {
      if (status < 0) this.#drainErrors()
      if (this.#last === null) wake()
    })
    if (error < 0) throw errnoFault('watch UDP', error)
  }

  onError(tell: (error: UdpError) => void): void {
    this.#tell = tell
  }

  steer(group: number): void {
    const error = this.#io.steer(this.#native, group, CAPSULATED_FIRST_BYTE)
    if (error < 0) throw errnoFault('steer UDP', error)
  }

  close(): void {
    if (this.#last !== null) return
    this.#last = readCounters(this.#io, this.#native)
    this.#recvs.clear()
    this.#sends.clear()
    this.#io.close(this.#native)
  }

  #drainErrors(): void {
    drainErrors(this.#io, this.#native, this.errors, this.#tell)
  }

  #bindRecv(into: DatagramRuns): () => number {
    const { arena, slotBytes, lens, segs, addrs, ports } = into
    const locals = 'locals' in into ? (into as LocatedRuns).locals : null
    const [io, port] = [this.#io, this.#native]
    const call = canBind(arena, lens, segs, addrs, ports, locals ?? arena)
      ? io.bindRecvRuns(port, arena, slotBytes, lens, segs, addrs, ports, locals)
      : () => io.recvRuns(port, arena, slotBytes, lens, segs, addrs, ports, locals)
    return this.#recvs.add(call, into)
  }

  #bindSend(from: Runs, addrs: Uint8Array, ports: Uint16Array, vias: Uint8Array | null): (count: number) => number {
    const { arena, runs } = from
    const [io, port] = [this.#io, this.#native]
    const call = canBind(arena, runs, addrs, ports, vias ?? arena)
      ? io.bindSendRuns(port, arena, runs, addrs, ports, vias)
      : (count: number) => io.sendRuns(port, arena, runs, count, addrs, ports, vias)
    return this.#sends.add(call, from, addrs, ports, vias)
  }
}

/** Any run the kernel can join, and not a power of two: slots spread over the caches. */
const RUN_SLOT_BYTES = 65_600
