/**
 * What `build/packet-io.node` exports. `src/io/native.ts` is the only importer; README.md is the contract.
 * A function that returns `number` returns a count, or a negative errno for what the network or the kernel did. A wrong
 * call (type, range, closed or foreign port) throws.
 */

/** An open port. Closed by `close`, by garbage collection when nobody watches it, or with its thread. */
export type Port = { readonly __port: unique symbol }
export type FramePort = Port & { readonly ifindex: number; readonly name: string }
export type TunPort = FramePort & { readonly offload: number }
export type UdpPort = Port & { readonly port: number; readonly family: 0 | 4 | 6 }

export interface PacketIo {
  /** `name` '' lets the kernel choose; `offload`: TUN_F_ flags; `queuePackets` 0 leaves the kernel's queue length. */
  openTun(name: string, tap: boolean, offload: number, persist: boolean, queuePackets: number): TunPort | number
  /** `filter`: code, jt, jf, k per instruction. Without `receive` the socket only sends. */
  openPacket(
    name: string,
    receive: boolean,
    vnet: boolean,
    ignoreOutgoing: boolean,
    promiscuous: boolean,
    filter: Uint32Array | null,
    bufferBytes: number,
  ): FramePort | number
  /** `address`: 16 bytes, IPv4 as v4-mapped, zeros for any. `family` 0: both, or IPv4 alone on a machine without IPv6. */
  openUdp(
    address: Uint8Array,
    port: number,
    family: number,
    bufferBytes: number,
    reusePort: boolean,
    mark: number,
    device: string,
  ): UdpPort | number
  openNetlink(protocol: number, groups: number, bufferBytes: number): Port | number

  /** Slot `i` starts at `i * slotBytes + headroom`; there are `lens.length` slots. `virtio`: five words per slot. */
  recv(
    port: Port,
    arena: Uint8Array,
    slotBytes: number,
    headroom: number,
    lens: Uint32Array,
    virtio: Uint16Array | null,
  ): number
  send(
    port: Port,
    arena: Uint8Array,
    slotBytes: number,
    headroom: number,
    lens: Uint32Array,
    count: number,
    virtio: Uint16Array | null,
  ): number
  /** `addrs`: 16 bytes per slot; `ports`: one per slot. */
  recvUdp(
    port: Port,
    arena: Uint8Array,
    slotBytes: number,
    headroom: number,
    lens: Uint32Array,
    addrs: Uint8Array,
    ports: Uint16Array,
  ): number
  sendUdp(
    port: Port,
    arena: Uint8Array,
    slotBytes: number,
    headroom: number,
    lens: Uint32Array,
    addrs: Uint8Array,
    ports: Uint16Array,
    count: number,
  ): number
  /** Empties the error queue: `codes` positive errnos, `mtus` the path MTU where the code is EMSGSIZE. */
  udpErrors(port: Port, addrs: Uint8Array, ports: Uint16Array, codes: Int32Array, mtus: Uint32Array): number

  /** Sends one batch, then collects until `answers` final answers came or `waitMs` (at most 1000) passed. */
  talk(port: Port, bytes: Uint8Array, reply: Uint8Array, answers: number, waitMs: number): number
  recvNetlink(port: Port, into: Uint8Array): number

  /** `status` 0: readable. Negative: -ENXIO or -EBADFD when the interface is gone, else an error that has passed. */
  watch(port: Port, callback: (status: number) => void): number
  unwatch(port: Port): void
  setRef(port: Port, keepsProcessAlive: boolean): void
  close(port: Port): void
  /** Eight counts: in, out, oversizedIn, badIn, refusedOut, fullOut, downOut, errorsIn. */
  stats(port: Port, into: Float64Array): void
  openPorts(): number
}
