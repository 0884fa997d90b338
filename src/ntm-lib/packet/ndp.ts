import type { Ip6 } from '../addr/ip6.ts'
import { ip6FromBytes } from '../addr/ip6.ts'
import type { LinkAddr } from '../addr/link.ts'
import { checkOf, pseudo6, sum } from './checksum.ts'
import { readLink, writeLink } from './ether.ts'
import { hopLimit, IP6_BYTES, nextHeader, putAddress, writeFirst } from './ip6.ts'
import { ICMP6 } from './protocol.ts'

/** Neighbour discovery (RFC 4861). `at` is the ICMPv6 header; messages are valid only with hop limit 255. */
export const ROUTER_SOLICITATION = 133
export const NEIGHBOUR_SOLICITATION = 135
export const NEIGHBOUR_ADVERTISEMENT = 136
/** Solicitation and advertisement without options. */
export const NEIGHBOUR_BYTES = 24
export const SOURCE_LINK_OPTION = 1
export const TARGET_LINK_OPTION = 2

/** Whether the IPv6 packet at `at`, of at least 64 bytes, is neighbour discovery that came from its own link. */
export const isNeighbour = (v: DataView, at: number): boolean =>
  nextHeader(v, at) === ICMP6 &&
  hopLimit(v, at) === 255 &&
  v.getUint8(at + IP6_BYTES) >= ROUTER_SOLICITATION &&
  v.getUint8(at + IP6_BYTES) <= NEIGHBOUR_ADVERTISEMENT + 1

/** The 16 bytes at +8 of a neighbour message are its target. */
export const TARGET_AT = 8

/** Copy of the target address of a neighbour solicitation or advertisement. */
export const target = (v: DataView, at: number): Ip6 =>
  ip6FromBytes(new Uint8Array(v.buffer, v.byteOffset + at + TARGET_AT, 16))

/**
 * The link address in option `kind` of a neighbour message of `len` bytes; null when absent or malformed. An option of
 * length zero makes the whole message invalid (RFC 4861 §4.6).
 */
export function linkOption(v: DataView, at: number, len: number, kind: number): LinkAddr | null {
  const end = at + len
  for (let p = at + NEIGHBOUR_BYTES; p + 8 <= end; ) {
    const bytes = v.getUint8(p + 1) * 8
    if (bytes === 0 || p + bytes > end) return null
    if (v.getUint8(p) === kind) return readLink(v, p + 2)
    p += bytes
  }
  return null
}

export type NewAdvertisement = {
  readonly source: Ip6
  readonly destination: Ip6
  readonly target: Ip6
  readonly targetLink: LinkAddr
  /** Answer to a solicitation (S flag); false for an answer to the all-nodes address. */
  readonly solicited: boolean
}

/** IPv6 header, advertisement and target link option: what `writeAdvertisement` writes. */
export const ADVERTISEMENT_PACKET_BYTES = IP6_BYTES + NEIGHBOUR_BYTES + 8

export type NewSolicitation = { readonly source: Ip6; readonly target: Ip6; readonly sourceLink: LinkAddr }

/** IPv6 header, solicitation and source link option: what `writeSolicitation` writes. */
export const SOLICITATION_PACKET_BYTES = IP6_BYTES + NEIGHBOUR_BYTES + 8

/** Writes a whole IPv6 packet with a neighbour solicitation, to the target itself: is it still there? RFC 4861 §4.3, §7.3.3. */
export function writeSolicitation(v: DataView, at: number, n: NewSolicitation): void {
  const body = NEIGHBOUR_BYTES + 8
  writeFirst(v, at, 0, body, ICMP6, 255)
  putAddress(v, at + 8, n.source)
  putAddress(v, at + 24, n.target)
  const icmp = at + IP6_BYTES
  v.setUint32(icmp, NEIGHBOUR_SOLICITATION * 0x1000000)
  v.setUint32(icmp + 4, 0)
  putAddress(v, icmp + TARGET_AT, n.target)
  v.setUint16(icmp + NEIGHBOUR_BYTES, (SOURCE_LINK_OPTION << 8) | 1)
  writeLink(v, icmp + NEIGHBOUR_BYTES + 2, n.sourceLink)
  v.setUint16(icmp + 2, checkOf(pseudo6(v, at, ICMP6, body) + sum(v, icmp, body)))
}

/** Writes a whole IPv6 packet with a neighbour advertisement (override flag set). RFC 4861 §4.4. */
export function writeAdvertisement(v: DataView, at: number, n: NewAdvertisement): void {
  const body = NEIGHBOUR_BYTES + 8
  writeFirst(v, at, 0, body, ICMP6, 255)
  putAddress(v, at + 8, n.source)
  putAddress(v, at + 24, n.destination)
  const icmp = at + IP6_BYTES
  v.setUint32(icmp, NEIGHBOUR_ADVERTISEMENT * 0x1000000)
  v.setUint32(icmp + 4, n.solicited ? 0x60000000 : 0x20000000)
  putAddress(v, icmp + TARGET_AT, n.target)
  v.setUint16(icmp + NEIGHBOUR_BYTES, (TARGET_LINK_OPTION << 8) | 1)
  writeLink(v, icmp + NEIGHBOUR_BYTES + 2, n.targetLink)
  v.setUint16(icmp + 2, checkOf(pseudo6(v, at, ICMP6, body) + sum(v, icmp, body)))
}
