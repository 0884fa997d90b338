import { expect } from 'vitest'
import { type Millis, millis, seconds } from '#ntm-lib/base/time.ts'
import { test } from './mirror-mode.ts'
import { ALICE, EVE } from './pair.ts'
import { RELAY, RelayedPair } from './relayed.ts'
import { calm, knocksApart, storm, type Weather } from './weather.ts'

/** Plenty for a busy machine; alone they take about a second. */
const LONG = { timeout: 60_000 }

test('two ends behind symmetric NATs open through the relay in one round trip: binding costs none', () => {
  const pair = new RelayedPair()
  pair.installRelay()
  pair.installBob()
  // His answer goes to the coordinator before she is told.
  pair.world.wait(millis(10))
  pair.installAlice()
  expect(
    pair.world.run(() => pair.alicePath?.isOpen === true, seconds(1)),
    pair.world.mermaid(),
  ).toBe(true)
  // Two hops of 20 ms there, two back.
  expect(pair.world.now, pair.world.mermaid()).toBe(10 + 80)
  expect(pair.alicePath?.peerEndpoint).toEqual(RELAY)
  pair.aliceSays(300)
  pair.world.run(() => pair.bob.received.length === 1, seconds(1))
  pair.bobSays(200)
  expect(
    pair.world.run(() => pair.alice.received.length === 1, seconds(1)),
    pair.world.mermaid(),
  ).toBe(true)
  expect(pair.bob.received[0]?.length).toBe(300)
  expect(pair.bobPath?.peerEndpoint).toEqual(RELAY)
  // Nothing went past the relay.
  const past = pair.world.captured.filter((c) => c.sender !== 'relay' && c.to.ip !== RELAY.ip)
  expect(past.filter((c) => c.when < 900)).toEqual([])
})

test('a relay that is told last has kept the Binds and the request meanwhile', () => {
  const pair = new RelayedPair()
  pair.installBob()
  pair.installAlice()
  pair.world.wait(millis(60))
  pair.installRelay()
  expect(
    pair.world.run(() => pair.bothOpen, millis(200)),
    pair.world.mermaid(),
  ).toBe(true)
})

test('expected to be direct and not so: from the third copy on the relay is tried too', () => {
  const pair = new RelayedPair({ way: 'direct' })
  pair.direct()
  expect(
    pair.world.run(() => pair.bothOpen, seconds(3)),
    pair.world.mermaid(),
  ).toBe(true)
  expect(pair.world.now).toBeGreaterThan(800)
  expect(pair.world.now, pair.world.mermaid()).toBeLessThan(1100)
  expect(pair.alicePath?.peerEndpoint).toEqual(RELAY)
})

test('a relay that is not there: from the third copy on the direct way is tried too', () => {
  const pair = new RelayedPair({ open: true, weather: knocksApart(calm) })
  pair.world.remove('relay')
  pair.installBob()
  pair.installAlice()
  expect(
    pair.world.run(() => pair.bothOpen, seconds(3)),
    pair.world.mermaid(),
  ).toBe(true)
  expect(pair.world.now).toBeLessThan(1100)
})

test('a Knock shows the opener where to ask again: once for each, however often it is repeated and in whose name', () => {
  const pair = new RelayedPair({ way: 'direct', open: true })
  const isRequest = (bytes: Uint8Array): boolean => bytes[0] === 0x13 && bytes[1] === 1
  // A firewall before Bob that his own Knock opens.
  let knocked = false
  pair.world.weather = ({ bytes }) => {
    if (bytes[0] === 0x13 && bytes[1] === 0x84) knocked = true
    return isRequest(bytes) && !knocked ? [] : [millis(20)]
  }
  pair.installAlice()
  pair.world.wait(millis(5))
  pair.installBob()
  pair.world.run(() => knocked, millis(10))
  const [knock] = pair.world.captured.filter((c) => c.sender === 'bob' && c.bytes[1] === 0x84)
  if (knock === undefined) throw new Error('nobody knocked')
  expect(
    pair.world.run(() => pair.alicePath?.isOpen === true, millis(100)),
    pair.world.mermaid(),
  ).toBe(true)
  expect(pair.world.now, pair.world.mermaid()).toBeLessThan(80)

  const asking = new RelayedPair({
    way: 'direct',
    open: true,
    seed: 2,
    weather: (f) => (f.bytes[1] === 0x82 ? [] : [millis(20)]),
  })
  asking.direct()
  asking.world.wait(millis(30))
  const [copy] = asking.world.captured.filter((c) => c.sender === 'bob' && c.bytes[1] === 0x84)
  if (copy === undefined) throw new Error('nobody knocked')
  const bent = copy.bytes.slice()
  bent[15] = 9
  for (let i = 0; i < 10; i++) asking.world.inject(EVE, ALICE, i % 2 === 0 ? copy.bytes : bent, millis(1))
  asking.world.wait(millis(100))
  expect(asking.world.captured.filter((c) => c.to.ip === EVE.ip)).toEqual([])
})

test('expected to be direct and so: no request goes through the relay', () => {
  const pair = new RelayedPair({ way: 'direct', open: true })
  pair.direct()
  expect(
    pair.world.run(() => pair.bothOpen, millis(100)),
    pair.world.mermaid(),
  ).toBe(true)
  expect(pair.world.captured.filter((c) => c.to.ip === RELAY.ip && c.bytes[0] === 0x13)).toEqual([])
})

test(
  'lost Binds, Challenges, Confirms and Knocks, in every combination of each end’s first two of a kind: it opens, and data flows',
  LONG,
  () => {
    for (let code = 0; code < 3 ** 4; code++) {
      const seen = new Map<string, number>()
      // Of each kind (Bind, Challenge, Confirm, Knock) none, the first or the first two are lost, for each end.
      const weather: Weather = ({ bytes, from, to }) => {
        const kind =
          bytes[0] === 0x15 ? (bytes[1] ?? 0) & 127 : bytes[0] === 0x13 && ((bytes[1] ?? 0) & 127) === 4 ? 4 : 0
        if (kind === 0) return [millis(20)]
        const key = `${kind} ${(bytes[1] ?? 0) >> 7} ${kind === 2 ? to.ip : from.ip}`
        const nth = seen.get(key) ?? 0
        seen.set(key, nth + 1)
        const lost = Math.floor(code / 3 ** (kind - 1)) % 3
        return nth < lost ? [] : [millis(20)]
      }
      const pair = new RelayedPair({ weather })
      pair.direct()
      expect(
        pair.world.run(() => pair.bothOpen, seconds(5)),
        `${code}\n${pair.world.mermaid()}`,
      ).toBe(true)
      pair.world.wait(seconds(3))
      const had = [pair.alice.received.length, pair.bob.received.length]
      for (let i = 0; i < 5; i++) {
        pair.aliceSays(1000)
        pair.bobSays(1000)
        pair.world.wait(millis(50))
      }
      const got = [pair.alice.received.length, pair.bob.received.length].map((n, i) => n - (had[i] ?? 0))
      expect(got, `${code}\n${pair.world.mermaid()}`).toEqual([5, 5])
    }
  },
)

test('it opens through the relay under loss, duplication and reordering, whatever the seed', LONG, () => {
  for (let seed = 1; seed <= 40; seed++) {
    const pair = new RelayedPair({ seed, weather: storm(seed, { loss: 0.2, duplicate: 0.2, reorder: 0.3 }) })
    pair.direct()
    expect(
      pair.world.run(() => pair.bothOpen && pair.agreed, seconds(15)),
      `seed ${seed}\n${pair.world.mermaid()}`,
    ).toBe(true)
    pair.world.weather = calm
    // Whatever was lost of the legs has been found out meanwhile.
    pair.world.wait(seconds(25))
    const had = [pair.alice.received.length, pair.bob.received.length]
    pair.aliceSays()
    pair.bobSays()
    pair.world.wait(millis(200))
    const got = [pair.alice.received.length, pair.bob.received.length].map((n, i) => n - (had[i] ?? 0))
    expect(got, `seed ${seed}\n${pair.world.mermaid()}`).toEqual([1, 1])
  }
})

test(
  'attack 5 over a relay: requests that cross meet in one epoch within 3 s, at every interleaving of the first four datagrams',
  LONG,
  () => {
    const choices: readonly (readonly Millis[])[] = [[millis(20)], [millis(75)], []]
    const pair = new RelayedPair()
    pair.direct()
    expect(pair.world.run(() => pair.bothOpen && pair.agreed, seconds(5))).toBe(true)
    pair.world.wait(seconds(2))
    for (let code = 0; code < 3 ** 4; code++) {
      pair.world.flow.length = 0
      const list = [0, 1, 2, 3].map((i) => choices[Math.floor(code / 3 ** i) % 3] ?? [])
      const [a, b] = [pair.alicePath, pair.bobPath]
      if (a === null || b === null) throw new Error('both are open')
      const epoch = (a.epochs.cur?.epoch ?? 0) + 1
      let nth = 0
      pair.world.weather = (f) => (f.bytes[0] === 0x13 ? (list[nth++] ?? [millis(20)]) : [millis(20)])
      for (const [end, path] of [
        [pair.alice, a],
        [pair.bob, b],
      ] as const) {
        path.rekeyAt = pair.world.now
        end.touch(path, pair.world.now)
      }
      const met = pair.world.run(
        () => pair.agreed && (a.epochs.cur?.epoch ?? 0) >= epoch && b.epochs.next === null,
        seconds(3),
      )
      expect(met, `code ${code}\n${pair.world.mermaid()}`).toBe(true)
      pair.world.weather = calm
      const had = pair.alice.received.length + pair.bob.received.length
      pair.aliceSays()
      pair.bobSays()
      pair.world.wait(seconds(6))
      expect(pair.alice.received.length + pair.bob.received.length - had, `code ${code}\n${pair.world.mermaid()}`).toBe(
        2,
      )
    }
  },
)
