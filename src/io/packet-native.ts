import type { FramePort, PacketIo } from '#native/packet-io/index.d.ts'
import { type Batch, HEADROOM, type Outgoing, type SuperBatch, type SuperPort } from '#ntm-lib/ports/packet-port.ts'
import { Bindings, canBind } from './bindings.ts'
import { EBADFD, ENXIO, errnoFault } from './fault.ts'
import { type PortCounters, packetIo, readCounters } from './native.ts'

/** A packet port on a network interface. */
export interface InterfacePort extends SuperPort {
  readonly name: string
  readonly ifindex: number
  /** TUN_F_ flags that are on; 0 on a packet socket, which takes super-packets as they come. */
  readonly offloads: number
  /** A snapshot; still readable after `close`. */
  readonly counters: PortCounters
  /** True once the interface was removed: nothing arrives or leaves any more. */
  readonly gone: boolean
  /** Called once when the removal is noticed: at once where packets are received, at the next `send` elsewhere. */
  onGone(tell: () => void): void
}

/** A batch whose virtio-net headers travel along: five words per slot, `struct virtio_net_hdr` as in memory. */
export type VirtioBatch = Batch & { readonly virtio: Uint16Array }

export type TunOptions = {
  /**
   * What the kernel may leave to us: `true` for all it knows (super-packets of TCP and UDP, missing checksums), or TUN_F_
   * flags; none by default, so that every packet is plain and complete. Belongs to the device: the last one to open it decides.
   */
  readonly offloads?: boolean | number
  /** The interface outlives the program. */
  readonly persist?: boolean
  /** How many packets the kernel holds while we are busy; 2000 covers 80 ms of 1,400 B packets at 280 Mbit/s. */
  readonly queuePackets?: number
  /** One queue of several: each `openTun` of the same name gives one more. A flow stays on one queue. */
  readonly multiQueue?: boolean
}

/** One instruction of a classic BPF program (`struct sock_filter`), which sees frames without their outer VLAN tag. */
export type BpfInstruction = readonly [code: number, jt: number, jf: number, k: number]

export type PacketSocketOptions = {
  /** Default true; a send-only socket costs the kernel nothing per received frame. */
  readonly receive?: boolean
  /** Virtio-net headers on the socket (default true): checksums that hardware would have filled in are completed. */
  readonly vnet?: boolean
  /** Default true: frames that leave the interface, ours included, are not received. */
  readonly ignoreOutgoing?: boolean
  readonly promiscuous?: boolean
  readonly filter?: readonly BpfInstruction[]
  /** Of each direction, 4 MiB by default: what the kernel holds for us, and we for the driver. More is lost and counted. */
  readonly bufferBytes?: number
  /** 1–65535: sockets with the same number on one interface share what arrives, each flow (both directions) at one of them. */
  readonly fanout?: number
  /** Frames go to the driver past the queue discipline. Default false: nothing waits then, so a busy driver loses frames. */
  readonly bypassQueue?: boolean
}

/** Opens or creates a TUN device: IP packets. `name` '' lets the kernel choose. IoFault when refused. */
export const openTun = (name: string, options: TunOptions = {}): InterfacePort => openTunTap(name, false, options)

/** Opens or creates a TAP device: Ethernet frames, VLAN tags inline. IoFault when refused. */
export const openTap = (name: string, options: TunOptions = {}): InterfacePort => openTunTap(name, true, options)

/** Frames as they pass an existing interface, VLAN tags put back in their place. IoFault when refused. */
export function openPacketSocket(ifname: string, options: PacketSocketOptions = {}): InterfacePort {
  const io = packetIo()
  const filter = options.filter === undefined ? null : Uint32Array.from(options.filter.flat())
  const port = io.openPacket(
    ifname,
    options.receive ?? true,
    options.vnet ?? true,
    options.ignoreOutgoing ?? true,
    options.promiscuous ?? false,
    filter,
    options.bufferBytes ?? SOCKET_BUFFER_BYTES,
    options.fanout ?? 0,
    options.bypassQueue ?? false,
  )
  if (typeof port === 'number') throw errnoFault(`open packet socket on ${ifname}`, port)
  return new NativePacketPort(io, port, 0)
}

function openTunTap(name: string, tap: boolean, o: TunOptions): InterfacePort {
  const io = packetIo()
  const offloads = o.offloads === true ? ALL_OFFLOADS : o.offloads || 0
  const queue = o.queuePackets ?? QUEUE_PACKETS
  const port = io.openTun(name, tap, offloads, o.persist ?? false, queue, o.multiQueue ?? false)
  if (typeof port === 'number') throw errnoFault(`open ${tap ? 'TAP' : 'TUN'} device ${name}`, port)
  return new NativePacketPort(io, port, port.offload)
}

class NativePacketPort implements InterfacePort {
  readonly name: string
  readonly ifindex: number
  readonly offloads: number
  readonly #io: PacketIo
  readonly #port: FramePort
  readonly #recvs = new Bindings<() => number>()
  readonly #sends = new Bindings<(count: number) => number>()
  #last: PortCounters | null = null
  #gone = false
  #tellGone: () => void = () => {}

  constructor(io: PacketIo, port: FramePort, offloads: number) {
    this.#io = io
    this.#port = port
    this.offloads = offloads
    this.name = port.name
    this.ifindex = port.ifindex
  }

  get counters(): PortCounters {
    return this.#last ?? readCounters(this.#io, this.#port)
  }

  get gone(): boolean {
    return this.#gone
  }

  recv(into: Batch): number {
    into.count = 0
    if (this.#last !== null || this.#gone) return 0
    const n = this.#io.recv(this.#port, into.arena, into.slotBytes, HEADROOM, into.lens, virtioOf(into))
    if (n > 0) into.count = n
    else if (n < 0) this.#onErrno(n)
    return into.count
  }

  send(from: Batch): number {
    if (this.#last !== null || this.#gone) return 0
    const n = this.#io.send(this.#port, from.arena, from.slotBytes, HEADROOM, from.lens, from.count, virtioOf(from))
    if (n >= 0) return n
    this.#onErrno(n)
    return 0
  }

  recvSuper(into: SuperBatch): number {
    into.count = 0
    if (this.#last !== null || this.#gone) return 0
    const n = (this.#recvs.find(into) ?? this.#bindRecv(into))()
    if (n > 0) into.count = n
    else if (n < 0) this.#onErrno(n)
    return into.count
  }

  sendSuper(arena: Uint8Array, from: Outgoing): number {
    if (this.#last !== null || this.#gone || from.count === 0) return 0
    const n = (this.#sends.find(arena, from.jobs) ?? this.#bindSend(arena, from.jobs))(from.count)
    if (n >= 0) return n
    this.#onErrno(n)
    return 0
  }

  onReadable(wake: () => void): void {
    const error = this.#io.watch(this.#port, (status) => {
      if (status < 0) this.#onErrno(status)
      if (!this.#gone) wake()
    })
    if (error < 0) throw errnoFault(`watch ${this.name}`, error)
  }

  onGone(tell: () => void): void {
    this.#tellGone = tell
  }

  close(): void {
    if (this.#last !== null) return
    this.#last = readCounters(this.#io, this.#port)
    this.#recvs.clear()
    this.#sends.clear()
    this.#io.close(this.#port)
  }

  #bindRecv(into: SuperBatch): () => number {
    const { arena, slotBytes, lens, gso } = into
    const [io, port] = [this.#io, this.#port]
    const call = canBind(arena, lens, gso)
      ? io.bindRecvSuper(port, arena, slotBytes, HEADROOM, lens, gso)
      : () => io.recvSuper(port, arena, slotBytes, HEADROOM, lens, gso)
    return this.#recvs.add(call, into)
  }

  #bindSend(arena: Uint8Array, jobs: Int32Array): (count: number) => number {
    const [io, port] = [this.#io, this.#port]
    const call = canBind(arena, jobs)
      ? io.bindSendSuper(port, arena, jobs)
      : (count: number) => io.sendSuper(port, arena, jobs, count)
    return this.#sends.add(call, arena, jobs)
  }

  /** A link that is merely down is the network's business; only removal changes our state. */
  #onErrno(errno: number): void {
    if (this.#gone || (errno !== ENXIO && errno !== EBADFD)) return
    this.#gone = true
    this.#tellGone()
  }
}

const virtioOf = (b: Batch): Uint16Array | null => ('virtio' in b ? (b as VirtioBatch).virtio : null)

/** CSUM, TSO4, TSO6, TSO_ECN, USO4, USO6 of `linux/if_tun.h`. */
const ALL_OFFLOADS = 0x01 | 0x02 | 0x04 | 0x08 | 0x20 | 0x40
const QUEUE_PACKETS = 2000
const SOCKET_BUFFER_BYTES = 4 << 20
