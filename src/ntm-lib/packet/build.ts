import { concat } from '../base/bytes.ts'
import { checkOf, pseudo4, pseudo6, sum, udpCheck } from './checksum.ts'
import * as fragment from './fragment.ts'
import * as ip4 from './ip4.ts'
import * as ip6 from './ip6.ts'
import { FRAGMENT, ICMP4, ICMP6, TCP, UDP } from './protocol.ts'

/** Builds whole packets from fields. Allocates: for control, tests and tools, never for the packet path. */

export type Build4 = {
  readonly source: number
  readonly destination: number
  readonly protocol: number
  readonly payload: Uint8Array
  readonly ttl?: number
  readonly tos?: number
  readonly id?: number
  readonly dontFragment?: boolean
  readonly moreFragments?: boolean
  /** In units of 8 bytes. */
  readonly offset?: number
  /** A multiple of 4 bytes, at most 40. */
  readonly options?: Uint8Array
}

/** An IPv4 packet. The upper layer's checksum is computed for whole TCP, UDP and ICMP payloads when `sealed` (default). */
export function packet4(p: Build4, sealed = true): Uint8Array {
  const options = p.options ?? new Uint8Array(0)
  const header = ip4.IP4_BYTES + options.length
  const out = concat(new Uint8Array(ip4.IP4_BYTES), options, p.payload)
  const v = viewOf(out)
  const flags = (p.dontFragment === true ? 0x4000 : 0) | (p.moreFragments === true ? 0x2000 : 0)
  ip4.write(v, 0, {
    tos: p.tos ?? 0,
    totalLength: out.length,
    id: p.id ?? 0,
    fragmentWord: flags | (p.offset ?? 0),
    ttl: p.ttl ?? 64,
    protocol: p.protocol,
    source: p.source,
    destination: p.destination,
  })
  v.setUint8(0, 0x40 | (header / 4))
  ip4.fillCheck(v, 0)
  if (sealed && (p.offset ?? 0) === 0 && p.moreFragments !== true) {
    seal(v, header, p.protocol, pseudo4(v, 0, p.protocol, p.payload.length), p.payload.length)
  }
  return out
}

export type Build6 = {
  readonly source: Uint8Array
  readonly destination: Uint8Array
  /** The upper layer's protocol. */
  readonly protocol: number
  readonly payload: Uint8Array
  readonly hopLimit?: number
  readonly trafficClass?: number
  /** Extension headers before the fragment header, already joined; `firstNext` names the first one. */
  readonly extensions?: { readonly firstNext: number; readonly bytes: Uint8Array }
  readonly fragment?: { readonly offset: number; readonly more: boolean; readonly id: number }
}

/** An IPv6 packet; checksum as for `packet4`. The caller's extension headers end with the right next-header value. */
export function packet6(p: Build6, sealed = true): Uint8Array {
  const extensions = p.extensions?.bytes ?? new Uint8Array(0)
  const part = new Uint8Array(p.fragment === undefined ? 0 : fragment.FRAGMENT_BYTES)
  if (p.fragment !== undefined) {
    fragment.write(viewOf(part), 0, p.protocol, p.fragment.offset, p.fragment.more, p.fragment.id)
  }
  const out = concat(new Uint8Array(ip6.IP6_BYTES), extensions, part, p.payload)
  const v = viewOf(out)
  const next = p.extensions?.firstNext ?? (p.fragment === undefined ? p.protocol : FRAGMENT)
  ip6.writeFirst(v, 0, p.trafficClass ?? 0, out.length - ip6.IP6_BYTES, next, p.hopLimit ?? 64)
  ip6.putAddress(v, ip6.SOURCE_AT, p.source)
  ip6.putAddress(v, ip6.DESTINATION_AT, p.destination)
  const whole = p.fragment === undefined || (p.fragment.offset === 0 && !p.fragment.more)
  if (sealed && whole) {
    const length = p.payload.length
    seal(v, out.length - length, p.protocol, pseudo6(v, 0, p.protocol, length), length)
  }
  return out
}

/** UDP header and payload, checksum zero. */
export function udp(sourcePort: number, destinationPort: number, payload: Uint8Array): Uint8Array {
  const out = concat(new Uint8Array(8), payload)
  const v = viewOf(out)
  v.setUint16(0, sourcePort)
  v.setUint16(2, destinationPort)
  v.setUint16(4, out.length)
  return out
}

/** TCP header, options (padded to 4 bytes) and payload, checksum zero. */
export function tcp(
  sourcePort: number,
  destinationPort: number,
  flags: number,
  payload: Uint8Array = new Uint8Array(0),
  options: Uint8Array = new Uint8Array(0),
): Uint8Array {
  const padded = new Uint8Array((options.length + 3) & ~3)
  padded.set(options)
  const out = concat(new Uint8Array(20), padded, payload)
  const v = viewOf(out)
  v.setUint16(0, sourcePort)
  v.setUint16(2, destinationPort)
  v.setUint32(4, 1)
  v.setUint8(12, ((20 + padded.length) / 4) << 4)
  v.setUint8(13, flags)
  v.setUint16(14, 65535)
  return out
}

/** An ICMP message of either family: type, code, the 4 bytes after the checksum, and what follows; checksum zero. */
export function icmp(type: number, code: number, rest: number, body: Uint8Array = new Uint8Array(0)): Uint8Array {
  const out = concat(new Uint8Array(8), body)
  const v = viewOf(out)
  v.setUint8(0, type)
  v.setUint8(1, code)
  v.setUint32(4, rest >>> 0)
  return out
}

/** One view per byte string; for tests and tools. */
export const viewOf = (b: Uint8Array): DataView => new DataView(b.buffer, b.byteOffset, b.byteLength)

/** Whether every checksum of a whole, unfragmented packet is right; UDP over IPv4 may have none. For tests and tools. */
export function checksumsHold(packet: Uint8Array): boolean {
  const v = viewOf(packet)
  const four = ip4.version(v, 0) === 4
  const header = four ? ip4.headerBytes(v, 0) : ip6.IP6_BYTES
  const protocol = four ? ip4.protocol(v, 0) : ip6.nextHeader(v, 0)
  const length = packet.length - header
  if (four && checkOf(sum(v, 0, header)) !== 0) return false
  if (protocol === UDP && v.getUint16(header + 6) === 0) return four
  if (protocol !== TCP && protocol !== UDP && protocol !== ICMP6 && protocol !== ICMP4) return true
  const pseudo = protocol === ICMP4 ? 0 : four ? pseudo4(v, 0, protocol, length) : pseudo6(v, 0, protocol, length)
  return checkOf(pseudo + sum(v, header, length)) === 0
}

function seal(v: DataView, at: number, protocol: number, pseudo: number, len: number): void {
  const where = protocol === TCP ? 16 : protocol === UDP ? 6 : protocol === ICMP4 || protocol === ICMP6 ? 2 : -1
  if (where < 0 || len < where + 2) return
  v.setUint16(at + where, 0)
  const check = checkOf((protocol === ICMP4 ? 0 : pseudo) + sum(v, at, len))
  v.setUint16(at + where, protocol === UDP ? udpCheck(check) : check)
}
