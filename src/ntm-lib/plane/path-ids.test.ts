import fc from 'fast-check'
import { expect, test } from 'vitest'
import { PathIds } from './path-ids.ts'

const find = (ids: PathIds, id: number): number => ids.find(Math.floor(id / 2 ** 32), (id % 2 ** 32) | 0)

test('path ids lead to rows as in a Map, whatever is set and removed in whichever order', () => {
  const id = fc.oneof(fc.nat({ max: 40 }), fc.integer({ min: 0, max: 2 ** 48 - 1 }))
  const step = fc.record({ id, row: fc.nat({ max: 65_535 }), remove: fc.boolean() })
  fc.assert(
    fc.property(fc.array(step, { minLength: 50, maxLength: 300 }), (steps) => {
      const [ids, model] = [new PathIds(), new Map<number, number>()]
      for (const s of steps) {
        if (s.remove) {
          ids.remove(s.id, model.get(s.id) ?? 0)
          model.delete(s.id)
        } else {
          ids.set(s.id, s.row)
          model.set(s.id, s.row)
        }
      }
      expect(ids.size).toBe(model.size)
      for (const { id } of steps) expect(find(ids, id)).toBe(model.get(id) ?? -1)
    }),
  )
})

test('an id that has gone to another row is not taken from it', () => {
  const ids = new PathIds()
  ids.set(5, 1)
  ids.set(5, 2)
  ids.remove(5, 1)
  expect(find(ids, 5)).toBe(2)
})

test('40,000 ids are found, and their upper 16 bits count', () => {
  const ids = new PathIds()
  for (let i = 0; i < 40_000; i++) ids.set(i * 2 ** 32 + (i % 7), i)
  let wrong = 0
  for (let i = 0; i < 40_000; i++) if (find(ids, i * 2 ** 32 + (i % 7)) !== i) wrong++
  expect(wrong).toBe(0)
  expect(find(ids, 8)).toBe(-1)
})
