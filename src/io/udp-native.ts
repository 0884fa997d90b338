import type { UdpPort as NativeUdpPort, PacketIo } from '#native/packet-io/index.d.ts'
import type { Endpoint } from '#ntm-lib/addr/endpoint.ts'
import { type Family, type Ip, ip16, isIp4 } from '#ntm-lib/addr/ip.ts'
import { ip4FromBytes } from '#ntm-lib/addr/ip4.ts'
import { ip6FromBytes } from '#ntm-lib/addr/ip6.ts'
import type { DatagramPort } from '#ntm-lib/ports/datagram-port.ts'
import { errnoFault, errnoName } from './fault.ts'
import { type PortCounters, packetIo, readCounters } from './native.ts'

export type UdpOptions = {
  /** 0 lets the kernel choose. */
  readonly port: number
  /** The address to bind; any of both families by default. */
  readonly address?: Ip
  /** Only this family; by default both, or IPv4 alone on a machine without IPv6. */
  readonly family?: Family
  readonly reusePort?: boolean
  /** SO_MARK, for routing rules. */
  readonly mark?: number
  /** SO_BINDTODEVICE. */
  readonly device?: string
  readonly bufferBytes?: number
}

/** What an ICMP error or the kernel's own path MTU says about an earlier datagram. Unauthenticated: a hint, no more. */
export type UdpError = { readonly to: Endpoint; readonly code: string; readonly pathMtuBytes: number | null }

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
  const family = options.family ?? (options.address === undefined ? 0 : isIp4(options.address) ? 4 : 6)
  const port = io.openUdp(
    options.address === undefined ? new Uint8Array(16) : ip16(options.address),
    options.port,
    family,
    options.bufferBytes ?? BUFFER_BYTES,
    options.reusePort ?? false,
    options.mark ?? 0,
    options.device ?? '',
  )
  if (typeof port === 'number') throw errnoFault(`bind UDP port ${options.port}`, port)
  return new NativeUdp(io, port)
}

/** Datagrams with their peers: 16 bytes of address and a port for each slot. */
type Datagrams = {
  readonly arena: Uint8Array
  readonly slotBytes: number
  readonly lens: Uint32Array
  readonly addrs: Uint8Array
  readonly ports: Uint16Array
}

class NativeUdp implements UdpPort {
  readonly port: number
  readonly errors = new Map<string, number>()
  readonly #io: PacketIo
  readonly #native: NativeUdpPort
  readonly #in = datagrams(SLOTS, MAX_DATAGRAM)
  readonly #out = datagrams(SLOTS, SMALL)
  /** For a datagram that does not fit a small slot; made when first needed. */
  #large: Datagrams | null = null
  #queued = 0
  #scheduled = false
  #last: PortCounters | null = null
  #take: (from: Endpoint, bytes: Uint8Array) => void = () => {}
  #tell: (error: UdpError) => void = () => {}

  constructor(io: PacketIo, native: NativeUdpPort) {
    this.#io = io
    this.#native = native
    this.port = native.port
  }

  get counters(): PortCounters {
    return this.#last ?? readCounters(this.#io, this.#native)
  }

  send(to: Endpoint, bytes: Uint8Array): void {
    if (this.#last !== null) return
    if (bytes.length > SMALL) {
      this.#sendLarge(to, bytes)
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
    if (count > 0 && this.#last === null) this.#sendNow(this.#out, count)
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

  #sendLarge(to: Endpoint, bytes: Uint8Array): void {
    this.flush()
    this.#large ??= datagrams(1, MAX_DATAGRAM)
    // Longer than any UDP datagram can be: cut to the slot, which the kernel then refuses and counts.
    fill(this.#large, 0, to, bytes.length > MAX_DATAGRAM ? bytes.subarray(0, MAX_DATAGRAM) : bytes)
    this.#sendNow(this.#large, 1)
  }

  #sendNow(d: Datagrams, count: number): void {
    this.#io.sendUdp(this.#native, d.arena, d.slotBytes, 0, d.lens, d.addrs, d.ports, count)
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
    const d = datagrams(SLOTS, 1)
    const codes = new Int32Array(SLOTS)
    const mtus = new Uint32Array(SLOTS)
    const n = this.#io.udpErrors(this.#native, d.addrs, d.ports, codes, mtus)
    for (let i = 0; i < n; i++) {
      const code = errnoName(-(codes[i] ?? 0))
      this.errors.set(code, (this.errors.get(code) ?? 0) + 1)
      this.#tell({ to: peer(d, i), code, pathMtuBytes: mtus[i] || null })
    }
  }
}

function datagrams(slots: number, slotBytes: number): Datagrams {
  return {
    arena: new Uint8Array(slots * slotBytes),
    slotBytes,
    lens: new Uint32Array(slots),
    addrs: new Uint8Array(16 * slots),
    ports: new Uint16Array(slots),
  }
}

function fill(d: Datagrams, i: number, to: Endpoint, bytes: Uint8Array): void {
  d.arena.set(bytes, i * d.slotBytes)
  d.lens[i] = bytes.length
  const at = 16 * i
  if (isIp4(to.ip)) {
    // The v4-mapped form written in place: an array per packet would be garbage.
    d.addrs.fill(0, at, at + 10).fill(0xff, at + 10, at + 12)
    for (let k = 0; k < 4; k++) d.addrs[at + 12 + k] = to.ip >>> (24 - 8 * k)
  } else d.addrs.set(to.ip, at)
  d.ports[i] = to.port
}

function peer(d: Datagrams, i: number): Endpoint {
  const at = 16 * i
  return {
    ip: isMapped(d.addrs, at) ? ip4FromBytes(d.addrs, at + 12) : ip6FromBytes(d.addrs, at),
    port: d.ports[i] ?? 0,
  }
}

function isMapped(addrs: Uint8Array, at: number): boolean {
  for (let i = at; i < at + 10; i++) if (addrs[i] !== 0) return false
  return addrs[at + 10] === 0xff && addrs[at + 11] === 0xff
}

const SLOTS = 64
const ROUNDS = 4
/** Outer packets on a 1,500 B path fit; anything larger takes the slow road. */
const SMALL = 2048
const MAX_DATAGRAM = 65536
const BUFFER_BYTES = 4 << 20
