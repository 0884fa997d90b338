import { type Ip, ipBytes } from '#ntm-lib/addr/ip.ts'
import { concat } from '#ntm-lib/base/bytes.ts'
import { avalanche, type FiveTuple, mix } from '#ntm-lib/packet/five-tuple.ts'

/** A five-tuple by value, host → server. */
export type FlowSide = {
  readonly protocol: number
  readonly sourcePort: number
  readonly destinationPort: number
  /** Source then destination, 8 bytes (IPv4) or 32 (IPv6). */
  readonly addresses: Uint8Array
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
): FlowSide => ({
  protocol,
  sourcePort,
  destinationPort,
  addresses: concat(ipBytes(source), ipBytes(destination)),
  source,
  destination,
})

/** The same number that `tupleHash` gives for a packet of this side. */
export function sideHash(s: FlowSide, seed: number): number {
  let h = mix(mix(seed | 0, s.protocol * 0x10000 + s.sourcePort), s.destinationPort)
  const a = s.addresses
  for (let i = 0; i < a.length; i += 4) {
    h = mix(h, ((a[i] ?? 0) << 24) | ((a[i + 1] ?? 0) << 16) | ((a[i + 2] ?? 0) << 8) | (a[i + 3] ?? 0))
  }
  return avalanche(h)
}

export function sideMatches(s: FlowSide, v: DataView, t: FiveTuple): boolean {
  if (s.protocol !== t.protocol || s.sourcePort !== t.sourcePort || s.destinationPort !== t.destinationPort)
    return false
  const a = s.addresses
  const bytes = t.family === 4 ? 4 : 16
  if (a.length !== 2 * bytes) return false
  for (let i = 0; i < bytes; i++) {
    if (a[i] !== v.getUint8(t.sourceAt + i) || a[bytes + i] !== v.getUint8(t.destinationAt + i)) return false
  }
  return true
}
