import { writeName } from '#dnsfn/wire-name.ts'

/**
 * nftables matches for "a DNS query over UDP for a name below `zone`", one rule per length that the labels before the zone can
 * have, since nft cannot search: the question's name begins 20 bytes into UDP. Case is folded as DNS does (RFC 4343). Not
 * the zone's own name. Empty when `zone` is no name.
 */
export function zoneMatches(zone: string): string[] {
  const wire = writeName(zone)
  if (wire === null || wire.length === 1) return []
  const out: string[] = []
  // The shortest label takes 2 bytes, a whole name at most 255.
  for (let before = 2; before + wire.length <= 255; before++) {
    const parts: string[] = []
    for (let at = 0; at < wire.length; at += PART_BYTES) {
      const part = wire.subarray(at, at + PART_BYTES)
      const offset = 8 * (QUESTION_AT + before + at)
      parts.push(`@th,${offset},${8 * part.length} & 0x${hexOf(part.map(foldMask))} == 0x${hexOf(part.map(folded))}`)
    }
    out.push(parts.join(' '))
  }
  return out
}

const isLetter = (byte: number): boolean => (byte | 0x20) >= 0x61 && (byte | 0x20) <= 0x7a
const foldMask = (byte: number): number => (isLetter(byte) ? 0xdf : 0xff)
const folded = (byte: number): number => byte & foldMask(byte)
const hexOf = (bytes: Uint8Array): string => [...bytes].map((b) => b.toString(16).padStart(2, '0')).join('')

/** UDP header 8, DNS header 12. */
const QUESTION_AT = 20
/** nft compares at most 128 bits at a time. */
const PART_BYTES = 16
