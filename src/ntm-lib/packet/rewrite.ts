import { delta16, delta32, deltaSum, sum, udpCheck } from './checksum.ts'
import { newUpper, upperLayer } from './extension.ts'
import * as fragment from './fragment.ts'
import * as icmp4 from './icmp4.ts'
import * as icmp6 from './icmp6.ts'
import * as ip4 from './ip4.ts'
import * as ip6 from './ip6.ts'
import { ICMP4, ICMP6, TCP, UDP } from './protocol.ts'
import { CHECK_AT as TCP_CHECK } from './tcp.ts'
import { CHECK_AT as UDP_CHECK } from './udp.ts'

/**
 * Rewrites addresses in place, all checksums by delta. Packets were checked by `validInner`. In ICMP errors the embedded
 * packet travelled the other way: when the outer source changes, an embedded *destination* equal to it changes too.
 */

/**
 * Changes the source of the IPv4 packet of `len` bytes at `at`, and the matching embedded destination of an ICMP error. `to` and all
 * IPv4 addresses here may be signed words as well.
 */
export function rewriteSource4(v: DataView, at: number, len: number, to: number): void {
  const from = ip4.protocol(v, at) === ICMP4 ? ip4.source(v, at) : 0
  outer4(v, at, len, ip4.SOURCE_AT, to)
  if (ip4.protocol(v, at) === ICMP4) rewriteEmbeddedDestination4(v, at, len, from, to)
}

/** Changes the destination, and the matching embedded source of an ICMP error. */
export function rewriteDestination4(v: DataView, at: number, len: number, to: number): void {
  // An address is a large number, and so an object wherever it is passed on: only where it is needed.
  const from = ip4.protocol(v, at) === ICMP4 ? ip4.destination(v, at) : 0
  outer4(v, at, len, ip4.DESTINATION_AT, to)
  if (ip4.protocol(v, at) === ICMP4) rewriteEmbeddedSource4(v, at, len, from, to)
}

/** In an ICMP error: changes the embedded packet's source if it is `from`. Whether it did. */
const rewriteEmbeddedSource4 = (v: DataView, at: number, len: number, from: number, to: number): boolean =>
  embedded4(v, at, len, ip4.SOURCE_AT, from, to)

/** In an ICMP error: changes the embedded packet's destination if it is `from`. Whether it did. */
export const rewriteEmbeddedDestination4 = (v: DataView, at: number, len: number, from: number, to: number): boolean =>
  embedded4(v, at, len, ip4.DESTINATION_AT, from, to)

/** Changes the source of the IPv6 packet of `len` bytes at `at` to the 16 bytes at `toAt`, and a matching embedded destination. */
export function rewriteSource6(v: DataView, at: number, len: number, to: DataView, toAt: number): void {
  both6(v, at, len, ip6.SOURCE_AT, ip6.DESTINATION_AT, to, toAt)
}

/** Changes the destination, and a matching embedded source. */
export function rewriteDestination6(v: DataView, at: number, len: number, to: DataView, toAt: number): void {
  both6(v, at, len, ip6.DESTINATION_AT, ip6.SOURCE_AT, to, toAt)
}

/** In an ICMPv6 error: changes the embedded destination if it equals the 16 bytes at `fromAt`. Whether it did. */
export function rewriteEmbeddedDestination6(
  v: DataView,
  at: number,
  len: number,
  from: DataView,
  fromAt: number,
  to: DataView,
  toAt: number,
): boolean {
  return embedded6(v, at, len, ip6.DESTINATION_AT, from, fromAt, to, toAt)
}

/** Absolute offset of the packet embedded in an ICMPv4 error; -1 when this is no (first fragment of an) ICMP error. */
export function embeddedAt4(v: DataView, at: number, len: number): number {
  if (ip4.protocol(v, at) !== ICMP4 || ip4.fragmentOffset(v, at) !== 0) return -1
  const icmp = at + ip4.headerBytes(v, at)
  const inner = icmp + icmp4.ICMP_BYTES
  if (inner + ip4.IP4_BYTES > at + len || !icmp4.isError(icmp4.type(v, icmp))) return -1
  const header = ip4.headerBytes(v, inner)
  return ip4.version(v, inner) === 4 && header >= ip4.IP4_BYTES && inner + header <= at + len ? inner : -1
}

/** Absolute offset of the packet embedded in an ICMPv6 error; -1 when this is none. */
export function embeddedAt6(v: DataView, at: number, len: number): number {
  if (!upperLayer(v, at, len, upper) || upper.protocol !== ICMP6) return -1
  if (upper.fragmentAt >= 0 && fragment.offset(v, upper.fragmentAt) !== 0) return -1
  const inner = upper.at + icmp6.ICMP_BYTES
  if (inner + ip6.IP6_BYTES > at + len || !icmp6.isError(icmp6.type(v, upper.at))) return -1
  return ip6.version(v, inner) === 6 ? inner : -1
}

/** The shared scratch of this file; nothing in it outlives one call. */
const upper = newUpper()

function outer4(v: DataView, at: number, len: number, field: number, to: number): void {
  const before = sum(v, at + field, 4)
  v.setUint32(at + field, to)
  const after = sum(v, at + field, 4)
  v.setUint16(at + 10, deltaSum(ip4.check(v, at), before, after))
  if (ip4.fragmentOffset(v, at) !== 0) return
  const where = checkAt(ip4.protocol(v, at), at + ip4.headerBytes(v, at), at + len)
  if (where < 0 || skipZeroUdp(v, ip4.protocol(v, at), where)) return
  const check = deltaSum(v.getUint16(where), before, after)
  v.setUint16(where, ip4.protocol(v, at) === UDP ? udpCheck(check) : check)
}

function embedded4(v: DataView, at: number, len: number, field: number, from: number, to: number): boolean {
  const inner = embeddedAt4(v, at, len)
  if (inner < 0 || v.getInt32(inner + field) !== (from | 0)) return false
  const icmpCheck = at + ip4.headerBytes(v, at) + icmp4.CHECK_AT
  const before = sum(v, inner + 10, 10)
  v.setUint32(inner + field, to)
  v.setUint16(inner + 10, delta32(v.getUint16(inner + 10), from, to))
  v.setUint16(icmpCheck, deltaSum(v.getUint16(icmpCheck), before, sum(v, inner + 10, 10)))
  if (ip4.fragmentOffset(v, inner) !== 0) return true
  const where = checkAt(ip4.protocol(v, inner), inner + ip4.headerBytes(v, inner), at + len)
  if (where < 0 || skipZeroUdp(v, ip4.protocol(v, inner), where)) return true
  const old = v.getUint16(where)
  const check = delta32(old, from, to)
  v.setUint16(where, ip4.protocol(v, inner) === UDP ? udpCheck(check) : check)
  v.setUint16(icmpCheck, delta16(v.getUint16(icmpCheck), old, v.getUint16(where)))
  return true
}

function both6(
  v: DataView,
  at: number,
  len: number,
  field: number,
  embeddedField: number,
  to: DataView,
  toAt: number,
): void {
  // The old address is still needed for the embedded packet after the outer one changed.
  ip6.copyAddress(v, at + field, old, 0)
  const before = sum(v, at + field, 16)
  ip6.copyAddress(to, toAt, v, at + field)
  const after = sum(v, at + field, 16)
  if (upperLayer(v, at, len, upper) && !(upper.fragmentAt >= 0 && fragment.offset(v, upper.fragmentAt) !== 0)) {
    fixUpper6(v, upper.protocol, upper.at, at + len, before, after)
  }
  if (upper.protocol === ICMP6) embedded6(v, at, len, embeddedField, old, 0, v, at + field)
}

const old = new DataView(new ArrayBuffer(16))

function embedded6(
  v: DataView,
  at: number,
  len: number,
  field: number,
  from: DataView,
  fromAt: number,
  to: DataView,
  toAt: number,
): boolean {
  const inner = embeddedAt6(v, at, len)
  if (inner < 0 || !ip6.sameAddress(v, inner + field, from, fromAt)) return false
  const icmpCheck = upper.at + icmp6.CHECK_AT
  const before = sum(v, inner + field, 16)
  ip6.copyAddress(to, toAt, v, inner + field)
  const after = sum(v, inner + field, 16)
  v.setUint16(icmpCheck, deltaSum(v.getUint16(icmpCheck), before, after))
  if (!upperLayer(v, inner, at + len - inner, upper)) return true
  if (upper.fragmentAt >= 0 && fragment.offset(v, upper.fragmentAt) !== 0) return true
  const where = checkAt(upper.protocol, upper.at, at + len)
  if (where < 0) return true
  const check = v.getUint16(where)
  fixUpper6(v, upper.protocol, upper.at, at + len, before, after)
  v.setUint16(icmpCheck, delta16(v.getUint16(icmpCheck), check, v.getUint16(where)))
  return true
}

function fixUpper6(v: DataView, protocol: number, l4: number, end: number, before: number, after: number): void {
  const where = checkAt(protocol, l4, end)
  if (where < 0 || skipZeroUdp(v, protocol, where)) return
  const check = deltaSum(v.getUint16(where), before, after)
  v.setUint16(where, protocol === UDP ? udpCheck(check) : check)
}

/** Where the checksum that covers the pseudo-header is; -1 when the protocol has none or the bytes are not there. */
function checkAt(protocol: number, l4: number, end: number): number {
  const where = protocol === TCP ? l4 + TCP_CHECK : protocol === UDP ? l4 + UDP_CHECK : protocol === ICMP6 ? l4 + 2 : -1
  return where >= 0 && where + 2 <= end ? where : -1
}

/** RFC 768: an IPv4 UDP datagram without a checksum stays without one. */
const skipZeroUdp = (v: DataView, protocol: number, where: number): boolean =>
  protocol === UDP && v.getUint16(where) === 0
