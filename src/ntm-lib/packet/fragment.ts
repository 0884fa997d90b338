/** IPv6 Fragment header (RFC 8200 §4.5), 8 bytes. Offsets are in units of 8 bytes as in IPv4. */
export const FRAGMENT_BYTES = 8

export const nextHeader = (v: DataView, at: number): number => v.getUint8(at)
export const offset = (v: DataView, at: number): number => v.getUint16(at + 2) >> 3
export const more = (v: DataView, at: number): boolean => (v.getUint8(at + 3) & 1) !== 0
export const id = (v: DataView, at: number): number => v.getUint32(at + 4)

export function write(v: DataView, at: number, next: number, off: number, isMore: boolean, ident: number): void {
  v.setUint8(at, next)
  v.setUint8(at + 1, 0)
  v.setUint16(at + 2, (off << 3) | (isMore ? 1 : 0))
  v.setUint32(at + 4, ident >>> 0)
}
