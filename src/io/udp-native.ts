import type { UdpPort as NativeUdpPort, PacketIo } from '#native/packet-io/index.d.ts'
import type { Endpoint } from '#ntm-lib/addr/endpoint.ts'
import type { DatagramPort } from '#ntm-lib/ports/datagram-port.ts'
import {
  bindUdp,
  datagrams,
  drainErrors,
  fill,
  MAX_DATAGRAM,
  peer,
  SingleSends,
  SMALL_DATAGRAM,
  type UdpError,
  type UdpOptions,
} from './datagrams.ts'
import { errnoFault } from './fault.ts'
import { type PortCounters, packetIo, readCounters } from './native.ts'

export type { UdpError, UdpOptions } from './datagrams.ts'

export interface UdpPort extends DatagramPort {
  /** The port actually bound. */
  readonly port: number
  readonly counters: PortCounters
  /** Errors by code (`ECONNREFUSED`, `EMSGSIZE`, `ENETUNREACH`, …) since the start. */
  readonly errors: ReadonlyMap<string, number>
  onError(tell: (error: UdpError) => void): void
  /** Hands queued datagrams to the kernel now rather than at the end of the turn. */
  flush(): void
}

/**
 * One UDP socket for both families whose outer packets never fragment (DF set). Datagrams sent within one turn leave
 * together in a microtask; a datagram that finds the socket's buffer full is lost and counted. IoFault when refused.
 */
export function openUdp(options: UdpOptions): UdpPort {
  const io = packetIo()
  return new NativeUdp(io, bindUdp(io, options, false))
}

class NativeUdp implements UdpPort {
  readonly port: number
  readonly errors = new Map<string, number>()
  readonly #io: PacketIo
  readonly #native: NativeUdpPort
  readonly #in = datagrams(SLOTS, MAX_DATAGRAM)
  readonly #out = datagrams(SLOTS, SMALL_DATAGRAM)
  readonly #single: SingleSends
  #queued = 0
  #scheduled = false
  #last: PortCounters | null = null
  #take: (from: Endpoint, bytes: Uint8Array) => void = () => {}
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

  send(to: Endpoint, bytes: Uint8Array): void {
    if (this.#last !== null) return
    if (bytes.length > SMALL_DATAGRAM) {
      this.flush()
      this.#single.send(to, bytes)
      return
    }
    if (this.#queued === SLOTS) this.flush()
    fill(this.#out, this.#queued++, to, bytes)
    if (this.#scheduled) return
    this.#scheduled = true
    queueMicrotask(() => {
      this.#scheduled = false
      this.flush()
    })
  }

  flush(): void {
    const count = this.#queued
    this.#queued = 0
    if (count === 0 || this.#last !== null) return
    const d = this.#out
    this.#io.sendUdp(this.#native, d.arena, d.slotBytes, 0, d.lens, d.addrs, d.ports, null, count)
  }

  onDatagram(take: (from: Endpoint, bytes: Uint8Array) => void): void {
    this.#take = take
    const error = this.#io.watch(this.#native, (status) => {
      if (status < 0) this.#drainErrors()
      this.#drain()
    })
    if (error < 0) throw errnoFault('watch UDP', error)
  }

  onError(tell: (error: UdpError) => void): void {
    this.#tell = tell
  }

  close(): void {
    if (this.#last !== null) return
    this.flush()
    this.#last = readCounters(this.#io, this.#native)
    this.#io.close(this.#native)
  }

  /** A bounded number of rounds: readiness is level-triggered, so what is left brings us back next turn. */
  #drain(): void {
    const d = this.#in
    for (let round = 0; round < ROUNDS && this.#last === null; round++) {
      const n = this.#io.recvUdp(this.#native, d.arena, d.slotBytes, 0, d.lens, d.addrs, d.ports)
      for (let i = 0; i < n && this.#last === null; i++) {
        const at = i * d.slotBytes
        this.#take(peer(d, i), d.arena.subarray(at, at + (d.lens[i] ?? 0)))
      }
      if (n < SLOTS) return
    }
  }

  #drainErrors(): void {
    drainErrors(this.#io, this.#native, this.errors, this.#tell)
  }
}

const SLOTS = 64
const ROUNDS = 4
