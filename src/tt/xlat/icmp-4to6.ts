import { intact, sum } from '#ntm-lib/packet/checksum.ts'
import * as fragment from '#ntm-lib/packet/fragment.ts'
import { MOST_ERROR6 } from '#ntm-lib/packet/icmp-error.ts'
import * as icmp4 from '#ntm-lib/packet/icmp4.ts'
import * as icmp6 from '#ntm-lib/packet/icmp6.ts'
import * as ip4 from '#ntm-lib/packet/ip4.ts'
import { DESTINATION_AT, IP6_BYTES, SOURCE_AT, writeFirst } from '#ntm-lib/packet/ip6.ts'
import { FRAGMENT, ICMP4, ICMP6 } from '#ntm-lib/packet/protocol.ts'
import type { DropReason } from '../verdict.ts'
import type { XlatContext } from './context.ts'
import { carriesExtensions6, originalEnd, padding, padOriginal } from './extensions.ts'
import { tooBigFourToSix } from './mtu.ts'
import { cannotCrossToSix, carry } from './transport.ts'

/** Where a translated ICMP message stands; reused. */
export type Message = { at: number; end: number }
export const newMessage = (): Message => ({ at: 0, end: 0 })

/** Type ≪ 8 ‖ code, and the word after the checksum; reused. */
type Mapped = { typeCode: number; rest: number }
const mapped: Mapped = { typeCode: 0, rest: 0 }

/**
 * Translates the ICMPv4 error at `[at, end)` with the packet in it. RFC 7915 §4.2, §4.3. Writes not below `low`; the
 * checksum is left to the caller, who knows the outer addresses. Null when done, else why not.
 */
export function icmpFourToSix(
  v: DataView,
  low: number,
  at: number,
  end: number,
  ctx: XlatContext,
  out: Message,
): DropReason | null {
  // A checksum made anew for a damaged message would make the damage look true: check the old one first.
  if (!intact(sum(v, at, end - at))) return 'bad-checksum'
  const body = at + icmp4.ICMP_BYTES
  if (body + ip4.IP4_BYTES > end) return 'short'
  if (!mapError(v, at, body, ctx, mapped)) return 'icmp-type'
  const { typeCode, rest } = mapped
  const type = icmp4.type(v, at)
  const hasLength = type === icmp4.UNREACHABLE || type === icmp4.TIME_EXCEEDED || type === icmp4.PARAMETER_PROBLEM
  let original = hasLength ? originalEnd(body, end, icmp4.originalWords(v, at) * 4) : -1
  const embedded = embeddedFourToSix(v, low + icmp6.ICMP_BYTES, body, original < 0 ? end : original, ctx)
  if (typeof embedded === 'string') return embedded
  let inner = embedded
  let words = 0
  let last = end
  if (original >= 0) {
    const pad = padding(original - inner, 8)
    const most = inner - pad - icmp6.ICMP_BYTES - IP6_BYTES + MOST_ERROR6
    // §4.2 lets a translator cut extensions that do not fit; half an object is no object, so all of them go.
    const keep = carriesExtensions6(typeCode >> 8) && end <= most && inner - pad - icmp6.ICMP_BYTES >= low
    if (keep) {
      inner = padOriginal(v, inner, original, pad)
      words = (original - inner) / 8
    } else {
      last = original
      original = -1
    }
  }
  out.at = inner - icmp6.ICMP_BYTES
  out.end = Math.min(last, out.at - IP6_BYTES + MOST_ERROR6)
  v.setUint16(out.at, typeCode)
  v.setUint16(out.at + 2, 0)
  v.setUint32(out.at + 4, rest)
  if (words > 0) v.setUint8(out.at + 4, words)
  return null
}

/** The packet in an error, `[at, end)`, often cut short. Returns where the translated one starts. One level, no deeper. */
function embeddedFourToSix(v: DataView, low: number, at: number, end: number, ctx: XlatContext): number | DropReason {
  const header = ip4.headerBytes(v, at)
  if (ip4.version(v, at) !== 4 || header < ip4.IP4_BYTES || at + header > end) return 'short'
  const protocol = ip4.protocol(v, at)
  if (cannotCrossToSix(protocol)) return 'bad-protocol'
  const upper = at + header
  const first = ip4.fragmentOffset(v, at) === 0
  const isFragment = ip4.isFragment(v, at)
  if (protocol === ICMP4 && first) {
    if (upper + icmp4.ICMP_BYTES > end) return 'short'
    const type = icmp4.type(v, upper)
    // §4.3: a translator stops at the first embedded header.
    if (icmp4.isError(type)) return 'nested-error'
    if (!icmp4.isEcho(type)) return 'icmp-type'
  }
  const start = upper - IP6_BYTES - (isFragment ? fragment.FRAGMENT_BYTES : 0)
  if (start < low) return 'no-headroom'
  if (!ctx.map.toSix(v, at + ip4.SOURCE_AT, 'embedded-source', inner, 0)) return 'no-address'
  if (!ctx.map.toSix(v, at + ip4.DESTINATION_AT, 'embedded-destination', inner, 16)) return 'no-address'
  const before = sum(v, at + ip4.SOURCE_AT, 8)
  const traffic = ctx.copyTrafficClass ? ip4.tos(v, at) : 0
  const [word, ident, hops] = [ip4.fragmentWord(v, at), ip4.id(v, at), ip4.ttl(v, at)]
  const bytes = Math.max(0, ip4.totalLength(v, at) - header)
  const next = protocol === ICMP4 ? ICMP6 : protocol
  writeFirst(v, start, traffic, bytes + (isFragment ? fragment.FRAGMENT_BYTES : 0), isFragment ? FRAGMENT : next, hops)
  for (let i = 0; i < 32; i += 4) v.setUint32(start + SOURCE_AT + i, inner.getUint32(i))
  if (isFragment) fragment.write(v, start + IP6_BYTES, next, word & 0x1fff, (word & 0x2000) !== 0, ident)
  if (!first) return start
  const after = sum(v, start + SOURCE_AT, 16) + sum(v, start + DESTINATION_AT, 16)
  if (protocol === ICMP4) embeddedEcho(v, upper, after + ICMP6 + bytes)
  else carry(v, protocol, upper, end, before, after)
  return start
}

const inner = new DataView(new ArrayBuffer(32))

function embeddedEcho(v: DataView, at: number, pseudo: number): void {
  const before = v.getUint16(at)
  v.setUint8(at, icmp4.type(v, at) === icmp4.ECHO_REQUEST ? icmp6.ECHO_REQUEST : icmp6.ECHO_REPLY)
  let check = (~v.getUint16(at + 2) & 0xffff) + (~before & 0xffff) + v.getUint16(at) + pseudo
  while (check > 0xffff) check = (check & 0xffff) + (check >>> 16)
  v.setUint16(at + 2, ~check & 0xffff)
}

/** The type and code table of RFC 7915 §4.2; false for everything that is dropped. */
function mapError(v: DataView, at: number, body: number, ctx: XlatContext, out: Mapped): boolean {
  const code = icmp4.code(v, at)
  out.rest = 0
  switch (icmp4.type(v, at)) {
    case icmp4.UNREACHABLE:
      if (code === icmp4.FRAGMENTATION_NEEDED) {
        out.typeCode = icmp6.PACKET_TOO_BIG << 8
        out.rest = tooBigFourToSix(icmp4.mtu(v, at), ip4.totalLength(v, body), ctx.mtu4, ctx.mtu6)
        return true
      }
      if (code === icmp4.PROTOCOL_UNREACHABLE) {
        // "Unrecognised next header", pointing at the Next Header field.
        out.typeCode = (icmp6.PARAMETER_PROBLEM << 8) | 1
        out.rest = 6
        return true
      }
      out.typeCode = UNREACHABLE_CODES[code] ?? -1
      return out.typeCode >= 0
    case icmp4.TIME_EXCEEDED:
      out.typeCode = (icmp6.TIME_EXCEEDED << 8) | code
      return true
    case icmp4.PARAMETER_PROBLEM:
      out.typeCode = icmp6.PARAMETER_PROBLEM << 8
      out.rest = POINTERS[v.getUint8(at + 4)] ?? -1
      return (code === 0 || code === 2) && out.rest >= 0
    default:
      return false
  }
}

const NO_ROUTE = (icmp6.UNREACHABLE << 8) | icmp6.NO_ROUTE
const PROHIBITED = (icmp6.UNREACHABLE << 8) | icmp6.ADMIN_PROHIBITED
const PORT = (icmp6.UNREACHABLE << 8) | icmp6.PORT_UNREACHABLE
/** §4.2, type 3 by code 0–15; -1: handled elsewhere or dropped (14, host precedence violation). */
const UNREACHABLE_CODES = [
  NO_ROUTE,
  NO_ROUTE,
  -1,
  PORT,
  -1,
  NO_ROUTE,
  NO_ROUTE,
  NO_ROUTE,
  NO_ROUTE,
  PROHIBITED,
  PROHIBITED,
  NO_ROUTE,
  NO_ROUTE,
  PROHIBITED,
  -1,
  PROHIBITED,
]

/** Figure 3: which IPv6 header byte stands for IPv4 header byte 0–19; -1 for fields IPv6 does not have. */
const POINTERS = [0, 1, 4, 4, -1, -1, -1, -1, 7, 6, -1, -1, 8, 8, 8, 8, 24, 24, 24, 24]
