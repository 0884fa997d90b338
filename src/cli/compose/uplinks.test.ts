import fc from 'fast-check'
import { expect, test } from 'vitest'
import { isIp4 } from '#ntm-lib/addr/ip.ts'
import { ip4FromWord } from '#ntm-lib/addr/ip4.ts'
import { ip6FromBytes } from '#ntm-lib/addr/ip6.ts'
import type { Via } from '#ntm-lib/addr/via.ts'
import { placesOf } from './uplinks.ts'

test('places are the ways out, the best of each family with the highest priority, and neither family crowds out the other', () => {
  const counts = fc.integer({ min: 0, max: 12 })
  fc.assert(
    fc.property(counts, counts, (four, six) => {
      const vias = [
        ...Array.from({ length: four }, (_, i) => via4(i)),
        ...Array.from({ length: six }, (_, i) => via6(i)),
      ]
      const places = placesOf(vias, 4330)
      const [fours, sixes] = [places.filter((p) => isIp4(p.endpoint.ip)), places.filter((p) => !isIp4(p.endpoint.ip))]
      expect(places.length).toBe(Math.min(8, four + six))
      expect(fours.length).toBeGreaterThanOrEqual(Math.min(4, four))
      expect(sixes.length).toBeGreaterThanOrEqual(Math.min(4, six))
      expect(fours.map((p) => p.endpoint.ip)).toEqual(vias.slice(0, fours.length).map((v) => v.ip))
      expect(fours.map((p) => p.priority)).toEqual(fours.map((_, i) => 100 - i))
      expect(sixes.map((p) => p.priority)).toEqual(sixes.map((_, i) => 110 - i))
      expect(places.every((p) => p.endpoint.port === 4330 && p.type === 'local')).toBe(true)
    }),
  )
})

const via4 = (i: number): Via => ({ ifindex: 1, ip: ip4FromWord(0xc0000200 + i) })
const via6 = (i: number): Via => ({
  ifindex: 1,
  ip: ip6FromBytes(Uint8Array.of(0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, i)),
})
