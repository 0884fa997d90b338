import { expect, test } from 'vitest'
import { type Instant, instant } from '../base/time.ts'
import { cutAt, Halves, halvesBudget } from './halves.ts'
import { LIMITS } from './timers.ts'

const bytes = (fill: number, n = 10): Uint8Array => new Uint8Array(n).fill(fill)
const t = (ms: number): Instant => instant(ms)

test('two halves in either order make the packet, and nothing is kept', () => {
  for (const order of [
    [1, 2],
    [2, 1],
  ] as const) {
    const budget = halvesBudget()
    const h = new Halves(budget)
    const [a, b] = order
    expect(h.take(a, 1, 0, a === 1 ? 7 : 8, bytes(a), t(0))).toBeNull()
    expect(h.take(b, 1, 0, b === 1 ? 7 : 8, bytes(b), t(999))).toEqual(Uint8Array.from([...bytes(1), ...bytes(2)]))
    expect(h.size).toBe(0)
    expect(budget.left).toBe(LIMITS.halvesBytes)
  }
})

test('halves of different counters, lanes or epochs never meet', () => {
  const h = new Halves(halvesBudget())
  h.take(1, 1, 0, 7, bytes(1), t(0))
  expect(h.take(2, 1, 0, 9, bytes(2), t(0))).toBeNull()
  expect(h.take(2, 1, 1, 8, bytes(2), t(0))).toBeNull()
  expect(h.take(2, 2, 0, 8, bytes(2), t(0))).toBeNull()
  expect(h.take(2, 1, 0, 8, bytes(2), t(0))).not.toBeNull()
})

test('a half that waits longer than a second is gone, with its bytes', () => {
  const budget = halvesBudget()
  const h = new Halves(budget)
  h.take(1, 1, 0, 7, bytes(1), t(0))
  expect(h.deadline()).toBe(1000)
  h.sweep(t(1000))
  expect(h.size).toBe(0)
  expect(budget.left).toBe(LIMITS.halvesBytes)
  expect(h.take(2, 1, 0, 8, bytes(2), t(1000))).toBeNull()
})

test('a path keeps 32 halves at most, the oldest goes first; all paths together 4 MiB', () => {
  const budget = halvesBudget()
  const h = new Halves(budget)
  for (let i = 0; i < 40; i++) h.take(1, 1, 0, 2 * i, bytes(1), t(0))
  expect(h.size).toBe(32)
  expect(h.take(2, 1, 0, 1, bytes(2), t(0))).toBeNull()
  expect(h.take(2, 1, 0, 79, bytes(2), t(0))).not.toBeNull()
  const others = Array.from({ length: 200 }, () => new Halves(budget))
  for (const [i, o] of others.entries())
    for (let j = 0; j < 32; j++) o.take(1, 1, 0, 2 * (i * 32 + j), bytes(1, 1000), t(0))
  expect(budget.left).toBeGreaterThanOrEqual(0)
  for (const o of [h, ...others]) o.clear()
  expect(budget.left).toBe(LIMITS.halvesBytes)
})

test('it owns what it keeps', () => {
  const h = new Halves(halvesBudget())
  const first = bytes(1)
  h.take(1, 1, 0, 7, first, t(0))
  first.fill(9)
  expect(h.take(2, 1, 0, 8, bytes(2), t(0))?.[0]).toBe(1)
})

test('the cut leaves no half longer than needed', () => {
  for (let n = 28; n < 3000; n++) {
    expect(Math.max(cutAt(n), n - cutAt(n))).toBe(Math.ceil(n / 2))
  }
})
