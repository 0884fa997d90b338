import { expect } from 'vitest'
import { type Millis, millis, seconds } from '#ntm-lib/base/time.ts'
import { test } from './mirror-mode.ts'
import { Pair } from './pair.ts'
import { calm, type Flight, lcg, storm } from './weather.ts'

/** Plenty for a busy machine; alone they take about a second. */
const LONG = { timeout: 60_000 }

/** Opens the pair and waits for key confirmation on both sides. */
function opened(wish: ConstructorParameters<typeof Pair>[0] = {}): Pair {
  const pair = new Pair(wish)
  pair.direct()
  expect(
    pair.world.run(() => pair.bothOpen && pair.agreed, seconds(5)),
    pair.world.mermaid(),
  ).toBe(true)
  pair.world.wait(seconds(2))
  return pair
}

test('the opener proposes a new epoch after 120 ± 10 s and nothing is lost meanwhile', () => {
  const pair = opened()
  let sent = 0
  while (pair.world.now < 140_000) {
    if (pair.aliceSays().ok) sent++
    if (pair.bobSays().ok) sent++
    pair.world.wait(millis(50))
  }
  pair.world.wait(millis(100))
  expect(pair.alicePath?.epochs.cur?.epoch).toBe(2)
  expect(pair.bobPath?.epochs.cur?.epoch).toBe(2)
  expect(pair.alice.received.length + pair.bob.received.length).toBe(sent)
  const second = pair.world.captured.find((c) => c.sender === 'alice' && c.bytes[0] === 0x13 && c.bytes[3] === 2)
  expect(second?.when).toBeGreaterThanOrEqual(110_000)
  expect(second?.when).toBeLessThanOrEqual(130_100)
})

test('rekeys go on for an hour; both ends keep to one epoch', () => {
  const pair = opened()
  for (let minute = 1; minute <= 60; minute++) {
    pair.aliceSays()
    pair.world.wait(seconds(60))
  }
  expect(pair.agreed, pair.world.mermaid()).toBe(true)
  expect(pair.alicePath?.epochs.cur?.epoch).toBeGreaterThanOrEqual(27)
  expect(pair.alicePath?.epochs.cur?.epoch).toBeLessThanOrEqual(33)
  expect(pair.bob.received.length).toBe(60)
})

test('an opener whose requests are not heard gives way to the acceptor at 150 s', () => {
  const pair = opened()
  pair.world.weather = (f) => (isRequest(f) && f.bytes[1] === 1 ? [] : [millis(20)])
  const met = pair.world.run(() => pair.agreed && pair.alicePath?.epochs.cur?.epoch === 2, seconds(160))
  expect(met, pair.world.mermaid()).toBe(true)
  expect(pair.alice.counters.get('ntm.tunnel.crossed')).toBeGreaterThan(0)
  expect(pair.alice.story).toEqual(['opened'])
})

test('a responder seals in the new epoch only after a packet in it', () => {
  const pair = opened()
  pair.world.weather = (f) => (isFrom(f, 'alice') && f.bytes[0] === 0x14 && f.bytes[3] === 2 ? [] : [millis(20)])
  pair.world.run(() => pair.alicePath?.epochs.cur?.epoch === 2, seconds(140))
  pair.world.wait(millis(100))
  expect(pair.bobPath?.epochs.next?.epoch).toBe(2)
  const before = pair.alice.received.length
  expect(pair.bobSays().ok).toBe(true)
  pair.world.wait(millis(100))
  expect(pair.alice.received.length).toBe(before + 1)
  expect(pair.world.captured.filter((c) => c.sender === 'bob' && c.bytes[0] === 0x14 && c.bytes[3] === 2)).toEqual([])
  pair.world.weather = calm
  expect(
    pair.world.run(() => pair.agreed, seconds(3)),
    pair.world.mermaid(),
  ).toBe(true)
})

test('a rekey that nobody answers ends the path before the key is 180 s old', () => {
  const pair = opened()
  pair.world.weather = () => []
  for (let i = 0; i < 200 && pair.alicePath !== null; i++) pair.world.wait(seconds(1))
  expect(pair.alice.story.at(-1)).toBe('failed no-answer')
  expect(pair.world.now).toBeLessThanOrEqual(192_000)
  pair.world.wait(seconds(60))
  expect(pair.bobPath).toBeNull()
  expect(pair.bob.deadline()).toBeNull()
})

/**
 * Attack test 5. Both ends propose, `gap` ms apart; `fate` decides about each datagram from now on. The pair may have crossed
 * before: it goes on from the epoch it has.
 */
function cross(pair: Pair, fate: (nth: number) => readonly Millis[], gap: number, bobFirst: boolean): number {
  let nth = 0
  pair.world.weather = () => fate(nth++)
  const [a, b] = [pair.alicePath, pair.bobPath]
  if (a === null || b === null) throw new Error('not open')
  ;(bobFirst ? b : a).rekeyAt = pair.world.now
  ;(bobFirst ? a : b).rekeyAt = (pair.world.now + gap) as typeof pair.world.now
  pair.alice.touch(a, pair.world.now)
  pair.bob.touch(b, pair.world.now)
  return a.epochs.cur?.epoch ?? 0
}

const metAfter = (pair: Pair, epoch: number): boolean => pair.agreed && (pair.alicePath?.epochs.cur?.epoch ?? 0) > epoch

/** One packet each way; both must arrive. */
function bothHear(pair: Pair, story: string): void {
  const had = [pair.alice.received.length, pair.bob.received.length]
  expect([pair.aliceSays().ok, pair.bobSays().ok], story).toEqual([true, true])
  pair.world.wait(millis(100))
  const got = [pair.alice.received.length, pair.bob.received.length]
  expect(got, `${story}\n${pair.world.mermaid()}`).toEqual(had.map((n) => n + 1))
}

test(
  'attack 5: requests that cross meet in one epoch within 3 s, at every interleaving of the first four datagrams',
  LONG,
  () => {
    const choices: readonly (readonly Millis[])[] = [[millis(20)], [millis(75)], []]
    const pair = opened()
    for (let code = 0; code < 3 ** 4; code++) {
      const list = [0, 1, 2, 3].map((i) => choices[Math.floor(code / 3 ** i) % 3] ?? [])
      for (const gap of [0, 30]) {
        pair.world.flow.length = 0
        const epoch = cross(pair, (nth) => list[nth] ?? [millis(20)], gap, code % 2 === 0)
        const met = pair.world.run(() => metAfter(pair, epoch), seconds(3))
        expect(met, `code ${code} gap ${gap}\n${pair.world.mermaid()}`).toBe(true)
        bothHear(pair, `code ${code} gap ${gap}`)
        // Late copies land, and whatever was asked once more is answered.
        pair.world.wait(seconds(2))
      }
    }
  },
)

test('attack 5: requests that cross under 30 % loss never lock each other out', LONG, () => {
  let late = 0
  const runs = 100
  const pair = opened()
  for (let seed = 1; seed <= runs; seed++) {
    pair.world.flow.length = 0
    const weather = storm(seed, { loss: 0.3, duplicate: 0.1, reorder: 0.3 })
    const chance = lcg(seed + 999)
    const epoch = cross(pair, (nth) => weather({ nth } as Flight), Math.floor(chance() * 60), chance() < 0.5)
    const start = pair.world.now
    const met = pair.world.run(() => metAfter(pair, epoch), seconds(20))
    expect(met, `seed ${seed}\n${pair.world.mermaid()}`).toBe(true)
    if (pair.world.now - start > 3000) late++
    pair.world.weather = calm
    pair.world.wait(seconds(1))
    bothHear(pair, `seed ${seed}`)
    pair.world.wait(seconds(6))
  }
  // Four copies of a request fit into 3 s; 0.3⁴ of the time none arrives, and the old epoch stays shared meanwhile.
  expect(late / runs).toBeLessThan(0.03)
})

test('data flows through crossing rekeys: what arrives can always be opened', LONG, () => {
  const pair = opened()
  for (let seed = 1; seed <= 30; seed++) {
    pair.world.flow.length = 0
    const weather = storm(seed, { reorder: 0.4, duplicate: 0.2 })
    const lossy = storm(seed + 50, { loss: 0.5 })
    cross(pair, () => [millis(20)], seed % 40, seed % 2 === 0)
    // Only handshakes are lost here, so that every packet's arrival can be asked for.
    pair.world.weather = (f) => (f.bytes[0] === 0x13 && lossy(f).length === 0 ? [] : weather(f))
    const had = pair.alice.received.length + pair.bob.received.length
    let sent = 0
    for (let i = 0; i < 60; i++) {
      if (pair.aliceSays().ok) sent++
      if (pair.bobSays().ok) sent++
      pair.world.wait(millis(50))
    }
    pair.world.weather = calm
    pair.world.wait(seconds(3))
    const got = pair.alice.received.length + pair.bob.received.length - had
    expect([sent, got], `seed ${seed}\n${pair.world.mermaid()}`).toEqual([120, 120])
  }
})

const isRequest = (f: Flight): boolean => f.bytes[0] === 0x13 && ((f.bytes[1] ?? 0) & 0x7f) === 1
const isFrom = (f: Flight, name: 'alice' | 'bob'): boolean => (((f.bytes[1] ?? 0) & 0x80) === 0) === (name === 'alice')
