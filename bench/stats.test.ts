import fc from 'fast-check'
import { expect, test } from 'vitest'
import { median, percentile, stats } from './stats.ts'

test('median, 90th percentile and least are values by nearest rank', () => {
  expect(stats([5, 1, 3])).toEqual({ n: 3, median: 3, p90: 5, min: 1 })
  expect(stats([10, 1, 2, 9, 3, 8, 4, 7, 5, 6])).toEqual({ n: 10, median: 5, p90: 9, min: 1 })
  expect(median([2])).toBe(2)
})

test('nothing has no median', () => {
  expect(stats([])).toEqual({ n: 0, median: Number.NaN, p90: Number.NaN, min: Number.NaN })
})

test('a percentile is one of the values, at least that share is not above it, and the input stays as it was', () => {
  fc.assert(
    fc.property(
      fc.array(fc.double({ noNaN: true }), { minLength: 1 }),
      fc.double({ min: 0.01, max: 1, noNaN: true }),
      (values, share) => {
        const before = [...values]
        const p = percentile(values, share)
        expect(values).toEqual(before)
        expect(values).toContain(p)
        expect(values.filter((v) => v <= p).length).toBeGreaterThanOrEqual(Math.floor(share * values.length))
      },
    ),
  )
})
