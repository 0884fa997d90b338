import fc from 'fast-check'
import { expect, test } from 'vitest'
import { parseIp4 } from './ip4.ts'
import { ip6FromBytes, ip6Text, mapped, parseIp6, unmapped } from './ip6.ts'

test('RFC 5952: the text of an address is the shortest there is', () => {
  const cases: readonly (readonly [string, string])[] = [
    ['2001:db8:0:0:0:0:2:1', '2001:db8::2:1'],
    ['2001:db8:0:1:1:1:1:1', '2001:db8:0:1:1:1:1:1'],
    ['2001:0:0:1:0:0:0:1', '2001:0:0:1::1'],
    ['2001:db8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
    ['::', '::'],
    ['::1', '::1'],
    ['::FFFF:192.0.2.1', '::ffff:192.0.2.1'],
  ]
  for (const [given, shortest] of cases) expect(ip6Text(parseIp6(given)!)).toBe(shortest)
})

test('what is no address is null', () => {
  for (const text of [
    '',
    ':',
    ':::',
    '1::2::3',
    '1:2:3:4:5:6:7',
    '1:2:3:4:5:6:7:8:9',
    '12345::',
    'g::',
    '::1.2.3',
    '1.2.3.4::',
    'fe80::1%eth0',
  ])
    expect(parseIp6(text), text).toBeNull()
})

test('every address reads back from its own text', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 16, maxLength: 16 }), (bytes) => {
      expect(parseIp6(ip6Text(ip6FromBytes(bytes)))).toEqual(Uint8Array.from(bytes))
    }),
  )
})

test('an address owns its bytes, also when it came from a platform buffer', () => {
  const buffer = Buffer.alloc(32, 7)
  const ip = ip6FromBytes(buffer, 8)
  buffer.fill(0)
  expect([...ip]).toEqual(new Array(16).fill(7))
})

test('v4-mapped addresses carry an IPv4 address, others do not', () => {
  const four = parseIp4('192.0.2.33')!
  expect(unmapped(mapped(four))).toBe(four)
  expect(unmapped(parseIp6('2001:db8::1')!)).toBeNull()
})
