import { type Ip6, ip6FromBytes } from '../addr/ip6.ts'

/** IPv6 header (RFC 8200 §3), 40 bytes. Callers have checked that they are there. */
export const IP6_BYTES = 40

export const version = (v: DataView, at: number): number => v.getUint8(at) >> 4
export const trafficClass = (v: DataView, at: number): number => (v.getUint16(at) >> 4) & 0xff
/** Bytes after the 40-byte header. */
export const payloadLength = (v: DataView, at: number): number => v.getUint16(at + 4)
export const nextHeader = (v: DataView, at: number): number => v.getUint8(at + 6)
export const hopLimit = (v: DataView, at: number): number => v.getUint8(at + 7)

/** Offsets of the two 16-byte addresses inside the header. */
export const SOURCE_AT = 8
export const DESTINATION_AT = 24

/** Copies of the addresses; allocate, so not for the packet path. */
export const source = (v: DataView, at: number): Ip6 =>
  ip6FromBytes(new Uint8Array(v.buffer, v.byteOffset + at + SOURCE_AT, 16))
export const destination = (v: DataView, at: number): Ip6 =>
  ip6FromBytes(new Uint8Array(v.buffer, v.byteOffset + at + DESTINATION_AT, 16))

export const setPayloadLength = (v: DataView, at: number, bytes: number): void => v.setUint16(at + 4, bytes)

/** Writes the first 8 bytes of a header; the caller writes the addresses. */
export function writeFirst(
  v: DataView,
  at: number,
  traffic: number,
  payloadBytes: number,
  next: number,
  hops: number,
): void {
  v.setUint32(at, ((6 << 28) | (traffic << 20)) >>> 0)
  v.setUint16(at + 4, payloadBytes)
  v.setUint8(at + 6, next)
  v.setUint8(at + 7, hops)
}

/** Copies a 16-byte address; source and target may be in the same or in different memory. */
export function copyAddress(from: DataView, fromAt: number, to: DataView, toAt: number): void {
  // All four are read before any is written: the two places may overlap.
  const a = from.getUint32(fromAt)
  const b = from.getUint32(fromAt + 4)
  const c = from.getUint32(fromAt + 8)
  const d = from.getUint32(fromAt + 12)
  to.setUint32(toAt, a)
  to.setUint32(toAt + 4, b)
  to.setUint32(toAt + 8, c)
  to.setUint32(toAt + 12, d)
}

export const sameAddress = (a: DataView, aAt: number, b: DataView, bAt: number): boolean =>
  a.getUint32(aAt) === b.getUint32(bAt) &&
  a.getUint32(aAt + 4) === b.getUint32(bAt + 4) &&
  a.getUint32(aAt + 8) === b.getUint32(bAt + 8) &&
  a.getUint32(aAt + 12) === b.getUint32(bAt + 12)

/** Compares the address at `at` with a value. */
export function isAddress(v: DataView, at: number, ip: Ip6): boolean {
  for (let i = 0; i < 16; i++) if (v.getUint8(at + i) !== ip[i]) return false
  return true
}

/** Writes an address value at `at`. */
export function putAddress(v: DataView, at: number, ip: Uint8Array): void {
  for (let i = 0; i < 16; i++) v.setUint8(at + i, ip[i] ?? 0)
}
