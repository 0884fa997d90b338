import { intact, pseudo6, sum } from '#ntm-lib/packet/checksum.ts'
import { newUpper, upperLayer } from '#ntm-lib/packet/extension.ts'
import * as fragment from '#ntm-lib/packet/fragment.ts'
import * as icmp4 from '#ntm-lib/packet/icmp4.ts'
import * as icmp6 from '#ntm-lib/packet/icmp6.ts'
import * as ip4 from '#ntm-lib/packet/ip4.ts'
import * as ip6 from '#ntm-lib/packet/ip6.ts'
import { ICMP4, ICMP6 } from '#ntm-lib/packet/protocol.ts'
import type { DropReason } from '../verdict.ts'
import type { XlatContext } from './context.ts'
import { carriesExtensions6, originalEnd, padding, padOriginal } from './extensions.ts'
import type { Message } from './icmp-4to6.ts'
import { tooBigSixToFour } from './mtu.ts'
import { cannotCrossToFour, carry } from './transport.ts'

type Mapped = { typeCode: number; rest: number }
const mapped: Mapped = { typeCode: 0, rest: 0 }
const upper = newUpper()
/** The embedded packet's addresses while its header is being replaced. */
const inner = new DataView(new ArrayBuffer(8))

/**
 * Translates the ICMPv6 error at `[at, end)` of the IPv6 packet at `packet`, with the packet in it. RFC 7915 §5.2, §5.3.
 * The checksum is left to the caller. Null when done, else why not.
 */
export function icmpSixToFour(
  v: DataView,
  packet: number,
  at: number,
  end: number,
  ctx: XlatContext,
  out: Message,
): DropReason | null {
  if (!intact(pseudo6(v, packet, ICMP6, end - at) + sum(v, at, end - at))) return 'bad-checksum'
  const body = at + icmp6.ICMP_BYTES
  if (body + ip6.IP6_BYTES > end) return 'short'
  if (!mapError(v, at, body, end, ctx, mapped)) return 'icmp-type'
  const { typeCode, rest } = mapped
  const original = carriesExtensions6(icmp6.type(v, at)) ? originalEnd(body, end, icmp6.originalWords(v, at) * 8) : -1
  const embedded = embeddedSixToFour(v, body, original < 0 ? end : original, ctx)
  if (typeof embedded === 'string') return embedded
  let start = embedded
  let words = 0
  let last = end
  if (original >= 0) {
    const pad = padding(original - start, 4)
    words = (original - start + pad) / 4
    // ICMPv4 counts in half the unit: an original that its one byte cannot count goes without the extensions.
    if (words > 255) [words, last] = [0, original]
    // The embedded header lost at least 20 bytes, so there is always room in front for the padding.
    else start = padOriginal(v, start, original, pad)
  }
  out.at = start - icmp4.ICMP_BYTES
  out.end = last
  v.setUint16(out.at, typeCode)
  v.setUint16(out.at + 2, 0)
  v.setUint32(out.at + 4, rest)
  if (words > 0) v.setUint8(out.at + 5, words)
  return null
}

/** The packet in an error, often cut short. Returns where the translated one starts. One level, no deeper. */
function embeddedSixToFour(v: DataView, at: number, end: number, ctx: XlatContext): number | DropReason {
  if (ip6.version(v, at) !== 6 || !upperLayer(v, at, end - at, upper)) return 'short'
  const { protocol, fragmentAt, at: upperAt } = upper
  if (cannotCrossToFour(protocol)) return 'bad-protocol'
  const offset = fragmentAt < 0 ? 0 : fragment.offset(v, fragmentAt)
  const first = offset === 0
  if (protocol === ICMP6 && first) {
    if (upperAt + icmp6.ICMP_BYTES > end) return 'short'
    const type = icmp6.type(v, upperAt)
    if (icmp6.isError(type)) return 'nested-error'
    if (!icmp6.isEcho(type)) return 'icmp-type'
  }
  if (!ctx.map.toFour(v, at + ip6.SOURCE_AT, 'embedded-source', inner, 0)) return 'no-address'
  if (!ctx.map.toFour(v, at + ip6.DESTINATION_AT, 'embedded-destination', inner, 4)) return 'no-address'
  const source = inner.getUint32(0)
  const destination = inner.getUint32(4)
  const before = sum(v, at + ip6.SOURCE_AT, 32)
  // What the embedded header claims to carry, less the headers that IPv4 does not have.
  const bytes = Math.max(0, ip6.payloadLength(v, at) - (upperAt - at - ip6.IP6_BYTES))
  const start = upperAt - ip4.IP4_BYTES
  ip4.write(v, start, {
    tos: ctx.copyTrafficClass ? ip6.trafficClass(v, at) : 0,
    totalLength: Math.min(0xffff, bytes + ip4.IP4_BYTES),
    id: fragmentAt < 0 ? 0 : fragment.id(v, fragmentAt) & 0xffff,
    fragmentWord: fragmentAt < 0 ? dontFragment(bytes) : (fragment.more(v, fragmentAt) ? 0x2000 : 0) | offset,
    ttl: ip6.hopLimit(v, at),
    protocol: protocol === ICMP6 ? ICMP4 : protocol,
    source,
    destination,
  })
  if (!first) return start
  if (protocol === ICMP6) embeddedEcho(v, upperAt, before + ICMP6 + bytes)
  else carry(v, protocol, upperAt, end, before, sum(v, start + ip4.SOURCE_AT, 8))
  return start
}

/** RFC 7915 §5.1: DF is clear when the IPv4 packet has at most 1260 bytes, so that it may still be cut on the way. */
export const dontFragment = (payloadBytes: number): number => (payloadBytes + ip4.IP4_BYTES <= 1260 ? 0 : 0x4000)

function embeddedEcho(v: DataView, at: number, pseudo: number): void {
  const before = v.getUint16(at)
  v.setUint8(at, icmp6.type(v, at) === icmp6.ECHO_REQUEST ? icmp4.ECHO_REQUEST : icmp4.ECHO_REPLY)
  let taken = pseudo + before
  while (taken > 0xffff) taken = (taken & 0xffff) + (taken >>> 16)
  let check = (~v.getUint16(at + 2) & 0xffff) + (~taken & 0xffff) + v.getUint16(at)
  while (check > 0xffff) check = (check & 0xffff) + (check >>> 16)
  v.setUint16(at + 2, ~check & 0xffff)
}

/** The type and code table of RFC 7915 §5.2; false for everything that is dropped. */
function mapError(v: DataView, at: number, body: number, end: number, ctx: XlatContext, out: Mapped): boolean {
  const code = icmp6.code(v, at)
  out.rest = 0
  switch (icmp6.type(v, at)) {
    case icmp6.UNREACHABLE:
      out.typeCode = (icmp4.UNREACHABLE << 8) | (UNREACHABLE_CODES[code] ?? 0)
      return code < UNREACHABLE_CODES.length
    case icmp6.PACKET_TOO_BIG: {
      const hadFragment = upperLayer(v, body, end - body, upper) && upper.fragmentAt >= 0
      out.typeCode = (icmp4.UNREACHABLE << 8) | icmp4.FRAGMENTATION_NEEDED
      out.rest = tooBigSixToFour(icmp6.mtu(v, at), hadFragment, ctx.mtu4, ctx.mtu6)
      return true
    }
    case icmp6.TIME_EXCEEDED:
      out.typeCode = (icmp4.TIME_EXCEEDED << 8) | code
      return true
    case icmp6.PARAMETER_PROBLEM: {
      if (code === 1) {
        out.typeCode = (icmp4.UNREACHABLE << 8) | icmp4.PROTOCOL_UNREACHABLE
        return true
      }
      const pointer = icmp6.pointer(v, at)
      const four = pointer < ip6.IP6_BYTES ? pointerFour(pointer) : -1
      out.typeCode = icmp4.PARAMETER_PROBLEM << 8
      out.rest = (four << 24) >>> 0
      return code === 0 && four >= 0
    }
    default:
      return false
  }
}

/** §5.2, type 1 by code: no route, prohibited, beyond scope, address unreachable, port unreachable. */
const UNREACHABLE_CODES = [
  icmp4.HOST_UNREACHABLE,
  10,
  icmp4.HOST_UNREACHABLE,
  icmp4.HOST_UNREACHABLE,
  icmp4.PORT_UNREACHABLE,
]

/** Figure 6: which IPv4 header byte stands for an IPv6 header byte; -1 for the flow label. */
function pointerFour(pointer: number): number {
  if (pointer >= 24) return 16
  if (pointer >= 8) return 12
  return [0, 1, -1, -1, 2, 2, 9, 8][pointer] ?? -1
}
