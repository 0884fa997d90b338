import { type Ip, ipBytes, ipText, isIp4, parseIp } from './ip.ts'

/** A block of addresses. `base` has its host bits zero; `bits` is 0–32 or 0–128. */
export type Prefix = { readonly base: Ip; readonly bits: number }

export const host = (ip: Ip): Prefix => ({
  base: ip,
  bits: isIp4(ip) ? 32 : 128,
})
export const prefixText = (p: Prefix): string => `${ipText(p.base)}/${p.bits}`

/** `ADDRESS/BITS` with zero host bits; null for anything else (a typo such as 10.0.0.1/8 must not pass silently). */
export function parsePrefix(text: string): Prefix | null {
  const [addr, bitsText, ...rest] = text.split('/')
  if (addr === undefined || bitsText === undefined || rest.length > 0 || !/^\d{1,3}$/.test(bitsText)) return null
  const base = parseIp(addr)
  const bits = Number(bitsText)
  if (base === null || bits > (isIp4(base) ? 32 : 128)) return null
  return hostBitsZero(base, bits) ? { base, bits } : null
}

/** Whether `ip` lies in `p`; addresses of the other family never do. */
export function contains(p: Prefix, ip: Ip): boolean {
  if (isIp4(p.base)) {
    if (!isIp4(ip)) return false
    return p.bits === 0 || p.base >>> (32 - p.bits) === ip >>> (32 - p.bits)
  }
  return !isIp4(ip) && sameBits(p.base, ip, p.bits)
}

/** Whether every address of `inner` lies in `outer`. */
export const covers = (outer: Prefix, inner: Prefix): boolean => inner.bits >= outer.bits && contains(outer, inner.base)
export const overlaps = (a: Prefix, b: Prefix): boolean => contains(a, b.base) || contains(b, a.base)

function sameBits(a: Uint8Array, b: Uint8Array, bits: number): boolean {
  const whole = bits >> 3
  for (let i = 0; i < whole; i++) if (a[i] !== b[i]) return false
  const rest = bits & 7
  return rest === 0 || (a[whole] ?? 0) >> (8 - rest) === (b[whole] ?? 0) >> (8 - rest)
}

function hostBitsZero(ip: Ip, bits: number): boolean {
  return ipBytes(ip).every((byte, i) => (byte & (0xff >> Math.min(8, Math.max(0, bits - 8 * i)))) === 0)
}
