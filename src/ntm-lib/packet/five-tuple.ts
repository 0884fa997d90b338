import { newUpper, upperLayer } from './extension.ts'
import * as fragment from './fragment.ts'
import * as icmp4 from './icmp4.ts'
import * as icmp6 from './icmp6.ts'
import * as ip4 from './ip4.ts'
import * as ip6 from './ip6.ts'
import { ICMP4, ICMP6, TCP, UDP } from './protocol.ts'

/** Who talks to whom, without the addresses' values (they stay in the packet). Reused for every packet. */
export type FiveTuple = {
  family: 4 | 6
  protocol: number
  /** Ports; an ICMP echo has its identifier in both; 0 for everything without. */
  sourcePort: number
  destinationPort: number
  /** Absolute offsets of the addresses, 4 or 16 bytes each. */
  sourceAt: number
  destinationAt: number
  /** Absolute offset of the upper layer. */
  upperAt: number
  /** `whole`, `first` fragment (ports known) or `later` fragment (no upper-layer header). */
  fragment: 'whole' | 'first' | 'later'
  fragmentId: number
  /** An ICMP error: whom it is about stands in the embedded packet. */
  icmpError: boolean
}

export const newFiveTuple = (): FiveTuple => ({
  family: 4,
  protocol: 0,
  sourcePort: 0,
  destinationPort: 0,
  sourceAt: 0,
  destinationAt: 0,
  upperAt: 0,
  fragment: 'whole',
  fragmentId: 0,
  icmpError: false,
})

const upper = newUpper()

/**
 * Fills `out` from the IP packet of `len` bytes at `at`. False when headers are cut off. Works on the packet embedded in
 * an ICMP error as well, where 8 bytes of upper layer are enough.
 */
export function readTuple(v: DataView, at: number, len: number, out: FiveTuple): boolean {
  out.sourcePort = out.destinationPort = 0
  out.fragment = 'whole'
  out.fragmentId = 0
  out.icmpError = false
  if (len < ip4.IP4_BYTES) return false
  return ip4.version(v, at) === 4 ? read4(v, at, len, out) : ip4.version(v, at) === 6 && read6(v, at, len, out)
}

function read4(v: DataView, at: number, len: number, out: FiveTuple): boolean {
  out.family = 4
  out.protocol = ip4.protocol(v, at)
  out.sourceAt = at + ip4.SOURCE_AT
  out.destinationAt = at + ip4.DESTINATION_AT
  const header = ip4.headerBytes(v, at)
  out.upperAt = at + header
  if (header < ip4.IP4_BYTES || header > len) return false
  if (ip4.isFragment(v, at)) {
    out.fragmentId = ip4.id(v, at)
    out.fragment = ip4.fragmentOffset(v, at) === 0 ? 'first' : 'later'
  }
  return out.fragment === 'later' || ports(v, at + len, out)
}

function read6(v: DataView, at: number, len: number, out: FiveTuple): boolean {
  out.family = 6
  if (!upperLayer(v, at, len, upper)) return false
  out.protocol = upper.protocol
  out.sourceAt = at + ip6.SOURCE_AT
  out.destinationAt = at + ip6.DESTINATION_AT
  out.upperAt = upper.at
  const f = upper.fragmentAt
  if (f >= 0) {
    out.fragmentId = fragment.id(v, f)
    const off = fragment.offset(v, f)
    out.fragment = off > 0 ? 'later' : fragment.more(v, f) ? 'first' : 'whole'
  }
  return out.fragment === 'later' || ports(v, at + len, out)
}

function ports(v: DataView, end: number, out: FiveTuple): boolean {
  const at = out.upperAt
  if (out.protocol === TCP || out.protocol === UDP) {
    if (at + 8 > end) return false
    out.sourcePort = v.getUint16(at)
    out.destinationPort = v.getUint16(at + 2)
    return true
  }
  const four = out.protocol === ICMP4 && out.family === 4
  if (!four && !(out.protocol === ICMP6 && out.family === 6)) return true
  if (at + 8 > end) return false
  const type = v.getUint8(at)
  out.icmpError = four ? icmp4.isError(type) : icmp6.isError(type)
  if (four ? icmp4.isEcho(type) : icmp6.isEcho(type)) out.sourcePort = out.destinationPort = icmp4.echoId(v, at)
  return true
}

/**
 * A 30-bit hash of (protocol, ports, both addresses) for hash tables. `seed` is random per process, so that nobody can
 * aim at one bucket. The reverse direction hashes differently.
 */
export function tupleHash(v: DataView, t: FiveTuple, seed: number): number {
  let h = mix(seed | 0, t.protocol * 0x10000 + t.sourcePort)
  h = mix(h, t.destinationPort)
  const bytes = t.family === 4 ? 4 : 16
  for (let i = 0; i < bytes; i += 4) h = mix(h, v.getUint32(t.sourceAt + i))
  for (let i = 0; i < bytes; i += 4) h = mix(h, v.getUint32(t.destinationAt + i))
  return avalanche(h)
}

/** One round of a 32-bit multiplicative mix. */
export function mix(hash: number, word: number): number {
  const k = Math.imul(word | 0, 0xcc9e2d51 | 0)
  const h = hash ^ Math.imul((k << 15) | (k >>> 17), 0x1b873593)
  return (Math.imul((h << 13) | (h >>> 19), 5) + (0xe6546b64 | 0)) | 0
}

/** Spreads a mixed hash over 30 bits: a small integer, so that a Map key costs no allocation. */
export function avalanche(hash: number): number {
  let h = hash ^ (hash >>> 16)
  h = Math.imul(h, 0x85ebca6b | 0)
  h ^= h >>> 13
  h = Math.imul(h, 0xc2b2ae35 | 0)
  return (h ^ (h >>> 16)) & 0x3fffffff
}
