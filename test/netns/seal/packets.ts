import fc from 'fast-check'
import { concat } from '#ntm-lib/base/bytes.ts'

/** One TCP or UDP packet over IPv4 or IPv6, with everything that matters to cutting and joining. */
export type PacketPlan = {
  readonly four: boolean
  readonly tcp: boolean
  /** IPv4 options, or IPv6 Destination Options; a multiple of 8 bytes. */
  readonly extra: number
  /** Bytes of TCP options; a multiple of 4 up to 40. */
  readonly options: number
  readonly flags: number
  readonly seq: number
  readonly id: number
  readonly df: boolean
  readonly tos: number
  readonly data: number
  /** Which flow it is of: makes addresses and ports. */
  readonly flow: number
  readonly seed: number
}

export const ACK = 0x10
export const PSH = 0x08

export const somePacket = (data: fc.Arbitrary<number>): fc.Arbitrary<PacketPlan> =>
  fc.record({
    four: fc.boolean(),
    tcp: fc.boolean(),
    extra: fc.constantFrom(0, 0, 0, 8, 24),
    options: fc.constantFrom(0, 12, 12, 40),
    flags: fc.constantFrom(ACK, ACK, ACK | PSH, 0x90, 0x19, 0x50),
    seq: fc.constantFrom(0, 1, 0xffff_ff00, 0x7fff_fff0),
    id: fc.constantFrom(0, 1, 0xfff0),
    df: fc.boolean(),
    tos: fc.constantFrom(0, 1, 0xb8),
    data,
    flow: fc.nat(5),
    seed: fc.nat(),
  })

/** What joins: no extension headers, only ACK. */
export const joinable = (p: PacketPlan): PacketPlan => ({ ...p, extra: 0, flags: ACK })

/** The packet with every length and checksum right. */
export function packet(p: PacketPlan): Uint8Array {
  const data = pattern(p.data, p.seed)
  const upper = p.tcp ? tcpSegment(p, data) : udpDatagram(p, data)
  const bytes = p.four ? ip4(p, upper) : ip6(p, upper)
  fillChecksums(bytes)
  return bytes
}

/** Repeatable bytes without a period that a segment's length could hit. */
export function pattern(n: number, seed: number): Uint8Array {
  const out = new Uint8Array(n)
  let x = (seed ^ 0x9e3779b9) >>> 0 || 1
  for (let i = 0; i < n; i++) {
    x ^= x << 13
    x ^= x >>> 17
    x ^= x << 5
    x >>>= 0
    out[i] = x & 0xff
  }
  return out
}

function tcpSegment(p: PacketPlan, data: Uint8Array): Uint8Array {
  const head = new Uint8Array(20 + p.options)
  const v = viewOf(head)
  v.setUint16(0, 1000 + p.flow)
  v.setUint16(2, 443)
  v.setUint32(4, p.seq)
  v.setUint32(8, 0x01020304)
  v.setUint8(12, (head.length / 4) << 4)
  v.setUint8(13, p.flags)
  v.setUint16(14, 502)
  head.set(pattern(p.options, p.flow), 20)
  return concat(head, data)
}

function udpDatagram(p: PacketPlan, data: Uint8Array): Uint8Array {
  const head = new Uint8Array(8)
  const v = viewOf(head)
  v.setUint16(0, 2000 + p.flow)
  v.setUint16(2, 4433)
  v.setUint16(4, 8 + data.length)
  return concat(head, data)
}

function ip4(p: PacketPlan, upper: Uint8Array): Uint8Array {
  const head = new Uint8Array(20 + p.extra)
  const v = viewOf(head)
  v.setUint8(0, 0x40 | (head.length / 4))
  v.setUint8(1, p.tos)
  v.setUint16(2, head.length + upper.length)
  v.setUint16(4, p.id)
  v.setUint16(6, p.df ? 0x4000 : 0)
  v.setUint8(8, 64)
  v.setUint8(9, p.tcp ? TCP : UDP)
  v.setUint32(12, 0xc6120001 + p.flow)
  v.setUint32(16, 0xc6130001)
  // No-operation options.
  head.fill(1, 20)
  return concat(head, upper)
}

function ip6(p: PacketPlan, upper: Uint8Array): Uint8Array {
  const head = new Uint8Array(40 + p.extra)
  const v = viewOf(head)
  v.setUint32(0, (0x60000000 | (p.tos << 20) | 0x12345) >>> 0)
  v.setUint16(4, p.extra + upper.length)
  v.setUint8(6, p.extra > 0 ? 60 : p.tcp ? TCP : UDP)
  v.setUint8(7, 64)
  head.set([0xfd, 1, 2, 3, 4, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1 + p.flow], 8)
  head.set([0xfd, 1, 2, 3, 4, 6, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9], 24)
  if (p.extra > 0) head.set([p.tcp ? TCP : UDP, p.extra / 8 - 1, 1, p.extra - 4], 40)
  return concat(head, upper)
}

/** Where the transport header is, and what it is; only for packets made here. */
export function transport(bytes: Uint8Array): { readonly at: number; readonly protocol: number } {
  const v = viewOf(bytes)
  if (v.getUint8(0) >> 4 === 4) return { at: (v.getUint8(0) & 15) * 4, protocol: v.getUint8(9) }
  if (v.getUint8(6) !== 60) return { at: 40, protocol: v.getUint8(6) }
  return { at: 40 + 8 * (1 + v.getUint8(41)), protocol: v.getUint8(40) }
}

/** Where the payload begins. */
export function payloadAt(bytes: Uint8Array): number {
  const { at, protocol } = transport(bytes)
  return protocol === TCP ? at + 4 * ((bytes[at + 12] ?? 0) >> 4) : at + 8
}

/** RFC 1071 the plain way, word by word: a second opinion on the addon's. */
export function onesSum(bytes: Uint8Array): number {
  let total = 0
  for (let i = 0; i < bytes.length; i += 2) {
    total += ((bytes[i] ?? 0) << 8) | (bytes[i + 1] ?? 0)
    if (total > 0xffff) total -= 0xffff
  }
  return total
}

function pseudo(bytes: Uint8Array, at: number, protocol: number): Uint8Array {
  const four = (bytes[0] ?? 0) >> 4 === 4
  const tail = new Uint8Array(8)
  viewOf(tail).setUint32(0, bytes.length - at)
  tail[7] = protocol
  return concat(four ? bytes.subarray(12, 20) : bytes.subarray(8, 40), tail)
}

export function fillChecksums(bytes: Uint8Array): void {
  const v = viewOf(bytes)
  const { at, protocol } = transport(bytes)
  if (v.getUint8(0) >> 4 === 4) {
    v.setUint16(10, 0)
    v.setUint16(10, ~onesSum(bytes.subarray(0, 4 * (v.getUint8(0) & 15))) & 0xffff)
  }
  const field = at + (protocol === TCP ? 16 : 6)
  v.setUint16(field, 0)
  const sum = ~onesSum(concat(pseudo(bytes, at, protocol), bytes.subarray(at))) & 0xffff
  v.setUint16(field, sum === 0 && protocol === UDP ? 0xffff : sum)
}

/** What is wrong with the packet's lengths and checksums; '' when nothing is. */
export function flaw(bytes: Uint8Array): string {
  const v = viewOf(bytes)
  const { at, protocol } = transport(bytes)
  const four = v.getUint8(0) >> 4 === 4
  const length = four ? v.getUint16(2) : 40 + v.getUint16(4)
  if (length !== bytes.length) return `IP length ${length} of ${bytes.length}`
  if (four && onesSum(bytes.subarray(0, 4 * (v.getUint8(0) & 15))) !== 0xffff) return 'IPv4 header checksum'
  if (protocol === UDP && v.getUint16(at + 4) !== bytes.length - at) return 'UDP length'
  if (onesSum(concat(pseudo(bytes, at, protocol), bytes.subarray(at))) !== 0xffff) return 'transport checksum'
  return ''
}

export const viewOf = (b: Uint8Array): DataView => new DataView(b.buffer, b.byteOffset, b.byteLength)
export const TCP = 6
export const UDP = 17
