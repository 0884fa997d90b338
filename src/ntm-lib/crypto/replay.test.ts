import fc from 'fast-check'
import { expect, test } from 'vitest'
import { BugError } from '../base/invariant.ts'
import { REPLAY_WINDOW, REPLAY_WINDOW_FAST, ReplayWindow } from './replay.ts'

/** Everything ever committed, without forgetting; the window's rule in one line. */
class Naive {
  readonly #seen = new Set<number>()
  #newest = -1
  readonly #size: number
  constructor(size: number) {
    this.#size = size
  }
  fresh(counter: number): boolean {
    return counter > this.#newest - this.#size && !this.#seen.has(counter)
  }
  commit(counter: number): void {
    this.#seen.add(counter)
    this.#newest = Math.max(this.#newest, counter)
  }
}

const base = fc.constantFrom(0, 31, 32, 1_000_000, 2 ** 32 - 40, 2 ** 47, 2 ** 48 - 300)
const jump = fc.oneof(
  { weight: 6, arbitrary: fc.integer({ min: -140, max: 40 }) },
  { weight: 1, arbitrary: fc.integer({ min: 0, max: 5_000 }) },
)

test.each([32, 64, 128])('a window of %i agrees with a set that never forgets', (size) => {
  fc.assert(
    fc.property(base, fc.array(fc.tuple(jump, fc.boolean()), { maxLength: 120 }), (start, steps) => {
      const [real, naive] = [new ReplayWindow(size), new Naive(size)]
      let newest = start
      for (const [by, authentic] of steps) {
        const counter = Math.min(Math.max(newest + by, 0), 2 ** 48 - 1)
        expect(real.fresh(counter)).toBe(naive.fresh(counter))
        if (!authentic || !real.fresh(counter)) continue
        real.commit(counter)
        naive.commit(counter)
        newest = Math.max(newest, counter)
      }
    }),
    { numRuns: 300 },
  )
})

test.each([REPLAY_WINDOW, REPLAY_WINDOW_FAST])('in a window of %i exactly that many counters count', (size) => {
  const window = new ReplayWindow(size)
  window.commit(5)
  window.commit(size + 4)
  expect(window.fresh(5)).toBe(false)
  expect(window.fresh(6)).toBe(true)
  window.commit(size + 5)
  expect(window.fresh(6)).toBe(true)
  window.commit(size + 6)
  expect(window.fresh(6)).toBe(false)
  expect(window.fresh(7)).toBe(true)
})

test.each([1, 2, 3, 4, 5, 9])(
  'a jump over %i words clears each of them: nothing of the last round is left',
  (words) => {
    const window = new ReplayWindow(128)
    for (let counter = 0; counter < 160; counter++) window.commit(counter)
    const newest = 160 + words * 32 - 1
    window.commit(newest)
    const wrong = Array.from({ length: 127 }, (_, i) => newest - 127 + i).filter((c) => window.fresh(c) !== c >= 160)
    expect(wrong).toEqual([])
  },
)

test('looking changes nothing: a forged far counter does not close the window', () => {
  const window = new ReplayWindow()
  window.commit(10)
  expect(window.fresh(2 ** 48 - 1)).toBe(true)
  expect(window.fresh(9)).toBe(true)
  expect(window.fresh(10)).toBe(false)
  expect(window.newest).toBe(10)
})

test('counters from the first to the last of 48 bits pass once each', () => {
  const window = new ReplayWindow(64)
  for (const counter of [0, 1, 2 ** 31, 2 ** 32, 2 ** 48 - 2, 2 ** 48 - 1]) {
    expect(window.fresh(counter)).toBe(true)
    window.commit(counter)
    expect(window.fresh(counter)).toBe(false)
  }
})

test('committing twice, or a window of another size, is our bug', () => {
  const window = new ReplayWindow()
  window.commit(3)
  expect(() => window.commit(3)).toThrow(BugError)
  for (const size of [0, 33, REPLAY_WINDOW_FAST + 32]) expect(() => new ReplayWindow(size)).toThrow(BugError)
})
