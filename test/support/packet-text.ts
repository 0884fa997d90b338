import { ipText } from '#ntm-lib/addr/ip.ts'
import { ip4FromWord } from '#ntm-lib/addr/ip4.ts'
import { ip6FromBytes } from '#ntm-lib/addr/ip6.ts'
import { viewOf } from '#ntm-lib/packet/build.ts'

const isFour = (p: Uint8Array): boolean => (p[0] ?? 0) >> 4 === 4

/** Source and destination of an IP packet, as text. */
export function ends(p: Uint8Array): { from: string; to: string } {
  const v = viewOf(p)
  return isFour(p)
    ? { from: ipText(ip4FromWord(v.getUint32(12))), to: ipText(ip4FromWord(v.getUint32(16))) }
    : { from: ipText(ip6FromBytes(p.slice(8, 24))), to: ipText(ip6FromBytes(p.slice(24, 40))) }
}

/** What follows an IP header without options or extensions. */
export const behind = (p: Uint8Array): Uint8Array => p.slice(isFour(p) ? 20 : 40)

/** Type and code of an ICMP message of either family. */
export const head = (p: Uint8Array): number[] => [...behind(p).subarray(0, 2)]
