import { isIp4 } from '#ntm-lib/addr/ip.ts'
import { type Ip6, ip6FromBytes } from '#ntm-lib/addr/ip6.ts'
import type { Prefix } from '#ntm-lib/addr/prefix.ts'
import { concat } from '#ntm-lib/base/bytes.ts'
import { invariant } from '#ntm-lib/base/invariant.ts'

/** The address below an IPv6 prefix of `keep` whole bytes whose rest is the beginning of `fill`. */
export function filled(prefix: Prefix, keep: number, fill: Uint8Array): Ip6 {
  invariant(!isIp4(prefix.base) && prefix.bits === keep * 8, `an IPv6 /${keep * 8}`)
  return ip6FromBytes(concat(prefix.base.subarray(0, keep), fill.subarray(0, 16 - keep)))
}

/** The first address of an IPv4 range that is not its network's, as a word. */
export function firstUsable(p: Prefix): number {
  invariant(isIp4(p.base), 'an IPv4 range')
  return p.base + 1
}

/** The last one that is not its broadcast address. */
export const lastUsable = (p: Prefix): number => firstUsable(p) + 2 ** (32 - p.bits) - 3

/** Old hosts and routers treat a last octet of 0 or 255 as special. */
export const isUsable = (at: number): boolean => (at & 255) !== 0 && (at & 255) !== 255
