import type { Brand } from '../base/brand.ts'

/** An IPv4 address as an unsigned 32-bit number (network order value), so that it compares and hashes at no cost. */
export type Ip4 = Brand<number, 'Ip4'>

export const ip4FromWord = (word: number): Ip4 => (word >>> 0) as Ip4
export const ip4FromBytes = (b: Uint8Array, at = 0): Ip4 =>
  ip4FromWord(((b[at] ?? 0) << 24) | ((b[at + 1] ?? 0) << 16) | ((b[at + 2] ?? 0) << 8) | (b[at + 3] ?? 0))
export const ip4Bytes = (ip: Ip4): Uint8Array => Uint8Array.of(ip >>> 24, (ip >>> 16) & 255, (ip >>> 8) & 255, ip & 255)
export const ip4Text = (ip: Ip4): string => `${ip >>> 24}.${(ip >>> 16) & 255}.${(ip >>> 8) & 255}.${ip & 255}`

/** Dotted decimal to address; null for anything else. Leading zeros are refused: some parsers read them as octal. */
export function parseIp4(text: string): Ip4 | null {
  const parts = text.split('.')
  if (parts.length !== 4) return null
  let word = 0
  for (const part of parts) {
    if (!/^(0|[1-9][0-9]{0,2})$/.test(part)) return null
    const n = Number(part)
    if (n > 255) return null
    word = word * 256 + n
  }
  return ip4FromWord(word)
}
