/** TCP header (RFC 9293 §3.1), 20 bytes and options. */
export const TCP_BYTES = 20
export const FIN = 0x01
export const SYN = 0x02
export const RST = 0x04
export const ACK = 0x10
export const sourcePort = (v: DataView, at: number): number => v.getUint16(at)
export const destinationPort = (v: DataView, at: number): number => v.getUint16(at + 2)
/** Header length in bytes, options included; below 20 in a broken segment. */
export const headerBytes = (v: DataView, at: number): number => (v.getUint8(at + 12) >> 4) * 4
export const flags = (v: DataView, at: number): number => v.getUint8(at + 13)
/** Where the checksum stands, from the start of the header. */
export const CHECK_AT = 16

/**
 * Absolute offset of the 16-bit MSS value of the segment at `at`, of which `len` bytes are there; -1 when there is no
 * well-formed MSS option. The offset may be odd. RFC 9293 §3.2.
 */
export function mssAt(v: DataView, at: number, len: number): number {
  const end = at + Math.min(headerBytes(v, at), len)
  for (let p = at + TCP_BYTES; p < end; ) {
    const kind = v.getUint8(p)
    if (kind === 0) return -1
    if (kind === 1) {
      p++
      continue
    }
    const length = p + 1 < end ? v.getUint8(p + 1) : 0
    if (length < 2 || p + length > end) return -1
    if (kind === 2) return length === 4 ? p + 2 : -1
    p += length
  }
  return -1
}
