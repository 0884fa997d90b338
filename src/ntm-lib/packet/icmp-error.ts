import { checkOf, pseudo6, sum } from './checksum.ts'
import { newUpper, upperLayer } from './extension.ts'
import * as fragment from './fragment.ts'
import * as icmp4 from './icmp4.ts'
import * as icmp6 from './icmp6.ts'
import * as ip4 from './ip4.ts'
import * as ip6 from './ip6.ts'
import { ICMP4, ICMP6 } from './protocol.ts'

/** RFC 1812 §4.3.2.3: an ICMPv4 error is at most 576 bytes. RFC 4443 §2.4(c): an ICMPv6 error is at most 1280. */
export const MOST_ERROR4 = 576
export const MOST_ERROR6 = 1280

/**
 * Whether an ICMP error may be sent about the packet of `len` bytes at `at`: not about ICMP errors, later fragments,
 * group destinations or sources that are no single host. RFC 1122 §3.2.2, RFC 4443 §2.4(e).
 */
export function mayAnswer(v: DataView, at: number, len: number): boolean {
  if (len < ip4.IP4_BYTES) return false
  return ip4.version(v, at) === 4 ? mayAnswer4(v, at, len) : ip4.version(v, at) === 6 && mayAnswer6(v, at, len)
}

/**
 * Writes at `to` in `into` an ICMPv4 error from `from` about the packet at `at` back to its source. `rest` is the word
 * after the checksum (MTU, pointer ≪ 24). Returns the length; `room` bytes must be free, at least 56.
 */
export function writeError4(
  into: DataView,
  to: number,
  room: number,
  from: number,
  type: number,
  code: number,
  rest: number,
  v: DataView,
  at: number,
  len: number,
): number {
  const header = ip4.IP4_BYTES + icmp4.ICMP_BYTES
  const quoted = Math.min(len, Math.min(MOST_ERROR4, room) - header)
  ip4.write(into, to, {
    tos: 0xc0,
    totalLength: header + quoted,
    id: 0,
    fragmentWord: 0,
    ttl: 64,
    protocol: ICMP4,
    source: from,
    destination: ip4.source(v, at),
  })
  const icmp = to + ip4.IP4_BYTES
  into.setUint32(icmp, ((type << 24) | (code << 16)) >>> 0)
  into.setUint32(icmp + 4, rest >>> 0)
  copy(v, at, into, to + header, quoted)
  into.setUint16(icmp + icmp4.CHECK_AT, checkOf(sum(into, icmp, icmp4.ICMP_BYTES + quoted)))
  return header + quoted
}

/** As `writeError4` for IPv6; the error's source is the 16 bytes at `fromAt` of `from`. At least 96 bytes of room. */
export function writeError6(
  into: DataView,
  to: number,
  room: number,
  from: DataView,
  fromAt: number,
  type: number,
  code: number,
  rest: number,
  v: DataView,
  at: number,
  len: number,
): number {
  const header = ip6.IP6_BYTES + icmp6.ICMP_BYTES
  const quoted = Math.min(len, Math.min(MOST_ERROR6, room) - header)
  const body = icmp6.ICMP_BYTES + quoted
  ip6.writeFirst(into, to, 0, body, ICMP6, 64)
  ip6.copyAddress(from, fromAt, into, to + ip6.SOURCE_AT)
  ip6.copyAddress(v, at + ip6.SOURCE_AT, into, to + ip6.DESTINATION_AT)
  const icmp = to + ip6.IP6_BYTES
  into.setUint32(icmp, ((type << 24) | (code << 16)) >>> 0)
  into.setUint32(icmp + 4, rest >>> 0)
  copy(v, at, into, to + header, quoted)
  into.setUint16(icmp + icmp6.CHECK_AT, checkOf(pseudo6(into, to, ICMP6, body) + sum(into, icmp, body)))
  return header + quoted
}

const upper = newUpper()

function mayAnswer4(v: DataView, at: number, len: number): boolean {
  if (ip4.fragmentOffset(v, at) !== 0) return false
  const top = ip4.source(v, at) >>> 24
  if (top === 0 || top === 127 || top >= 224 || ip4.destination(v, at) >>> 28 >= 14) return false
  if (ip4.protocol(v, at) !== ICMP4) return true
  const icmp = at + ip4.headerBytes(v, at)
  // Only the queries that exist may be answered: an unknown type may be somebody's error.
  return icmp < at + len && (icmp4.isEcho(icmp4.type(v, icmp)) || (v.getUint8(icmp) >= 13 && v.getUint8(icmp) <= 18))
}

function mayAnswer6(v: DataView, at: number, len: number): boolean {
  if (len < ip6.IP6_BYTES || v.getUint8(at + ip6.SOURCE_AT) === 0xff || v.getUint8(at + ip6.DESTINATION_AT) === 0xff) {
    return false
  }
  if (sum(v, at + ip6.SOURCE_AT, 16) === 0) return false
  if (!upperLayer(v, at, len, upper)) return true
  if (upper.fragmentAt >= 0 && fragment.offset(v, upper.fragmentAt) !== 0) return false
  return upper.protocol !== ICMP6 || (upper.at < at + len && !icmp6.isError(icmp6.type(v, upper.at)))
}

function copy(from: DataView, fromAt: number, to: DataView, toAt: number, bytes: number): void {
  new Uint8Array(to.buffer, to.byteOffset + toAt, bytes).set(
    new Uint8Array(from.buffer, from.byteOffset + fromAt, bytes),
  )
}
