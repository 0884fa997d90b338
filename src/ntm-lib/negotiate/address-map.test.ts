import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Ip } from '../addr/ip.ts'
import { ip4FromWord } from '../addr/ip4.ts'
import { ip6FromBytes } from '../addr/ip6.ts'
import { contains, type Prefix } from '../addr/prefix.ts'
import { AddressMap } from './address-map.ts'

/** Few distinct bits, so that prefixes overlap and addresses hit. */
const ip4 = fc.tuple(fc.nat(3), fc.nat(3)).map(([a, b]): Ip => ip4FromWord((198 << 24) | (a << 16) | b))
const ip6 = fc.tuple(fc.nat(3), fc.nat(3)).map(([a, b]): Ip => {
  const bytes = new Uint8Array(16)
  bytes.set([0xfd, a])
  bytes[15] = b
  return ip6FromBytes(bytes)
})
const ip = fc.oneof(ip4, ip6)
const prefix = fc.tuple(ip, fc.constantFrom('host', 'wide', 'all')).map(([base, size]): Prefix => {
  const four = typeof base === 'number'
  if (size === 'host') return { base, bits: four ? 32 : 128 }
  if (size === 'all') return { base: four ? ip4FromWord(0) : ip6FromBytes(new Uint8Array(16)), bits: 0 }
  if (four) return { base: ip4FromWord(base & 0xffff0000), bits: 16 }
  return { base: ip6FromBytes(Uint8Array.from(base, (b, i) => (i < 2 ? b : 0))), bits: 16 }
})

test('property: finds what a linear search for the longest, newest prefix finds, after any adding and removing', () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(prefix, fc.nat(5), fc.boolean()), { maxLength: 30, size: 'max' }),
      ip,
      (steps, sought) => {
        const map = new AddressMap<number>()
        let model: { p: Prefix; v: number }[] = []
        for (const [p, v, remove] of steps) {
          if (remove) {
            const i = model.findLastIndex((m) => m.v === v && m.p.bits === p.bits && contains(m.p, p.base))
            model = model.filter((_, j) => j !== i)
            map.remove(p, v)
          } else {
            model.push({ p, v })
            map.add(p, v)
          }
        }
        const hits = model.filter((m) => contains(m.p, sought))
        const best = hits.reduce<{ p: Prefix; v: number } | null>(
          (b, m) => (b === null || m.p.bits >= b.p.bits ? m : b),
          null,
        )
        expect(map.find(sought)).toBe(best?.v)
      },
    ),
    { numRuns: 1000 },
  )
})
