import { ipBytes, isIp4 } from '#ntm-lib/addr/ip.ts'
import type { Prefix } from '#ntm-lib/addr/prefix.ts'

/**
 * The reverse zones that together hold the addresses of a prefix (RFC 1035 §3.5, RFC 3596 §2.5). A prefix that ends within a label is several
 * zones, at most 128 of IPv4 and 8 of IPv6.
 */
export function reverseZones({ base, bits }: Prefix): string[] {
  const four = isIp4(base)
  const labelBits = four ? 8 : 4
  const labels = Math.ceil(bits / labelBits)
  const bytes = ipBytes(base)
  const all = four ? [...bytes] : [...bytes].flatMap((b) => [b >> 4, b & 15])
  const count = 2 ** (labels * labelBits - bits)
  const suffix = four ? 'in-addr.arpa' : 'ip6.arpa'
  return Array.from({ length: count }, (_, i) => {
    const own = all.slice(0, labels)
    if (labels > 0) own[labels - 1] = (own[labels - 1] ?? 0) + i
    return [...own.reverse().map((n) => n.toString(four ? 10 : 16)), suffix].join('.')
  })
}
