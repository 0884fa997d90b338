import fc from 'fast-check'
import { expect, test } from 'vitest'
import { Expiring } from './expiring.ts'
import { instant } from './time.ts'

test('entries die at their instant and are handed back once', () => {
  const map = new Expiring<string, number>(10)
  map.set('a', 1, instant(100))
  map.set('b', 2, instant(50))
  expect(map.deadline()).toBe(50)
  expect(map.sweep(instant(99))).toEqual([['b', 2]])
  expect(map.get('b')).toBeUndefined()
  expect(map.sweep(instant(100))).toEqual([['a', 1]])
  expect(map.sweep(instant(1000))).toEqual([])
  expect(map.deadline()).toBeNull()
})

test('setting again renews; one more than the limit drops the entry set longest ago', () => {
  const map = new Expiring<string, number>(2)
  map.set('a', 1, instant(10))
  map.set('b', 2, instant(10))
  map.set('a', 3, instant(20))
  map.set('c', 4, instant(10))
  expect([...map.entries()]).toEqual([
    ['a', 3],
    ['c', 4],
  ])
})

test('never more than the limit, never a dead entry after a sweep', () => {
  const step = fc.record({ key: fc.nat(8), until: fc.nat(50), now: fc.nat(50) })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), fc.integer({ min: 1, max: 5 }), (steps, limit) => {
      const map = new Expiring<number, number>(limit)
      for (const { key, until, now } of steps) {
        map.set(key, until, instant(until))
        map.sweep(instant(now))
        expect(map.size).toBeLessThanOrEqual(limit)
        for (const [, v] of map.entries()) expect(v).toBeGreaterThan(now)
      }
    }),
  )
})
