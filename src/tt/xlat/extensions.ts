/**
 * RFC 4884: an ICMP error may carry extension objects behind the original datagram, whose padded length then stands in
 * the message: in 32-bit words in ICMPv4, in 64-bit words in ICMPv6.
 */

/** RFC 4884 §3: with extensions behind it the original datagram field has at least this many bytes. */
const LEAST_ORIGINAL = 128

/** Which ICMPv6 and ICMPv4 errors have the length field in both families: unreachable and time exceeded. */
export const carriesExtensions6 = (type6: number): boolean => type6 === 1 || type6 === 3

/**
 * Where the original datagram field ends, from the length field; -1 when the message has no extensions or the length
 * contradicts the message (then everything is original datagram).
 */
export function originalEnd(bodyAt: number, end: number, bytes: number): number {
  return bytes >= LEAST_ORIGINAL && bodyAt + bytes < end ? bodyAt + bytes : -1
}

/**
 * Pads the original datagram at `[at, originalEnd)` with zeros to a multiple of `unit` and at least 128 bytes by moving
 * it towards the front; the extensions do not move. Returns its new start; the caller has checked that room.
 */
export function padOriginal(v: DataView, at: number, originalEnd: number, pad: number): number {
  if (pad === 0) return at
  const bytes = new Uint8Array(v.buffer, v.byteOffset, v.byteLength)
  bytes.copyWithin(at - pad, at, originalEnd)
  bytes.fill(0, originalEnd - pad, originalEnd)
  return at - pad
}

/** How many bytes of padding an original datagram of `bytes` needs. */
export const padding = (bytes: number, unit: number): number =>
  Math.max(LEAST_ORIGINAL, Math.ceil(bytes / unit) * unit) - bytes
