import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { type Instant, instant } from '#ntm-lib/base/time.ts'
import type { Machine } from '#ntm-lib/ports/machine.ts'
import { Pump } from './pump.ts'

beforeEach(() => {
  vi.useFakeTimers()
})
afterEach(() => {
  vi.useRealTimers()
})

test('an input is handled, every output performed, and one timer waits for the deadline', () => {
  const { pump, machine, said } = alarm()
  pump.feed(500)
  expect(said).toEqual(['set 500', 'again'])
  expect(vi.getTimerCount()).toBe(1)
  vi.advanceTimersByTime(499)
  expect(machine.ticks).toEqual([])
  vi.advanceTimersByTime(1)
  expect(machine.ticks).toEqual([500])
  expect(said.at(-1)).toBe('rang')
  expect(vi.getTimerCount()).toBe(0)
})

test('an earlier deadline replaces the timer, it does not add one', () => {
  const { pump, machine } = alarm()
  pump.feed(500)
  pump.feed(200)
  expect(vi.getTimerCount()).toBe(1)
  vi.advanceTimersByTime(200)
  expect(machine.ticks).toEqual([200])
})

test('a deadline beyond what a timer can hold does not fire at once', () => {
  const { pump, machine } = alarm()
  pump.feed(2 ** 33)
  vi.advanceTimersByTime(1000)
  expect(machine.ticks).toEqual([])
})

test('an output that feeds the pump is taken in its turn', () => {
  const order: string[] = []
  const machine = new Alarm()
  const pump: Pump<number, string> = new Pump(machine, clock, (out) => {
    order.push(`begin ${out}`)
    if (out === 'set 1') pump.feed(2)
    order.push(`end ${out}`)
  })
  pump.feed(1)
  expect(order).toEqual([
    'begin set 1',
    'end set 1',
    'begin again',
    'end again',
    'begin set 2',
    'end set 2',
    'begin again',
    'end again',
  ])
})

test('a perform that throws still leaves the timer set', () => {
  const machine = new Alarm()
  const pump = new Pump<number, string>(machine, clock, () => {
    throw new Error('no')
  })
  expect(() => pump.feed(100)).toThrow('no')
  expect(vi.getTimerCount()).toBe(1)
})

test('after stop nothing is handled, performed or timed', () => {
  const { pump, machine, said } = alarm()
  pump.feed(100)
  pump.stop()
  pump.feed(50)
  vi.advanceTimersByTime(1000)
  expect(machine.ticks).toEqual([])
  expect(said).toEqual(['set 100', 'again'])
  expect(vi.getTimerCount()).toBe(0)
})

const clock = { now: (): Instant => instant(performance.now() - origin()) }
const origin = (): number => start
let start = 0
beforeEach(() => {
  start = performance.now()
})

/** Rings once at the instant it is told. */
class Alarm implements Machine<number, string> {
  readonly ticks: number[] = []
  #due: Instant | null = null
  readonly #out: string[] = []

  handle(at: number): void {
    this.#due = instant(at)
    this.#out.push(`set ${at}`, 'again')
  }
  tick(now: Instant): void {
    if (this.#due === null || now < this.#due) return
    this.ticks.push(now)
    this.#due = null
    this.#out.push('rang')
  }
  deadline(): Instant | null {
    return this.#due
  }
  poll(): string | null {
    return this.#out.shift() ?? null
  }
}

function alarm(): { pump: Pump<number, string>; machine: Alarm; said: string[] } {
  const machine = new Alarm()
  const said: string[] = []
  return { pump: new Pump(machine, clock, (out) => said.push(out)), machine, said }
}
