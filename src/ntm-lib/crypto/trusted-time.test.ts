import fc from 'fast-check'
import { expect, test } from 'vitest'
import { wallTime } from '../base/time.ts'
import { floorOf, trustedTime } from './trusted-time.ts'

const MINUTE = 60_000
const NOW = 1_800_000_000_000
const time = (own: number, coordinator: number | null, floor = NOW - 1000 * MINUTE): number | null =>
  trustedTime({
    own: wallTime(own),
    floor: wallTime(floor),
    coordinator: coordinator === null ? null : wallTime(coordinator),
  })

test('its own clock counts while nothing speaks against it', () => {
  expect(time(NOW, null)).toBe(NOW)
  expect(time(NOW, NOW + 10 * MINUTE)).toBe(NOW)
  expect(time(NOW, NOW - 10 * MINUTE)).toBe(NOW)
})

test('a clock that shows a time before the floor is none, whatever the coordinator says', () => {
  expect(time(0, null)).toBeNull()
  expect(time(0, NOW)).toBeNull()
})

test('two clocks that differ are none, whichever of them is wrong', () => {
  expect(time(NOW, NOW + 10 * MINUTE + 1)).toBeNull()
  expect(time(NOW, NOW - 10 * MINUTE - 1)).toBeNull()
  expect(time(NOW, 0)).toBeNull()
})

test('the time, where there is one, is never anything but the own clock', () => {
  const clock = fc.integer({ min: 0, max: 2 ** 45 })
  fc.assert(
    fc.property(clock, fc.option(clock), clock, (own, coordinator, floor) => {
      expect([own, null]).toContain(time(own, coordinator, floor))
    }),
  )
})

test('the floor: when the program was built, where there is no membership or a damaged one', () => {
  expect(floorOf(wallTime(NOW), [])).toBe(NOW)
  expect(floorOf(wallTime(NOW), [Uint8Array.of(1, 2, 3)])).toBe(NOW)
})
