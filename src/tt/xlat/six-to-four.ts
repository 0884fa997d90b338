import { checkOf, deltaSum, pseudo6, sum } from '#ntm-lib/packet/checksum.ts'
import { newUpper, upperLayer } from '#ntm-lib/packet/extension.ts'
import * as fragment from '#ntm-lib/packet/fragment.ts'
import { fitted, isSuper, segmentCount, transportBytes } from '#ntm-lib/packet/gso.ts'
import * as icmp4 from '#ntm-lib/packet/icmp4.ts'
import * as icmp6 from '#ntm-lib/packet/icmp6.ts'
import * as ip4 from '#ntm-lib/packet/ip4.ts'
import * as ip6 from '#ntm-lib/packet/ip6.ts'
import { ICMP4, ICMP6, UDP } from '#ntm-lib/packet/protocol.ts'
import type { Verdict } from '../verdict.ts'
import { illegalSource6, scratch } from './addr.ts'
import type { Translated, XlatContext } from './context.ts'
import { newMessage } from './icmp-4to6.ts'
import { dontFragment, icmpSixToFour } from './icmp-6to4.ts'
import { answer6, drop } from './reply.ts'
import { cannotCrossToFour, carry, leastBytes } from './transport.ts'

const upper = newUpper()
const message = newMessage()

/** The longest IPv4 packet. */
const MOST_TOTAL = 65_535

/**
 * Translates the IPv6 packet of `len` bytes at `at` to IPv4. RFC 7915 §5. The payload stays where it is and the packet's
 * start moves forward. On `forward`, `out` says where it is; after any other verdict but `cut` its bytes are worthless.
 *
 * @param gso as in `SuperBatch`: a super-packet is translated whole, and judged by its segments
 */
export function sixToFour(
  v: DataView,
  at: number,
  len: number,
  gso: number,
  ctx: XlatContext,
  out: Translated,
): Verdict {
  out.reason = null
  if (len < ip6.IP6_BYTES) return drop(out, 'short')
  if (ip6.version(v, at) !== 6) return drop(out, 'bad-version')
  const total = ip6.IP6_BYTES + ip6.payloadLength(v, at)
  if (total > len) return drop(out, 'bad-length')
  if (illegalSource6(v, at + ip6.SOURCE_AT)) return drop(out, 'bad-source')
  if (ip6.hopLimit(v, at) <= ctx.lastHop) {
    return answer6(ctx, out, 'ttl-expired', icmp6.TIME_EXCEEDED, 0, 0, v, at, total)
  }
  if (!upperLayer(v, at, total, upper)) return drop(out, 'bad-length')
  const { protocol, fragmentAt, at: upperAt } = upper
  if (upper.segmentsLeftAt >= 0) {
    const pointer = upper.segmentsLeftAt - at
    return answer6(ctx, out, 'routing-header', icmp6.PARAMETER_PROBLEM, 0, pointer, v, at, total)
  }
  if (upper.extensionAfterFragment) return drop(out, 'extension-after-fragment')
  if (cannotCrossToFour(protocol)) return drop(out, 'bad-protocol')
  const offset = fragmentAt < 0 ? 0 : fragment.offset(v, fragmentAt)
  const more = fragmentAt >= 0 && fragment.more(v, fragmentAt)
  const first = offset === 0
  const bytes = at + total - upperAt
  if (first && bytes < leastBytes(protocol)) return drop(out, 'short')
  if (protocol === ICMP6 && (more || !first)) return drop(out, 'icmp-fragment')
  // RFC 8200 §8.1: a zero UDP checksum is not allowed here, so it is damage and not a wish.
  if (gso === 0 && protocol === UDP && first && v.getUint16(upperAt + 6) === 0) return drop(out, 'udp-no-checksum')
  const size = ip4.IP4_BYTES + bytes
  const isWhole = isSuper(gso)
  const each = isWhole ? fitted(v, protocol, upperAt, at + total, gso, ip4.IP4_BYTES, ctx.mtu4) : gso
  // IPv4 counts its header in: the longest payloads of IPv6 do not fit.
  if (each < 0 || (isWhole && size > MOST_TOTAL)) return 'cut'
  const headers = isWhole ? transportBytes(v, protocol, upperAt, at + total) : 0
  const unit = isWhole ? Math.min(bytes, headers + each) : bytes
  const flags = fragmentAt < 0 ? dontFragment(unit) : (more ? 0x2000 : 0) | offset
  if (!isWhole && fragmentAt < 0 && flags !== 0 && size > ctx.mtu4) {
    return answer6(ctx, out, 'too-big', icmp6.PACKET_TOO_BIG, 0, Math.max(1280, ctx.mtu4 + 20), v, at, total)
  }
  const error = protocol === ICMP6 && icmp6.isError(icmp6.type(v, upperAt))
  const from = error ? 'error-source' : 'source'
  if (!ctx.map.toFour(v, at + ip6.SOURCE_AT, from, scratch, 0)) return drop(out, 'no-address')
  if (!ctx.map.toFour(v, at + ip6.DESTINATION_AT, 'destination', scratch, 4)) {
    return answer6(ctx, out, 'no-address', icmp6.UNREACHABLE, icmp6.ADDRESS_UNREACHABLE, 0, v, at, total)
  }

  const before = sum(v, at + ip6.SOURCE_AT, 32)
  const tos = ctx.copyTrafficClass ? ip6.trafficClass(v, at) : 0
  const ttl = ip6.hopLimit(v, at)
  const id =
    fragmentAt < 0
      ? ctx.nextId(isWhole ? segmentCount(bytes - headers, each) : 1) & 0xffff
      : fragment.id(v, fragmentAt) & 0xffff
  let payloadAt = upperAt
  let end = at + total
  if (error) {
    const reason = icmpSixToFour(v, at, upperAt, end, ctx, message)
    if (reason !== null) return drop(out, reason)
    payloadAt = message.at
    end = message.end
  } else if (protocol === ICMP6 && !echo(v, at, upperAt, bytes)) return drop(out, 'icmp-type')
  const start = payloadAt - ip4.IP4_BYTES
  const four = protocol === ICMP6 ? ICMP4 : protocol
  writeHeader(v, start, tos, end - start, id, flags, ttl, four)
  if (error) {
    // The message lost bytes: DF follows the size it has now.
    if (fragmentAt < 0) setFlags(v, start, dontFragment(end - payloadAt))
    v.setUint16(payloadAt + icmp4.CHECK_AT, checkOf(sum(v, payloadAt, end - payloadAt)))
  } else if (first && gso === 0) carry(v, protocol, payloadAt, end, before, sum(v, start + ip4.SOURCE_AT, 8))
  out.at = start
  out.len = end - start
  out.gso = each
  return 'forward'
}

/** Echo request and reply: the type changes and the checksum loses the pseudo-header. RFC 7915 §5.2. */
function echo(v: DataView, packet: number, at: number, bytes: number): boolean {
  const type = icmp6.type(v, at)
  if (!icmp6.isEcho(type)) return false
  const before = v.getUint16(at) + pseudo6(v, packet, ICMP6, bytes)
  v.setUint8(at, type === icmp6.ECHO_REQUEST ? icmp4.ECHO_REQUEST : icmp4.ECHO_REPLY)
  v.setUint16(at + 2, deltaSum(v.getUint16(at + 2), before, v.getUint16(at)))
  return true
}

function writeHeader(
  v: DataView,
  at: number,
  tos: number,
  length: number,
  id: number,
  flags: number,
  ttl: number,
  protocol: number,
): void {
  v.setUint16(at, 0x4500 | tos)
  v.setUint16(at + 2, length)
  v.setUint16(at + 4, id)
  v.setUint16(at + 6, flags)
  v.setUint16(at + 8, (ttl << 8) | protocol)
  v.setUint32(at + ip4.SOURCE_AT, scratch.getUint32(0))
  v.setUint32(at + ip4.DESTINATION_AT, scratch.getUint32(4))
  ip4.fillCheck(v, at)
}

function setFlags(v: DataView, at: number, flags: number): void {
  v.setUint16(at + 6, flags)
  ip4.fillCheck(v, at)
}
