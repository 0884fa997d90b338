import { checkOf, pseudo6, sum, udpCheck } from '#ntm-lib/packet/checksum.ts'
import * as fragment from '#ntm-lib/packet/fragment.ts'
import { fillTransport, fitted, isSuper } from '#ntm-lib/packet/gso.ts'
import * as icmp4 from '#ntm-lib/packet/icmp4.ts'
import * as ip4 from '#ntm-lib/packet/ip4.ts'
import { IP6_BYTES, SOURCE_AT, writeFirst } from '#ntm-lib/packet/ip6.ts'
import { FRAGMENT, ICMP4, ICMP6, IGMP, UDP } from '#ntm-lib/packet/protocol.ts'
import type { Verdict } from '../verdict.ts'
import { illegalSource4, putBoth, scratch } from './addr.ts'
import type { Translated, XlatContext } from './context.ts'
import { split6 } from './fragment.ts'
import { icmpFourToSix, newMessage } from './icmp-4to6.ts'
import { MIN_MTU6 } from './mtu.ts'
import { answer4, drop } from './reply.ts'
import { cannotCrossToSix, carry, leastBytes } from './transport.ts'

const message = newMessage()

/**
 * Translates the IPv4 packet of `len` bytes at `at` to IPv6. RFC 7915 §4. The payload stays where it is: headers are
 * replaced in front of it, so the packet's start moves back by up to 64 bytes but never below `low`, and its end never
 * grows. On `forward`, `out` says where it is; after any other verdict but `cut` the packet's bytes are worthless.
 *
 * @param gso as in `SuperBatch`: a super-packet is translated whole, and judged by its segments
 */
export function fourToSix(
  v: DataView,
  low: number,
  at: number,
  len: number,
  gso: number,
  ctx: XlatContext,
  out: Translated,
): Verdict {
  out.reason = null
  if (len < ip4.IP4_BYTES) return drop(out, 'short')
  if (ip4.version(v, at) !== 4) return drop(out, 'bad-version')
  const header = ip4.headerBytes(v, at)
  const total = ip4.totalLength(v, at)
  if (header < ip4.IP4_BYTES || header > total || total > len) return drop(out, 'bad-length')
  if (sum(v, at, header) % 0xffff !== 0) return drop(out, 'bad-checksum')
  if (illegalSource4(v.getUint8(at + ip4.SOURCE_AT))) return drop(out, 'bad-source')
  if (ip4.ttl(v, at) <= ctx.lastHop) return answer4(ctx, out, 'ttl-expired', icmp4.TIME_EXCEEDED, 0, 0, v, at, total)
  if (header > ip4.IP4_BYTES && ip4.optionsSay(v, at, header) === 'source-route') {
    return answer4(ctx, out, 'source-route', icmp4.UNREACHABLE, icmp4.SOURCE_ROUTE_FAILED, 0, v, at, total)
  }
  const protocol = ip4.protocol(v, at)
  if (protocol === IGMP || cannotCrossToSix(protocol)) return drop(out, 'bad-protocol')
  const isFragment = ip4.isFragment(v, at)
  const dontFragment = ip4.dontFragment(v, at)
  const upper = at + header
  const most = dontFragment ? ctx.mtu6 : Math.max(MIN_MTU6, Math.min(ctx.fragmentTo, ctx.mtu6))
  const isWhole = isSuper(gso)
  const each = isWhole ? fitted(v, protocol, upper, at + total, gso, IP6_BYTES, most) : gso
  if (each < 0) return 'cut'
  const size = total - header + IP6_BYTES + (isFragment ? fragment.FRAGMENT_BYTES : 0)
  if (dontFragment && !isWhole && size > ctx.mtu6) {
    const mtu = ctx.mtu6 - IP6_BYTES + ip4.IP4_BYTES - (isFragment ? fragment.FRAGMENT_BYTES : 0)
    return answer4(ctx, out, 'too-big', icmp4.UNREACHABLE, icmp4.FRAGMENTATION_NEEDED, mtu, v, at, total)
  }
  const first = ip4.fragmentOffset(v, at) === 0
  if (first && total - header < leastBytes(protocol)) return drop(out, 'short')
  // An ICMPv6 checksum covers the length of the whole message, which no single fragment knows (RFC 7915 §1.2).
  if (protocol === ICMP4 && isFragment) return drop(out, 'icmp-fragment')
  // Where the checksum is still to be made, the field says nothing.
  const zeroUdp = gso === 0 && protocol === UDP && first && v.getUint16(upper + 6) === 0
  if (zeroUdp && (isFragment || ctx.udpZero === 'drop')) return drop(out, 'udp-no-checksum')
  const error = protocol === ICMP4 && icmp4.isError(icmp4.type(v, upper))
  const from = error ? 'error-source' : 'source'
  if (!ctx.map.toSix(v, at + ip4.SOURCE_AT, from, scratch, 0)) return drop(out, 'no-address')
  if (!ctx.map.toSix(v, at + ip4.DESTINATION_AT, 'destination', scratch, 16)) {
    return answer4(ctx, out, 'no-address', icmp4.UNREACHABLE, icmp4.HOST_UNREACHABLE, 0, v, at, total)
  }

  const before = sum(v, at + ip4.SOURCE_AT, 8)
  const traffic = ctx.copyTrafficClass ? ip4.tos(v, at) : 0
  const hops = ip4.ttl(v, at)
  const word = ip4.fragmentWord(v, at)
  const ident = ip4.id(v, at)
  let payloadAt = upper
  let end = at + total
  if (error) {
    const reason = icmpFourToSix(v, low + IP6_BYTES, upper, end, ctx, message)
    if (reason !== null) return drop(out, reason)
    payloadAt = message.at
    end = message.end
  }
  const start = payloadAt - IP6_BYTES - (isFragment ? fragment.FRAGMENT_BYTES : 0)
  if (start < low) return drop(out, 'no-headroom')
  const next = protocol === ICMP4 ? ICMP6 : protocol
  writeFirst(v, start, traffic, end - start - IP6_BYTES, isFragment ? FRAGMENT : next, hops)
  putBoth(v, start)
  if (isFragment) fragment.write(v, start + IP6_BYTES, next, word & 0x1fff, (word & 0x2000) !== 0, ident)
  if (protocol === ICMP4) {
    if (!error && !echo(v, start, payloadAt, end)) return drop(out, 'icmp-type')
    if (error) seal(v, start, ICMP6, payloadAt, end, 2)
  } else if (zeroUdp) seal(v, start, UDP, payloadAt, end, 6)
  else if (first && gso === 0) carry(v, protocol, payloadAt, end, before, sum(v, start + SOURCE_AT, 32))
  out.at = start
  out.len = end - start
  out.gso = each
  if (dontFragment || isWhole || out.len <= most) return 'forward'
  if (gso !== 0) fillTransport(v, start, out.len)
  return split6(v, start, out.len, most, ident, ctx.spill) ? 'split' : drop(out, 'too-big')
}

/** Echo request and reply: the type changes and the checksum gains the pseudo-header. RFC 7915 §4.2. */
function echo(v: DataView, start: number, at: number, end: number): boolean {
  const type = icmp4.type(v, at)
  if (!icmp4.isEcho(type)) return false
  const before = v.getUint16(at)
  v.setUint8(at, type === icmp4.ECHO_REQUEST ? 128 : 129)
  const after = v.getUint16(at) + pseudo6(v, start, ICMP6, end - at)
  const check = v.getUint16(at + 2)
  v.setUint16(at + 2, checkOf((~check & 0xffff) + (~before & 0xffff) + after))
  return true
}

/** A checksum from scratch: for ICMP errors, whose content changed, and for UDP that had none. */
function seal(v: DataView, start: number, protocol: number, at: number, end: number, field: number): void {
  v.setUint16(at + field, 0)
  const check = checkOf(pseudo6(v, start, protocol, end - at) + sum(v, at, end - at))
  v.setUint16(at + field, protocol === UDP ? udpCheck(check) : check)
}
