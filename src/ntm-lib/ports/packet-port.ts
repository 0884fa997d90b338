/**
 * Packets of one direction in caller-owned memory. Slot `i` starts at `i * slotBytes + HEADROOM` and holds `lens[i]`
 * bytes; the headroom lets a header be put in front without moving the packet. The port fills or reads slots; nothing
 * on the path allocates per packet.
 */
export type Batch = {
  readonly arena: Uint8Array
  readonly view: DataView
  readonly lens: Uint32Array
  readonly slotBytes: number
  count: number
}

/** Bytes kept free in front of every packet: outer NTM header (16), and slack to turn an IPv4 header into IPv6 + Fragment. */
export const HEADROOM = 64

/** A door for packets: a TUN or TAP device, a packet socket, or a test wire. IP packets on TUN, frames elsewhere. */
export interface PacketPort {
  /** Fills `into` from slot 0, sets `count` and returns it; 0 when nothing waits. Never blocks. */
  recv(into: Batch): number
  /** Sends slots `[0, count)` in order and returns how many the kernel took; a frame it can never take is skipped and counted. */
  send(from: Batch): number
  /** Calls `wake` once per readiness, not per packet; the reader then calls `recv` until it returns 0. */
  onReadable(wake: () => void): void
  close(): void
}

export function batch(slots: number, slotBytes: number): Batch {
  const arena = new Uint8Array(slots * slotBytes)
  return {
    arena,
    view: new DataView(arena.buffer),
    lens: new Uint32Array(slots),
    slotBytes,
    count: 0,
  }
}

/**
 * A batch whose slots may hold super-packets: `gso[i]` is 0 for a complete packet, the payload bytes of one segment for
 * one TCP or UDP packet that is to be cut later, `CSUM_MISSING` for a plain packet without its transport checksum. The
 * transport checksum of the latter two is made when they leave: what the field holds until then means nothing.
 */
export type SuperBatch = Batch & { readonly gso: Uint16Array }

/** `gso` of a plain packet whose transport checksum is still to be made. */
export const CSUM_MISSING = 0xffff

/** Packets to send from anywhere in one arena: three words each, offset, length, gso. */
export type Outgoing = { readonly jobs: Int32Array; count: number }

/** Room for `packets`. */
export const outgoing = (packets: number): Outgoing => ({
  jobs: shared(Int32Array, 3 * packets),
  count: 0,
})

/** A door that also takes and gives super-packets. */
export interface SuperPort extends PacketPort {
  recvSuper(into: SuperBatch): number
  /** Sends in order; what the kernel does not take is counted and lost. */
  sendSuper(arena: Uint8Array, from: Outgoing): number
}

export function superBatch(slots: number, slotBytes: number = SUPER_SLOT_BYTES): SuperBatch {
  const arena = shared(Uint8Array, slots * slotBytes)
  return {
    arena,
    view: new DataView(arena.buffer),
    lens: shared(Uint32Array, slots),
    slotBytes,
    gso: shared(Uint16Array, slots),
    count: 0,
  }
}

/**
 * An array of zeros over a SharedArrayBuffer of its own: memory that stays where it is for good, so that native calls can be bound to it once instead
 * of looking it up each time. Posting such an array to a thread shares it: post a copy.
 */
export function shared<A>(
  array: (new (buffer: SharedArrayBuffer) => A) & { readonly BYTES_PER_ELEMENT: number },
  length: number,
): A {
  return new array(new SharedArrayBuffer(length * array.BYTES_PER_ELEMENT))
}

/** Room for the largest IP packet with an Ethernet head, the headroom, and slack behind. Not a power of two: slots spread over the caches. */
export const SUPER_SLOT_BYTES = 66_048

/** Where slot `i`'s packet starts in the arena. */
export const slotAt = (b: Batch, i: number): number => i * b.slotBytes + HEADROOM
