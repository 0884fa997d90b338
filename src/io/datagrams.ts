import type { UdpPort as NativeUdpPort, PacketIo } from '#native/packet-io/index.d.ts'
import type { Endpoint } from '#ntm-lib/addr/endpoint.ts'
import { type Family, type Ip, ip16, isIp4 } from '#ntm-lib/addr/ip.ts'
import { ip4FromBytes } from '#ntm-lib/addr/ip4.ts'
import { ip6FromBytes } from '#ntm-lib/addr/ip6.ts'
import { VIA_BYTES, type Via, writeVia } from '#ntm-lib/addr/via.ts'
import { errnoFault, errnoName } from './fault.ts'

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
  /** Of each direction, 4 MiB by default: what the kernel holds for us, and we for the device. More is lost and counted. */
  readonly bufferBytes?: number
}

/** What an ICMP error or the kernel's own path MTU says about an earlier datagram. Unauthenticated: a hint, no more. */
export type UdpError = { readonly to: Endpoint; readonly code: string; readonly pathMtuBytes: number | null }

/** Datagrams with their peers: 16 bytes of address and a port for each slot. */
export type Datagrams = {
  readonly arena: Uint8Array
  readonly slotBytes: number
  readonly lens: Uint32Array
  readonly addrs: Uint8Array
  readonly ports: Uint16Array
}

/** Opens the socket; `runs`: one that is read with `recvRuns`. IoFault when refused. */
export function bindUdp(io: PacketIo, options: UdpOptions, runs: boolean): NativeUdpPort {
  const family = options.family ?? (options.address === undefined ? 0 : isIp4(options.address) ? 4 : 6)
  const port = io.openUdp(
    options.address === undefined ? new Uint8Array(16) : ip16(options.address),
    options.port,
    family,
    options.bufferBytes ?? BUFFER_BYTES,
    options.reusePort ?? false,
    options.mark ?? 0,
    options.device ?? '',
    runs,
  )
  if (typeof port === 'number') throw errnoFault(`bind UDP port ${options.port}`, port)
  return port
}

/** Empties the socket's error queue: each is counted by its code, then told. */
export function drainErrors(
  io: PacketIo,
  port: NativeUdpPort,
  counts: Map<string, number>,
  tell: (error: UdpError) => void,
): void {
  const d = datagrams(ERRORS, 1)
  const codes = new Int32Array(ERRORS)
  const mtus = new Uint32Array(ERRORS)
  const n = io.udpErrors(port, d.addrs, d.ports, codes, mtus)
  for (let i = 0; i < n; i++) {
    const code = errnoName(-(codes[i] ?? 0))
    counts.set(code, (counts.get(code) ?? 0) + 1)
    tell({ to: peer(d, i), code, pathMtuBytes: mtus[i] || null })
  }
}

export function datagrams(slots: number, slotBytes: number): Datagrams {
  return {
    arena: new Uint8Array(slots * slotBytes),
    slotBytes,
    lens: new Uint32Array(slots),
    addrs: new Uint8Array(16 * slots),
    ports: new Uint16Array(slots),
  }
}

/** Puts a datagram and its peer into slot `i`. */
export function fill(d: Datagrams, i: number, to: Endpoint, bytes: Uint8Array): void {
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

/** Sends datagrams one by one, of any size; `via` null: as the kernel chooses. */
export class SingleSends {
  readonly #io: PacketIo
  readonly #port: NativeUdpPort
  readonly #small = datagrams(1, SMALL_DATAGRAM)
  readonly #vias = new Uint8Array(VIA_BYTES)
  /** For a datagram that does not fit the small slot; made when first needed. */
  #large: Datagrams | null = null

  constructor(io: PacketIo, port: NativeUdpPort) {
    this.#io = io
    this.#port = port
  }

  send(to: Endpoint, bytes: Uint8Array, via: Via | null = null): void {
    let d = this.#small
    if (bytes.length > SMALL_DATAGRAM) d = this.#large ??= datagrams(1, MAX_DATAGRAM)
    // Longer than any UDP datagram can be: cut to the slot, which the kernel then refuses and counts.
    fill(d, 0, to, bytes.length > MAX_DATAGRAM ? bytes.subarray(0, MAX_DATAGRAM) : bytes)
    if (via !== null) writeVia(this.#vias, 0, via)
    const vias = via === null ? null : this.#vias
    this.#io.sendUdp(this.#port, d.arena, d.slotBytes, 0, d.lens, d.addrs, d.ports, vias, 1)
  }
}

/** The peer of slot `i`. */
export function peer(d: Datagrams, i: number): Endpoint {
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

/** Outer packets on a 1,500 B path fit; anything larger takes the slow road. */
export const SMALL_DATAGRAM = 2048
/** Longer than any UDP datagram can be. */
export const MAX_DATAGRAM = 65536
const ERRORS = 64
const BUFFER_BYTES = 4 << 20
