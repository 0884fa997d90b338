import { type Ip4, ip4Bytes, ip4Text, parseIp4 } from './ip4.ts'
import { type Ip6, ip6Text, mapped, parseIp6 } from './ip6.ts'

/** An address of either family: a number is IPv4, bytes are IPv6. */
export type Ip = Ip4 | Ip6
export type Family = 4 | 6

export const isIp4 = (ip: Ip): ip is Ip4 => typeof ip === 'number'
export const family = (ip: Ip): Family => (isIp4(ip) ? 4 : 6)
export const ipText = (ip: Ip): string => (isIp4(ip) ? ip4Text(ip) : ip6Text(ip))
export const ipBytes = (ip: Ip): Uint8Array => (isIp4(ip) ? ip4Bytes(ip) : ip)
export const parseIp = (text: string): Ip | null => (text.includes(':') ? parseIp6(text) : parseIp4(text))
/** The 16-byte form shared by both families (IPv4 as v4-mapped). */
export const ip16 = (ip: Ip): Ip6 => (isIp4(ip) ? mapped(ip) : ip)

export function sameIp(a: Ip, b: Ip): boolean {
  if (isIp4(a) || isIp4(b)) return a === b
  for (let i = 0; i < 16; i++) if (a[i] !== b[i]) return false
  return true
}
