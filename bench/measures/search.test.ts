import fc from 'fast-check'
import { expect, test } from 'vitest'
import { highestRate, lossOf, type SearchPlan, type Trial } from './search.ts'

const PLAN: SearchPlan = { start: 15_000, grow: 1.6, mostLoss: 0.01, precision: 0.06 }

/** A path that carries `capacity` packets a second and loses the rest, and a generator that sends at most `most`. */
const path =
  (capacity: number, most = Number.POSITIVE_INFINITY) =>
  async (rate: number): Promise<Trial> => {
    const sent = Math.min(rate, most)
    return { sent, received: Math.min(sent, capacity), seconds: 1 }
  }

test('the rate found loses at most 1 %, and a little more would lose more', async () => {
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 1000, max: 2_000_000 }), async (capacity) => {
      const found = await highestRate(PLAN, path(capacity))
      expect(found.loss).toBeLessThanOrEqual(0.01)
      expect(found.rate).toBeLessThanOrEqual(capacity)
      expect(found.rate).toBeGreaterThan(capacity / 1.07)
      expect(found.capped).toBe(false)
    }),
    { numRuns: 200 },
  )
})

test('a path slower than the first rate is found below it', async () => {
  const found = await highestRate(PLAN, path(2000))
  expect(found.rate).toBeGreaterThan(1850)
  expect(found.rate).toBeLessThanOrEqual(2000)
})

test('a generator at its end is told, and its own rate is the figure', async () => {
  const found = await highestRate(PLAN, path(1_000_000, 100_000))
  expect(found.capped).toBe(true)
  expect(found.rate).toBe(100_000)
})

test('one hiccup does not end the search, a path that always loses does', async () => {
  let calls = 0
  const hiccups = await highestRate(PLAN, async (rate) => {
    calls++
    if (calls === 2) return { sent: rate, received: rate / 2, seconds: 1 }
    return path(100_000)(rate)
  })
  expect(hiccups.rate).toBeGreaterThan(93_000)
  const dead = await highestRate(PLAN, async (rate) => ({ sent: rate, received: rate * 0.98, seconds: 1 }))
  expect(dead.rate).toBe(0)
})

test('a generator that was kept from sending once is asked again', async () => {
  let calls = 0
  const found = await highestRate(PLAN, async (rate) => {
    calls++
    return path(100_000, calls === 1 ? rate / 3 : undefined)(rate)
  })
  expect(found.capped).toBe(false)
  expect(found.rate).toBeGreaterThan(93_000)
})

test('what is not confirmed is lowered until it is', async () => {
  const asked: number[] = []
  const found = await highestRate(PLAN, async (rate, confirm) => {
    if (confirm) asked.push(rate)
    return path(confirm ? 70_000 : 100_000)(rate)
  })
  expect(found.rate).toBeLessThanOrEqual(70_000)
  expect(found.rate).toBeGreaterThan(62_000)
  expect(asked.length).toBeGreaterThan(2)
  expect(asked).toEqual([...asked].sort((a, b) => b - a))
})

test('a trial that sent nothing lost everything, duplicates lose nothing', () => {
  expect(lossOf({ sent: 0, received: 0, seconds: 1 })).toBe(1)
  expect(lossOf({ sent: 100, received: 101, seconds: 1 })).toBe(0)
  expect(lossOf({ sent: 200, received: 150, seconds: 1 })).toBe(0.25)
})
