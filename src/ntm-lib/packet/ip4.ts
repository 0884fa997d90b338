import { type Ip4, ip4FromWord } from '../addr/ip4.ts'
import { checkOf, delta16, sum } from './checksum.ts'

/** IPv4 header (RFC 791). Accessors take the view and where the header starts; callers have checked that 20 bytes are there. */
export const IP4_BYTES = 20

export const version = (v: DataView, at: number): number => v.getUint8(at) >> 4
/** Header length in bytes, options included; below 20 in a broken packet. */
export const headerBytes = (v: DataView, at: number): number => (v.getUint8(at) & 15) * 4
export const tos = (v: DataView, at: number): number => v.getUint8(at + 1)
export const totalLength = (v: DataView, at: number): number => v.getUint16(at + 2)
export const id = (v: DataView, at: number): number => v.getUint16(at + 4)
/** The word of flags (0x4000 DF, 0x2000 MF) and fragment offset in units of 8 bytes. */
export const fragmentWord = (v: DataView, at: number): number => v.getUint16(at + 6)
export const dontFragment = (v: DataView, at: number): boolean => (v.getUint8(at + 6) & 0x40) !== 0
export const moreFragments = (v: DataView, at: number): boolean => (v.getUint8(at + 6) & 0x20) !== 0
/** Fragment offset in units of 8 bytes. */
export const fragmentOffset = (v: DataView, at: number): number => v.getUint16(at + 6) & 0x1fff
export const isFragment = (v: DataView, at: number): boolean => (v.getUint16(at + 6) & 0x3fff) !== 0
export const ttl = (v: DataView, at: number): number => v.getUint8(at + 8)
export const protocol = (v: DataView, at: number): number => v.getUint8(at + 9)
export const check = (v: DataView, at: number): number => v.getUint16(at + 10)
export const source = (v: DataView, at: number): Ip4 => ip4FromWord(v.getUint32(at + 12))
export const destination = (v: DataView, at: number): Ip4 => ip4FromWord(v.getUint32(at + 16))

/** Offsets of the two addresses inside the header. */
export const SOURCE_AT = 12
export const DESTINATION_AT = 16

/** Sets the TTL and keeps the header checksum right. */
export function setTtl(v: DataView, at: number, value: number): void {
  const before = v.getUint16(at + 8)
  v.setUint8(at + 8, value)
  v.setUint16(at + 10, delta16(v.getUint16(at + 10), before, v.getUint16(at + 8)))
}

/** Computes the header checksum from scratch: for headers just written. */
export function fillCheck(v: DataView, at: number): void {
  v.setUint16(at + 10, 0)
  v.setUint16(at + 10, checkOf(sum(v, at, headerBytes(v, at))))
}

export type NewIp4 = {
  readonly tos: number
  /** Header and payload, in bytes. */
  readonly totalLength: number
  readonly id: number
  /** Flags and offset as on the wire. */
  readonly fragmentWord: number
  readonly ttl: number
  readonly protocol: number
  readonly source: number
  readonly destination: number
}

/** Writes a 20-byte header without options, checksum included. */
export function write(v: DataView, at: number, h: NewIp4): void {
  v.setUint16(at, 0x4500 | h.tos)
  v.setUint16(at + 2, h.totalLength)
  v.setUint16(at + 4, h.id)
  v.setUint16(at + 6, h.fragmentWord)
  v.setUint16(at + 8, (h.ttl << 8) | h.protocol)
  v.setUint16(at + 10, 0)
  v.setUint32(at + 12, h.source)
  v.setUint32(at + 16, h.destination)
  v.setUint16(at + 10, checkOf(sum(v, at, IP4_BYTES)))
}

/** What the options say: nothing of interest, a source route with hops left or one used up, or bytes that are no options. */
export type OptionsSay = 'plain' | 'source-route' | 'spent-source-route' | 'malformed'

/** Walks the options of a header of `headerLen` bytes. RFC 791 §3.1; loose (131) and strict (137) source routes. */
export function optionsSay(v: DataView, at: number, headerLen: number): OptionsSay {
  const end = at + headerLen
  let found: OptionsSay = 'plain'
  for (let p = at + IP4_BYTES; p < end; ) {
    const kind = v.getUint8(p)
    if (kind === 0) break
    if (kind === 1) {
      p++
      continue
    }
    const length = p + 1 < end ? v.getUint8(p + 1) : 0
    if (length < 2 || p + length > end) return 'malformed'
    if (kind === 131 || kind === 137) {
      if (length < 3) return 'malformed'
      // The pointer counts from 1 at the kind byte; the route is spent once it points past the option.
      if (v.getUint8(p + 2) <= length) return 'source-route'
      found = 'spent-source-route'
    }
    p += length
  }
  return found
}
