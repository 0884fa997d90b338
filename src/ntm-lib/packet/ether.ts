import type { LinkAddr } from '../addr/link.ts'

/** Ethernet II header: destination 6, source 6, type 2, with up to two VLAN tags between. IEEE 802.3, 802.1Q, 802.1ad. */
export const ETHER_BYTES = 14
export const TAG_BYTES = 4
export const TYPE_IP4 = 0x0800
export const TYPE_ARP = 0x0806
export const TYPE_VLAN = 0x8100
export const TYPE_IP6 = 0x86dd
export const TYPE_QINQ = 0x88a8

export const destination = (v: DataView, at: number): LinkAddr => readLink(v, at)
export const source = (v: DataView, at: number): LinkAddr => readLink(v, at + 6)
/** The type field right after the addresses: a tag's type when the frame is tagged, a length below 0x600 for LLC. */
export const outerType = (v: DataView, at: number): number => v.getUint16(at + 12)

/** Where a frame's payload is. One object is reused for every frame; see `readFrame`. */
export type Frame = {
  /** Type of the payload; below 0x600 it is an LLC length. */
  type: number
  /** Absolute offset of the payload. */
  payloadAt: number
  /** Tags passed over: 0, 1 or 2. */
  tags: number
  /** Tag control information (priority 3, DEI 1, VLAN 12) of the outermost tag; 0 without tags. */
  tci: number
}

export const newFrame = (): Frame => ({ type: 0, payloadAt: 0, tags: 0, tci: 0 })

/** Fills `out`; false when the frame is shorter than its headers or has more than two tags. */
export function readFrame(v: DataView, at: number, len: number, out: Frame): boolean {
  out.tags = 0
  out.tci = 0
  out.type = 0
  out.payloadAt = at + ETHER_BYTES
  if (len < ETHER_BYTES) return false
  let type = outerType(v, at)
  while (type === TYPE_VLAN || type === TYPE_QINQ) {
    if (out.tags === 2 || out.payloadAt + TAG_BYTES > at + len) return false
    if (out.tags === 0) out.tci = v.getUint16(out.payloadAt)
    type = v.getUint16(out.payloadAt + 2)
    out.payloadAt += TAG_BYTES
    out.tags++
  }
  out.type = type
  return true
}

/** Writes an untagged header. */
export function write(v: DataView, at: number, to: LinkAddr, from: LinkAddr, type: number): void {
  writeLink(v, at, to)
  writeLink(v, at + 6, from)
  v.setUint16(at + 12, type)
}

export const readLink = (v: DataView, at: number): LinkAddr =>
  (v.getUint16(at) * 0x100000000 + v.getUint32(at + 2)) as LinkAddr

export function writeLink(v: DataView, at: number, link: LinkAddr): void {
  const high = Math.floor(link / 0x100000000)
  v.setUint16(at, high)
  v.setUint32(at + 2, link - high * 0x100000000)
}
