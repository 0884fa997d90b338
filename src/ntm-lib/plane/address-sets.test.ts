import fc from 'fast-check'
import { expect, test } from 'vitest'
import { ip4FromWord } from '../addr/ip4.ts'
import { type Ip6, mapped } from '../addr/ip6.ts'
import { contains, type Prefix } from '../addr/prefix.ts'
import { AddressSets } from './address-sets.ts'

test('an address is in a set when one of its prefixes contains it, in short lists and in long ones', () => {
  fc.assert(
    fc.property(
      fc.array(prefix, { maxLength: 30 }),
      fc.array(address, { minLength: 1, maxLength: 20 }),
      (list, probes) => {
        const set = new AddressSets().hold(list)
        for (const ip of [...probes, ...list.map((p) => p.base)]) {
          const wanted = list.some((p) => contains(p, ip))
          const found = typeof ip === 'number' ? set.find4(ip) : set.find6(new DataView(ip.buffer), 0)
          expect(found ?? false).toBe(wanted)
        }
      },
    ),
  )
})

test('equal sets are one, whatever the order of their prefixes, and go with their last user', () => {
  const sets = new AddressSets()
  const [a, b] = [
    { base: ip4FromWord(0x0a000000), bits: 8 },
    { base: mapped(ip4FromWord(1)), bits: 128 },
  ]
  const one = sets.hold([a, b])
  expect(sets.hold([b, a])).toBe(one)
  expect(sets.hold([a])).not.toBe(one)
  sets.drop(one)
  expect(sets.size).toBe(2)
  sets.drop(one)
  expect(sets.size).toBe(1)
})

/** Close together, so that lists hit. */
const address = fc.oneof(
  fc.integer({ min: 0, max: 15 }).map((n) => ip4FromWord((0x80000000 + n * 0x10000001) >>> 0)),
  fc.integer({ min: 0, max: 0xffffffff }).map(ip4FromWord),
  fc.tuple(fc.nat({ max: 3 }), fc.nat({ max: 15 }), fc.nat({ max: 15 })).map(([at, a, b]) => {
    const ip = new Uint8Array(16).fill(0xfd, 0, 1)
    ip[at * 4 + 3] = a * 16
    ip[15] = b
    return ip as Ip6
  }),
)

const prefix: fc.Arbitrary<Prefix> = fc.tuple(address, fc.nat({ max: 128 })).map(([ip, n]) => {
  const most = typeof ip === 'number' ? 32 : 128
  const bits = n % 3 === 0 ? most : n % (most + 1)
  if (typeof ip === 'number') {
    return { base: ip4FromWord(bits === 0 ? 0 : (ip & (-1 << (32 - bits))) >>> 0), bits }
  }
  const base = ip.map((byte, i) => byte & (0xff00 >> Math.max(0, Math.min(8, bits - i * 8)))) as Ip6
  return { base, bits }
})
