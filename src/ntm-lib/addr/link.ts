import type { Brand } from '../base/brand.ts'

/** An Ethernet address as a 48-bit number. Called a link address: "mac" would read as an authentication code. */
export type LinkAddr = Brand<number, 'LinkAddr'>

export const linkFromBytes = (b: Uint8Array, at = 0): LinkAddr => {
  let n = 0
  for (let i = 0; i < 6; i++) n = n * 256 + (b[at + i] ?? 0)
  return n as LinkAddr
}
export const linkBytes = (l: LinkAddr): Uint8Array =>
  Uint8Array.from({ length: 6 }, (_, i) => Math.floor(l / 2 ** (8 * (5 - i))) % 256)
export const linkText = (l: LinkAddr): string => [...linkBytes(l)].map((b) => b.toString(16).padStart(2, '0')).join(':')

export function parseLink(text: string): LinkAddr | null {
  return /^([0-9a-f]{2}:){5}[0-9a-f]{2}$/i.test(text)
    ? linkFromBytes(Uint8Array.from(text.split(':'), (h) => Number.parseInt(h, 16)))
    : null
}

/** Group bit of the first octet. IEEE 802-2014 §8.2. */
export const isGroup = (l: LinkAddr): boolean => Math.floor(l / 2 ** 40) % 2 === 1
