import fc from 'fast-check'
import { expect, test } from 'vitest'
import { dice, type Fate, Lane, type Weather } from '#lab/weather.ts'

const arrivals = (weather: Weather, sends: readonly (readonly [bytes: number, at: number])[], seed = 1): Fate[] => {
  const lane = new Lane(weather, dice(seed))
  return sends.map(([bytes, at]) => lane.take(bytes, at))
}
const arrivesAt = (fate: Fate | undefined): number => (fate?.at === 'arrives' ? fate.ms : Number.NaN)

test('fair weather: a packet arrives when it is sent', () => {
  expect(arrivals({}, [[1500, 3]])).toEqual([{ at: 'arrives', ms: 3 }])
})

test('delay is added to each packet', () => {
  const sends = [[100, 0] as const, [100, 5] as const]
  expect(arrivals({ delayMs: 40 }, sends).map(arrivesAt)).toEqual([40, 45])
})

test('a rate spaces packets by their size, and sends them one after another', () => {
  // 1250 bytes are 10,000 bits: 1 ms at 10 Mbit/s.
  const sends = [[1250, 0] as const, [1250, 0] as const, [2500, 0] as const]
  expect(arrivals({ rateMbit: 10 }, sends).map(arrivesAt)).toEqual([1, 2, 4])
})

test('a full queue drops at the tail and takes again when it has drained', () => {
  const flood = Array.from({ length: 8 }, () => [1250, 0] as const)
  const fates = arrivals({ rateMbit: 10, queueMs: 3 }, [...flood, [1250, 2]])
  expect(fates.map((fate) => fate.at)).toEqual([
    ...['arrives', 'arrives', 'arrives', 'arrives'],
    ...['full', 'full', 'full', 'full'],
    'arrives',
  ])
})

test('loss loses its share, the same packets for the same seed', () => {
  const sends = Array.from({ length: 10_000 }, (_, i) => [100, i] as const)
  const fates = arrivals({ lossPercent: 10 }, sends, 7)
  const lost = fates.filter((fate) => fate.at === 'lost').length
  // Standard deviation is 30; six of them.
  expect(Math.abs(lost - 1000)).toBeLessThan(180)
  expect(arrivals({ lossPercent: 10 }, sends, 7)).toEqual(fates)
  expect(arrivals({ lossPercent: 10 }, sends, 8)).not.toEqual(fates)
})

test('jitter varies the delay within its bounds and keeps the order', () => {
  fc.assert(
    fc.property(fc.integer(), fc.array(fc.nat({ max: 20 }), { minLength: 1 }), (seed, gaps) => {
      let now = 0
      const sends = gaps.map((gap) => {
        now += gap
        return [100, now] as const
      })
      const times = arrivals({ delayMs: 50, jitterMs: 20 }, sends, seed).map(arrivesAt)
      times.forEach((time, i) => {
        const sent = sends[i]?.[1] ?? 0
        expect(time).toBeGreaterThanOrEqual(sent + 30)
        if (i > 0) expect(time).toBeGreaterThanOrEqual(times[i - 1] ?? 0)
      })
      expect(times[0]).toBeLessThanOrEqual((sends[0]?.[1] ?? 0) + 70)
    }),
  )
})

test('reordering lets some packets overtake', () => {
  const sends = Array.from({ length: 1000 }, (_, i) => [100, i] as const)
  const times = arrivals({ delayMs: 10, reorderPercent: 5 }, sends).map(arrivesAt)
  const overtaking = times.filter((time, i) => i > 0 && time < (times[i - 1] ?? 0)).length
  expect(overtaking).toBeGreaterThan(20)
  expect(overtaking).toBeLessThan(90)
})
