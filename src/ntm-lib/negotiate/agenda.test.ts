import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type Instant, instant } from '../base/time.ts'
import { Agenda } from './agenda.ts'

test('it knows the earliest and gives what is due, once, like a plain list would', () => {
  const step = fc.record({ item: fc.nat(20), due: fc.option(fc.nat(50)), take: fc.option(fc.nat(50)), most: fc.nat(9) })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
      const agenda = new Agenda<number>()
      const plain = new Map<number, Instant>()
      for (const { item, due, take, most } of steps) {
        agenda.set(item, due === null ? null : instant(due))
        if (due === null) plain.delete(item)
        else plain.set(item, instant(due))
        if (take !== null) {
          const taken = agenda.take(instant(take), most)
          const wanted = [...plain.values()].filter((at) => at <= take).toSorted((a, b) => a - b)
          expect(taken.map((i) => plain.get(i))).toEqual(wanted.slice(0, most))
          expect(new Set(taken).size).toBe(taken.length)
          for (const i of taken) plain.delete(i)
        }
        expect(agenda.size).toBe(plain.size)
        expect(agenda.first()).toBe(plain.size === 0 ? null : Math.min(...plain.values()))
      }
    }),
  )
})

test('what is taken comes in the order of its time', () => {
  const agenda = new Agenda<number>()
  for (const n of [5, 3, 9, 1, 7, 2, 8]) agenda.set(n, instant(n * 10))
  agenda.set(9, instant(4))
  expect(agenda.take(instant(70), 99)).toEqual([9, 1, 2, 3, 5, 7])
  expect(agenda.first()).toBe(80)
})
