import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type Batch, batch, HEADROOM, slotAt } from '../ports/packet-port.ts'
import { packet4, viewOf } from './build.ts'
import { sum } from './checksum.ts'
import * as ip4 from './ip4.ts'
import { split4 } from './split4.ts'

const bytes = (n: number): Uint8Array => Uint8Array.from({ length: n }, (_, i) => (i * 7) & 255)
const spill = (): Batch => batch(64, HEADROOM + 2048)
const pieces = (b: Batch): Uint8Array[] =>
  Array.from({ length: b.count }, (_, i) => b.arena.slice(slotAt(b, i), slotAt(b, i) + (b.lens[i] ?? 0)))

test('fragments join to the packet, none is larger than asked, offsets and "more" of a fragment go on', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 3000 }),
      fc.integer({ min: 68, max: 1500 }),
      fc.nat(2000),
      fc.boolean(),
      (size, most, offset, more) => {
        const p = packet4(
          { source: 1, destination: 2, protocol: 17, payload: bytes(size), id: 9, offset, moreFragments: more },
          false,
        )
        const out = batch(80, HEADROOM + 2048)
        expect(split4(viewOf(p), 0, p.length, most, out)).toBe(true)
        let at = offset
        const data: number[] = []
        for (const [i, q] of pieces(out).entries()) {
          const v = viewOf(q)
          expect(q.length).toBeLessThanOrEqual(most)
          expect([ip4.totalLength(v, 0), ip4.id(v, 0), ip4.fragmentOffset(v, 0)]).toEqual([q.length, 9, at])
          expect(sum(v, 0, 20) % 0xffff).toBe(0)
          expect(ip4.moreFragments(v, 0)).toBe(more || i < out.count - 1)
          data.push(...q.subarray(20))
          at += (q.length - 20) / 8
        }
        expect(data).toEqual([...bytes(size)])
      },
    ),
    { numRuns: 200 },
  )
})

test('RFC 791 §3.1: later fragments keep only the options that are copied', () => {
  // Record route (7, not copied), then a security option (130, copied), then end.
  const options = Uint8Array.of(7, 7, 4, 0, 0, 0, 0, 130, 4, 1, 2, 0)
  const p = packet4({ source: 1, destination: 2, protocol: 17, payload: bytes(100), options }, false)
  const out = spill()
  expect(split4(viewOf(p), 0, p.length, 96, out)).toBe(true)
  const [first, second] = pieces(out) as [Uint8Array, Uint8Array]
  expect([...first.subarray(20, 32)]).toEqual([...options])
  expect([...second.subarray(20, 32)]).toEqual([1, 1, 1, 1, 1, 1, 1, 130, 4, 1, 2, 0])
  for (const q of [first, second]) expect(sum(viewOf(q), 0, 32) % 0xffff).toBe(0)
  const broken = packet4(
    { source: 1, destination: 2, protocol: 17, payload: bytes(100), options: Uint8Array.of(7, 0, 130, 4) },
    false,
  )
  expect(split4(viewOf(broken), 0, broken.length, 96, out)).toBe(true)
  expect([...(pieces(out)[1]?.subarray(20, 24) ?? [])]).toEqual([1, 1, 1, 1])
})

test('too little room, in the memory or in the packet, is said', () => {
  const p = packet4({ source: 1, destination: 2, protocol: 17, payload: bytes(1000) }, false)
  expect(split4(viewOf(p), 0, p.length, 68, batch(3, HEADROOM + 100))).toBe(false)
  expect(split4(viewOf(p), 0, p.length, 500, batch(9, HEADROOM + 100))).toBe(false)
  expect(split4(viewOf(p), 0, p.length, 27, spill())).toBe(false)
})
