import { expect, test } from 'vitest'
import { IoFault } from '#io/fault.ts'
import { wallTime } from '#ntm-lib/base/time.ts'
import type { Log } from '#ntm-lib/ports/log.ts'
import { type ClockMachine, ClockSetter } from './clock-setter.ts'

const NOW = 1_800_000_000_000

/** A machine whose clock shows `today`; what was set, and what was said. */
function machine(today: number, over: Partial<ClockMachine> = {}) {
  const set: number[] = []
  const events: string[] = []
  const say = (event: string): void => void events.push(event)
  const log: Log = { debug: say, info: say, warn: say, error: say }
  const setter = new ClockSetter({
    today: () => today,
    floor: NOW - 1e9,
    isKept: async () => false,
    set: async (seconds) => void set.push(seconds),
    ...over,
  })
  const tell = async (time: number): Promise<void> => {
    setter.told(wallTime(time), log)
    await new Promise((done) => setTimeout(done, 2))
  }
  return { set, events, tell }
}

test('a clock that nobody keeps takes the coordinator’s time, forwards and backwards', async () => {
  for (const off of [-3e10, 3e10]) {
    const { set, events, tell } = machine(NOW + off)
    await tell(NOW)
    expect([set, events]).toEqual([[NOW / 1000], ['clock.set']])
  }
})

test('nothing is done for less than a minute, nor before the image was built, nor where NTP keeps the clock', async () => {
  const near = machine(NOW + 59_000)
  await near.tell(NOW)
  const early = machine(NOW)
  await early.tell(NOW - 2e9)
  const kept = machine(NOW + 3e10, { isKept: async () => true })
  await kept.tell(NOW)
  expect([near, early, kept].flatMap(({ set, events }) => [...set, ...events])).toEqual([])
})

test('a box that may not set it says so once and goes on', async () => {
  const refuse = async (): Promise<void> => {
    throw new IoFault('date', new Error('Operation not permitted'))
  }
  const { set, events, tell } = machine(0, { set: refuse })
  await tell(NOW)
  await tell(NOW)
  expect([set, events]).toEqual([[], ['clock.not-set']])
})
