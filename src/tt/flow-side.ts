import { type Ip, ipBytes, isIp4 } from '#ntm-lib/addr/ip.ts'
import { concat } from '#ntm-lib/base/bytes.ts'
import { avalanche, type FiveTuple, mix } from '#ntm-lib/packet/five-tuple.ts'
import type { AddressPairs } from './xlat/addr.ts'

/** A five-tuple by value, host → server. */
export type FlowSide = {
  readonly protocol: number
  readonly sourcePort: number
  readonly destinationPort: number
  /** Source then destination, 8 bytes (IPv4) or 32 (IPv6). */
  readonly addresses: Uint8Array
  /** The same as words, for the comparison of every packet. */
  readonly words: Int32Array
  readonly source: Ip
  readonly destination: Ip
}

/** Source and destination of the same family. */
export const flowSide = (
  protocol: number,
  source: Ip,
  sourcePort: number,
  destination: Ip,
  destinationPort: number,
): FlowSide => {
  const addresses = concat(ipBytes(source), ipBytes(destination))
  return { protocol, sourcePort, destinationPort, addresses, words: wordsOf(addresses), source, destination }
}

/** Host and server in both families, when the two sides differ in it; else null. */
export function pairsOf(inner: FlowSide, edge: FlowSide): AddressPairs | null {
  const [four, six] = isIp4(inner.source) ? [inner, edge] : [edge, inner]
  return isIp4(four.source) && isIp4(four.destination) && !isIp4(six.source) && !isIp4(six.destination)
    ? { host4: four.source, host6: six.source, server4: four.destination, server6: six.destination }
    : null
}

/** The same number that `tupleHash` gives for a packet of this side. */
export function sideHash(s: FlowSide, seed: number): number {
  let h = mix(mix(seed | 0, s.protocol * 0x10000 + s.sourcePort), s.destinationPort)
  for (const word of s.words) h = mix(h, word)
  return avalanche(h)
}

export function sideMatches(s: FlowSide, v: DataView, t: FiveTuple): boolean {
  if (s.protocol !== t.protocol || s.sourcePort !== t.sourcePort || s.destinationPort !== t.destinationPort)
    return false
  const { words } = s
  const half = t.family === 4 ? 1 : 4
  if (words.length !== 2 * half) return false
  for (let i = 0; i < half; i++) {
    if (words[i] !== v.getInt32(t.sourceAt + 4 * i) || words[half + i] !== v.getInt32(t.destinationAt + 4 * i))
      return false
  }
  return true
}

export function sameSide(a: FlowSide, b: FlowSide): boolean {
  if (a.protocol !== b.protocol || a.sourcePort !== b.sourcePort || a.destinationPort !== b.destinationPort)
    return false
  if (a.words.length !== b.words.length) return false
  for (let i = 0; i < a.words.length; i++) if (a.words[i] !== b.words[i]) return false
  return true
}

function wordsOf(bytes: Uint8Array): Int32Array {
  const v = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  return Int32Array.from({ length: bytes.length / 4 }, (_, i) => v.getInt32(4 * i))
}
