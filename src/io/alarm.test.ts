import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { type Instant, instant } from '#ntm-lib/base/time.ts'
import { Alarm } from './alarm.ts'

beforeEach(() => {
  vi.useFakeTimers()
})
afterEach(() => {
  vi.useRealTimers()
})

test('rings once at the deadline and not before', () => {
  const { alarm, rung } = made()
  alarm.set(at(500))
  vi.advanceTimersByTime(499)
  expect(rung).toEqual([])
  vi.advanceTimersByTime(1)
  expect(rung).toEqual([500])
  vi.advanceTimersByTime(10_000)
  expect(rung).toEqual([500])
  expect(vi.getTimerCount()).toBe(0)
})

test('an earlier deadline replaces the timer, a later one keeps it and is still met', () => {
  const { alarm, rung } = made()
  alarm.set(at(500))
  alarm.set(at(200))
  alarm.set(at(900))
  expect(vi.getTimerCount()).toBe(1)
  vi.advanceTimersByTime(899)
  expect(rung).toEqual([])
  vi.advanceTimersByTime(1)
  expect(rung).toEqual([900])
})

test('no deadline, no ring; a fraction of a millisecond is never early', () => {
  const { alarm, rung } = made()
  alarm.set(at(100))
  alarm.set(null)
  vi.advanceTimersByTime(1000)
  expect(rung).toEqual([])
  alarm.set(at(1100.4))
  vi.advanceTimersByTime(100)
  expect(rung).toEqual([])
  vi.advanceTimersByTime(1)
  expect(rung).toEqual([1101])
})

test('a deadline beyond what a timer can hold does not ring at once', () => {
  const { alarm, rung } = made()
  alarm.set(at(2 ** 33))
  vi.advanceTimersByTime(1000)
  expect(rung).toEqual([])
})

test('set again from within the ring; silent once stopped', () => {
  const { alarm, rung, onRing } = made()
  onRing((now) => {
    if (now < 300) alarm.set(at(now + 100))
  })
  alarm.set(at(100))
  vi.advanceTimersByTime(1000)
  expect(rung).toEqual([100, 200, 300])
  alarm.set(at(2000))
  alarm.stop()
  alarm.set(at(3000))
  vi.advanceTimersByTime(10_000)
  expect(rung).toEqual([100, 200, 300])
})

const at = (ms: number): Instant => instant(ms)

function made(): { alarm: Alarm; rung: number[]; onRing: (f: (now: number) => void) => void } {
  const rung: number[] = []
  let then: (now: number) => void = () => {}
  const start = Date.now()
  const clock = { now: () => instant(Date.now() - start) }
  const alarm = new Alarm(clock, () => {
    rung.push(clock.now())
    then(clock.now())
  })
  return { alarm, rung, onRing: (f) => (then = f) }
}
