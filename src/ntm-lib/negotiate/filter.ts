import type { Prefix } from '../addr/prefix.ts'
import { AddressMap } from './address-map.ts'

/** Which inner addresses one side of a path may use as source. */
export type Allowed = AddressMap<true>
/** As much of `Allowed` as the filter asks: packet workers keep the same in less memory. */
export type AddressTest = Pick<Allowed, 'find4' | 'find6'>

export function allowed(prefixes: readonly Prefix[]): Allowed {
  const map = new AddressMap<true>()
  for (const p of prefixes) map.add(p, true)
  return map
}

/** Why an authenticated inner packet is not let in; each is a counter. */
export type FilterFault = 'inner-malformed' | 'source-not-allowed' | 'destination-not-allowed' | 'embedded-not-allowed'

/**
 * The inner source filter: source ∈ allowed[sender], destination ∈ allowed[receiver]; an ICMP error must quote a packet
 * of the receiver's to the sender. Null lets the packet through. `docs/security.md`, Trust and attack test 6.
 */
export function filter(
  view: DataView,
  at: number,
  length: number,
  sender: AddressTest,
  receiver: AddressTest,
): FilterFault | null {
  if (length < 20) return 'inner-malformed'
  switch (view.getUint8(at) >> 4) {
    case 4:
      return filter4(view, at, length, sender, receiver)
    case 6:
      return filter6(view, at, length, sender, receiver)
    default:
      return 'inner-malformed'
  }
}

function filter4(
  v: DataView,
  at: number,
  length: number,
  sender: AddressTest,
  receiver: AddressTest,
): FilterFault | null {
  const header = (v.getUint8(at) & 15) * 4
  const total = v.getUint16(at + 2)
  if (header < 20 || total < header || total > length) return 'inner-malformed'
  if (sender.find4(v.getUint32(at + 12)) === undefined) return 'source-not-allowed'
  if (receiver.find4(v.getUint32(at + 16)) === undefined) return 'destination-not-allowed'
  const later = (v.getUint16(at + 6) & 0x1fff) !== 0
  if (v.getUint8(at + 9) !== ICMP4 || later) return null
  if (total < header + 8) return 'inner-malformed'
  if (!ERRORS4.has(v.getUint8(at + header))) return null
  // RFC 792: an error quotes at least the IP header and 8 bytes of what it is about.
  const quoted = at + header + 8
  if (total < header + 8 + 20 || v.getUint8(quoted) >> 4 !== 4) return 'inner-malformed'
  const known =
    receiver.find4(v.getUint32(quoted + 12)) !== undefined && sender.find4(v.getUint32(quoted + 16)) !== undefined
  return known ? null : 'embedded-not-allowed'
}

function filter6(
  v: DataView,
  at: number,
  length: number,
  sender: AddressTest,
  receiver: AddressTest,
): FilterFault | null {
  if (length < 40 || v.getUint16(at + 4) + 40 > length) return 'inner-malformed'
  if (sender.find6(v, at + 8) === undefined) return 'source-not-allowed'
  if (receiver.find6(v, at + 24) === undefined) return 'destination-not-allowed'
  const icmp = icmp6At(v, at, v.getUint16(at + 4) + 40)
  if (icmp === 'malformed') return 'inner-malformed'
  // RFC 4443 §2.1: errors have types below 128.
  if (icmp === null || v.getUint8(at + icmp) >= 128) return null
  const quoted = at + icmp + 8
  if (v.getUint16(at + 4) + 40 < icmp + 8 + 40 || v.getUint8(quoted) >> 4 !== 6) return 'inner-malformed'
  const known = receiver.find6(v, quoted + 8) !== undefined && sender.find6(v, quoted + 24) !== undefined
  return known ? null : 'embedded-not-allowed'
}

/** Offset of the ICMPv6 header behind any extension headers; null when there is none to look at. RFC 8200 §4. */
function icmp6At(v: DataView, at: number, end: number): number | null | 'malformed' {
  let next = v.getUint8(at + 6)
  let offset = 40
  for (let n = 0; n <= MAX_EXTENSIONS; n++) {
    if (next === ICMP6) return offset + 8 <= end ? offset : 'malformed'
    if (!EXTENSIONS.has(next)) return null
    if (offset + 8 > end) return 'malformed'
    // A later fragment starts in the middle of something the first one was judged by.
    if (next === FRAGMENT && (v.getUint16(at + offset + 2) & 0xfff8) !== 0) return null
    const units = v.getUint8(at + offset + 1)
    const bytes = next === FRAGMENT ? 8 : next === AUTHENTICATION ? (units + 2) * 4 : (units + 1) * 8
    next = v.getUint8(at + offset)
    offset += bytes
  }
  // More headers than any stack sends: somebody hides something behind them.
  return 'malformed'
}

const ICMP4 = 1
const ICMP6 = 58
const FRAGMENT = 44
const AUTHENTICATION = 51
const EXTENSIONS: ReadonlySet<number> = new Set([0, 43, FRAGMENT, AUTHENTICATION, 60, 135, 139, 140])
const MAX_EXTENSIONS = 8
/** RFC 792: unreachable, source quench, redirect, time exceeded, parameter problem. */
const ERRORS4: ReadonlySet<number> = new Set([3, 4, 5, 11, 12])
