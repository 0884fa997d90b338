import type { Ip } from '#ntm-lib/addr/ip.ts'
import { ip4FromWord } from '#ntm-lib/addr/ip4.ts'
import { ip6FromBytes } from '#ntm-lib/addr/ip6.ts'

/** Whether `name` is `zone` or lies below it, by whole labels: `evilexample.org` is not in `example.org`. Both normalised. */
export const isSubdomainOf = (name: string, zone: string): boolean =>
  zone === '' || name === zone || (name.endsWith(zone) && name[name.length - zone.length - 1] === '.')

/** Names that belong to the local network or to nobody (RFC 6761, RFC 6762, RFC 7686, RFC 8375), and single labels. */
export function neverOurs(name: string): boolean {
  return !name.includes('.') || RESERVED.some((zone) => isSubdomainOf(name, zone))
}

/** The address that a complete reverse name stands for; null for every other name. RFC 1035 §3.5, RFC 3596 §2.5. */
export function reverseAddress(name: string): Ip | null {
  const labels = name.split('.')
  if (name.endsWith('.in-addr.arpa') && labels.length === 6) {
    const parts = labels.slice(0, 4).reverse()
    if (!parts.every((p) => /^(0|[1-9][0-9]{0,2})$/.test(p) && Number(p) < 256)) return null
    return ip4FromWord(parts.reduce((word, p) => word * 256 + Number(p), 0))
  }
  if (name.endsWith('.ip6.arpa') && labels.length === 34) {
    const nibbles = labels.slice(0, 32).reverse()
    if (!nibbles.every((n) => /^[0-9a-f]$/.test(n))) return null
    const byte = (i: number): number => Number.parseInt(`${nibbles[2 * i]}${nibbles[2 * i + 1]}`, 16)
    return ip6FromBytes(Uint8Array.from({ length: 16 }, (_, i) => byte(i)))
  }
  return null
}

const RESERVED = ['local', 'localhost', 'invalid', 'onion', 'arpa']
