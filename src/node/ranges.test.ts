import fc from 'fast-check'
import { expect, test } from 'vitest'
import { ip4FromWord, ip4Text } from '#ntm-lib/addr/ip4.ts'
import { contains, type Prefix, parsePrefix } from '#ntm-lib/addr/prefix.ts'
import { findOverlap } from './overlap.ts'
import { reverseZones } from './reverse.ts'

const prefix = (text: string): Prefix => parsePrefix(text)!
const RANGES = ['198.18.0.0/16', 'fd12:3456:789a::/48'].map(prefix)
const route = (to: string | null, ifname = 'eth0', type = 'unicast') => ({
  to: to === null ? null : prefix(to),
  ifname,
  type,
})

test('a route inside a virtual range, or around it, is told; default routes and dead ends are not', () => {
  const overlap = (...routes: ReturnType<typeof route>[]) => findOverlap(RANGES, routes, 'ntm0')
  expect(overlap(route('198.18.7.0/24'))).toMatchObject({ range: RANGES[0], ifname: 'eth0' })
  expect(overlap(route('198.16.0.0/12'))).toMatchObject({ range: RANGES[0] })
  expect(overlap(route('fd12:3456:789a:1::/64', 'lan'))).toMatchObject({ range: RANGES[1], ifname: 'lan' })
  for (const to of [null, '0.0.0.0/0', '128.0.0.0/1', '::/0', '198.19.0.0/16', 'fd12:3456:789b::/48'])
    expect(overlap(route(to)), String(to)).toBeNull()
  expect(overlap(route('fc00::/7', 'lo', 'unreachable'))).toBeNull()
  expect(overlap(route('198.18.0.0/16', 'ntm0'))).toBeNull()
})

test('reverse zones by whole labels', () => {
  expect(reverseZones(prefix('198.18.0.0/16'))).toEqual(['18.198.in-addr.arpa'])
  expect(reverseZones(prefix('198.18.0.0/15'))).toEqual(['18.198.in-addr.arpa', '19.198.in-addr.arpa'])
  expect(reverseZones(prefix('fd12:3456:789a::/48'))).toEqual(['a.9.8.7.6.5.4.3.2.1.d.f.ip6.arpa'])
  expect(reverseZones(prefix('0.0.0.0/0'))).toEqual(['in-addr.arpa'])
})

test('an address is in a prefix exactly when its reverse name is below one of its zones', () => {
  fc.assert(
    fc.property(
      fc.nat(0xffffffff),
      fc.integer({ min: 1, max: 32 }),
      fc.nat(0xffffffff),
      fc.boolean(),
      (a, bits, b, near) => {
        const p: Prefix = { base: ip4FromWord(a & (-1 << (32 - bits))), bits }
        const ip = ip4FromWord(near ? (a & (-1 << (32 - bits))) | (b >>> (bits % 32)) : b)
        const name = `${ip4Text(ip).split('.').reverse().join('.')}.in-addr.arpa`
        expect(reverseZones(p).some((z) => name === z || name.endsWith(`.${z}`))).toBe(contains(p, ip))
      },
    ),
  )
})
