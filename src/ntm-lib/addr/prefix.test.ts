import fc from 'fast-check'
import { expect, test } from 'vitest'
import { endpointText, parseEndpoint } from './endpoint.ts'
import { type Ip, ipBytes, isIp4, parseIp } from './ip.ts'
import { ip4FromWord, parseIp4 } from './ip4.ts'
import { ip6FromBytes } from './ip6.ts'
import { contains, covers, overlaps, type Prefix, parsePrefix, prefixText } from './prefix.ts'

const p = (text: string): Prefix => parsePrefix(text)!
const ip = (text: string): Ip => parseIp(text)!

test('containment follows the bits, and families never mix', () => {
  expect(contains(p('198.18.0.0/15'), ip('198.19.255.255'))).toBe(true)
  expect(contains(p('198.18.0.0/15'), ip('198.20.0.0'))).toBe(false)
  expect(contains(p('0.0.0.0/0'), ip('255.255.255.255'))).toBe(true)
  expect(contains(p('0.0.0.0/0'), ip('::'))).toBe(false)
  expect(contains(p('fd00:1:2::/48'), ip('fd00:1:2:ffff::1'))).toBe(true)
  expect(contains(p('fd00:1:2::/47'), ip('fd00:1:3::1'))).toBe(true)
  expect(contains(p('fd00:1:2::/48'), ip('fd00:1:3::1'))).toBe(false)
  expect(covers(p('10.0.0.0/8'), p('10.1.0.0/16'))).toBe(true)
  expect(covers(p('10.1.0.0/16'), p('10.0.0.0/8'))).toBe(false)
  expect(overlaps(p('10.1.0.0/16'), p('10.0.0.0/8'))).toBe(true)
})

test('host bits that are not zero are refused: 10.0.0.1/8 is a typo', () => {
  for (const text of ['10.0.0.1/8', 'fd00::1/64', '10.0.0.0/33', '10.0.0.0', '10.0.0.0/', '10.0.0.0/8/8', '::/129'])
    expect(parsePrefix(text), text).toBeNull()
})

test('an address is in the prefix of its own first bits, whatever their number', () => {
  const address = fc.oneof(
    fc.integer({ min: 0, max: 2 ** 32 - 1 }).map((n): Ip => ip4FromWord(n)),
    fc.uint8Array({ minLength: 16, maxLength: 16 }).map((b): Ip => ip6FromBytes(b)),
  )
  fc.assert(
    fc.property(address, fc.nat(128), (a, n) => {
      const bits = Math.min(n, isIp4(a) ? 32 : 128)
      const base = ipBytes(a).map((b, i) => b & (0xff << Math.min(8, Math.max(0, 8 * (i + 1) - bits))))
      const prefix: Prefix = {
        base: isIp4(a) ? ip4FromWord(new DataView(base.buffer).getUint32(0)) : ip6FromBytes(base),
        bits,
      }
      expect(contains(prefix, a)).toBe(true)
      expect(parsePrefix(prefixText(prefix))).toEqual(prefix)
    }),
  )
})

test('leading zeros are refused in IPv4: some programs read them as octal', () => {
  for (const text of ['010.1.2.3', '1.2.3', '1.2.3.4.5', '256.1.1.1', '1.2.3.', '+1.2.3.4', '0x1.2.3.4'])
    expect(parseIp4(text), text).toBeNull()
})

test('endpoints need brackets around IPv6 and a port', () => {
  for (const text of ['192.0.2.1:4330', '[2001:db8::1]:4330']) expect(endpointText(parseEndpoint(text)!)).toBe(text)
  for (const text of ['192.0.2.1', '2001:db8::1:4330', '[192.0.2.1]:4330', '192.0.2.1:0', '192.0.2.1:65536', 'host:1'])
    expect(parseEndpoint(text), text).toBeNull()
})
