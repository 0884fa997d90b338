import { z } from 'zod'
import { type Endpoint, parseEndpoint } from '#ntm-lib/addr/endpoint.ts'
import { family, type Ip, ipBytes, parseIp } from '#ntm-lib/addr/ip.ts'
import { type Ip4, parseIp4 } from '#ntm-lib/addr/ip4.ts'
import { type Prefix, parsePrefix } from '#ntm-lib/addr/prefix.ts'
import { unhex } from '#ntm-lib/base/hex.ts'
import { isCanonicalName } from '#ntm-lib/crypto/narrowing.ts'

/** A string that `parse` must accept; `example` completes the sentence "expected …, for example …". */
export function parsed<T>(what: string, example: string, parse: (text: string) => T | null): z.ZodType<T, string> {
  return z.string().transform((text, ctx) => {
    const value = parse(text)
    if (value !== null) return value
    ctx.addIssue({
      code: 'custom',
      message: `expected ${what}, got "${text}"`,
      params: { right: `For example "${example}"` },
    })
    return z.NEVER
  })
}

export const ip: z.ZodType<Ip, string> = parsed('an IP address', '192.0.2.1', parseIp)
export const ip4: z.ZodType<Ip4, string> = parsed('an IPv4 address', '192.0.2.1', parseIp4)
/** First and last address, same family. */
export type AddressRange = readonly [first: Ip, last: Ip]
export const addressRange: z.ZodType<AddressRange, string> = parsed(
  'an address, or FIRST-LAST of one family',
  '192.0.2.10-192.0.2.13',
  (text) => {
    const [first, last, ...rest] = text.split('-').map(parseIp)
    if (first === undefined || first === null || last === null || rest.length > 0) return null
    const to = last ?? first
    return family(first) === family(to) && Buffer.compare(ipBytes(first), ipBytes(to)) <= 0 ? [first, to] : null
  },
)
export const prefix: z.ZodType<Prefix, string> = parsed(
  'a prefix ADDRESS/BITS whose host bits are zero',
  '10.0.0.0/8',
  parsePrefix,
)
export const endpoint: z.ZodType<Endpoint, string> = parsed('ADDRESS:PORT', '192.0.2.1:4330', parseEndpoint)
export const endpointOrAddress = (port: number): z.ZodType<Endpoint, string> =>
  parsed('ADDRESS or ADDRESS:PORT', `192.0.2.53:${port}`, (text) => {
    const bare = parseIp(text)
    return bare === null ? parseEndpoint(text) : { ip: bare, port }
  })
/** Kernel interface name: 1–15 bytes, no slash, no white space (`IFNAMSIZ`). */
export const interfaceName: z.ZodType<string, string> = parsed(
  'an interface name of 1 to 15 characters',
  'eth0',
  (t) => (/^[^\s/]{1,15}$/.test(t) ? t : null),
)
export const port = z.int().min(1).max(65535)
/** A DNS zone, lower case without the last dot. */
export const zoneName: z.ZodType<string, string> = parsed('a DNS zone', 'b.example', (text) => {
  const zone = text.toLowerCase().replace(/\.$/, '')
  return isCanonicalName(zone) && zone.includes('.') && !zone.startsWith('.') ? zone : null
})
/** An X25519 public key in hex, as `ntm network show` prints it. */
export const staticKey: z.ZodType<Uint8Array, string> = parsed(
  'a public key of 64 hex digits',
  '09'.repeat(32),
  (text) => (/^[0-9a-fA-F]{64}$/.test(text) ? unhex(text.toLowerCase()) : null),
)
