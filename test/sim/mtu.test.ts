import fc from 'fast-check'
import { expect } from 'vitest'
import { millis, seconds } from '#ntm-lib/base/time.ts'
import { innerPacket } from '#test/support/inner.ts'
import { A4, A6, B4, B6, endpointOf } from '#test/support/route.ts'
import { test } from './mirror-mode.ts'
import { Pair, type PairWish } from './pair.ts'
import { narrow, storm } from './weather.ts'

/** Plenty for a busy machine; alone they take about a second. */
const LONG = { timeout: 60_000 }

function opened(wish: PairWish): Pair {
  const pair = new Pair(wish)
  pair.direct()
  expect(
    pair.world.run(() => pair.bothOpen && pair.agreed, seconds(10)),
    pair.world.mermaid(),
  ).toBe(true)
  return pair
}

/** Settings of boxes on a LAN with jumbo frames. */
const JUMBO = { underlayMtuBytes: 9000, innerMtuBytes: 9000 }
const SIX = { openerAt: [endpointOf('[2001:db8::1]:4330')], acceptorAt: [endpointOf('[2001:db8::2]:4330')] }

test('the search finds the path MTU to within 8 bytes, and full-size packets then travel whole', () => {
  for (const p of [1280, 1400, 1420, 1492, 1500, 4000, 9000]) {
    const pair = opened({ weather: narrow(p), alice: JUMBO, bob: JUMBO })
    pair.world.wait(seconds(40))
    const path = pair.alicePath
    if (path === null) throw new Error('gone')
    const whole = pair.alice.tunnels.wholeMtu(path)
    expect(whole, `P ${p}`).toBeLessThanOrEqual(p - 60)
    expect(whole, `P ${p}`).toBeGreaterThan(p - 60 - 9)
    expect(pair.alice.tunnels.innerMtu(path)).toBe(Math.max(1280, whole))
    expect(pair.alice.tunnels.clampMtu(path)).toBe(whole)
    const before = pair.world.captured.length
    pair.aliceSays(whole)
    pair.world.wait(millis(50))
    expect(pair.bob.received.at(-1)?.length).toBe(whole)
    expect(pair.world.captured.slice(before).filter((c) => c.bytes[0] === 0x14 && c.bytes.length > 600).length).toBe(1)
  }
})

test('attack 15: underlay 1280, 1124 and 700: every inner UDP packet of 1280 bytes arrives, from the first one on', () => {
  for (const p of [1280, 1124, 700]) {
    const pair = opened({ weather: narrow(p) })
    for (let i = 0; i < 100; i++) {
      expect(pair.aliceSays(1280).ok).toBe(true)
      expect(pair.bobSays(1280).ok).toBe(true)
      pair.world.wait(millis(100))
    }
    pair.world.wait(seconds(1))
    expect(pair.bob.received.length, `P ${p}`).toBe(100)
    expect(pair.alice.received.length, `P ${p}`).toBe(100)
  }
})

test(
  'property: every inner packet of 20…M bytes arrives unchanged for P = 700…9000, and M + 1 is refused with M',
  LONG,
  () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 700, max: 9000 }),
        fc.array(fc.nat(), { minLength: 1, maxLength: 8 }),
        fc.boolean(),
        fc.integer({ min: 0, max: 20_000 }),
        (p, picks, six, settle) => {
          const pair = opened({ weather: narrow(p), alice: JUMBO, bob: JUMBO })
          pair.world.wait(millis(settle))
          const path = pair.alicePath
          if (path === null) throw new Error('gone')
          const most = pair.alice.tunnels.innerMtu(path)
          expect(most).toBeGreaterThanOrEqual(1280)
          const smallest = six ? 48 : 28
          const sizes = [smallest, most, ...picks.map((n) => smallest + (n % (most - smallest + 1)))]
          const [from, to] = six ? [A6, B6] : [A4, B4]
          for (const size of sizes) {
            const inner = innerPacket(from, to, size)
            const had = pair.bob.received.length
            expect(pair.alice.send(path, inner, pair.world.now)).toEqual({ ok: true })
            pair.world.wait(millis(25))
            expect(pair.bob.received.length, `P ${p} size ${size} of ${most}`).toBe(had + 1)
            expect(pair.bob.received.at(-1)).toEqual(inner)
          }
          // M may have grown while time passed.
          const now = pair.alice.tunnels.innerMtu(path)
          const refused = pair.alice.send(path, innerPacket(from, to, now + 1), pair.world.now)
          expect(refused).toEqual({ ok: false, why: 'too-big', innerMtuBytes: now })
        },
      ),
      { numRuns: 25 },
    )
  },
)

test('over IPv6 the floor is the standard 1280, and 1280 still fits in halves', () => {
  const pair = new Pair({ route: SIX, weather: narrow(1280) })
  for (const [name, at] of [
    ['alice', SIX.openerAt[0]],
    ['bob', SIX.acceptorAt[0]],
  ] as const) {
    if (at !== undefined) pair.world.move(name, at)
  }
  pair.direct()
  expect(
    pair.world.run(() => pair.bothOpen, seconds(2)),
    pair.world.mermaid(),
  ).toBe(true)
  pair.aliceSays(1200)
  pair.aliceSays(1280)
  pair.world.wait(seconds(1))
  expect(pair.bob.received.map((b) => b.length)).toEqual([1200, 1280])
  const path = pair.alicePath
  expect(path === null ? 0 : pair.alice.tunnels.wholeMtu(path)).toBe(1200)
})

test('a path that becomes narrower is noticed, and packets arrive again', () => {
  const pair = opened({})
  pair.world.wait(seconds(5))
  const path = pair.alicePath
  if (path === null) throw new Error('gone')
  expect(pair.alice.tunnels.wholeMtu(path)).toBe(1440)
  pair.world.weather = narrow(1000)
  for (let i = 0; i < 100; i++) {
    pair.aliceSays(1280)
    pair.world.wait(seconds(1))
  }
  expect(pair.alice.tunnels.wholeMtu(path)).toBeLessThanOrEqual(940)
  const had = pair.bob.received.length
  pair.aliceSays(1280)
  pair.world.wait(seconds(1))
  expect(pair.bob.received.length).toBe(had + 1)
  expect(pair.alice.events.filter((e) => e.out === 'mtu').length).toBeGreaterThan(2)
})

test('a hint that large datagrams do not pass is checked at once: true ones help within seconds, false ones change nothing', () => {
  let p = 1500
  const pair = opened({ weather: (d) => narrow(p)(d) })
  const chatter = (): void => {
    pair.aliceSays(100)
    pair.bobSays(100)
    pair.world.wait(millis(500))
  }
  for (let i = 0; i < 20; i++) chatter()
  const path = pair.alicePath
  if (path === null) throw new Error('gone')
  const { tunnels } = pair.alice
  const wide = tunnels.wholeMtu(path)
  tunnels.doubtMtu(endpointOf('192.0.2.99:1').ip, pair.world.now)
  for (let i = 0; i < 20; i++) {
    if (path.peerEndpoint !== null) tunnels.doubtMtu(path.peerEndpoint.ip, pair.world.now)
    chatter()
    expect(tunnels.wholeMtu(path)).toBe(wide)
  }
  p = 1000
  if (path.peerEndpoint !== null) tunnels.doubtMtu(path.peerEndpoint.ip, pair.world.now)
  for (let i = 0; i < 8; i++) chatter()
  expect(tunnels.wholeMtu(path)).toBeLessThanOrEqual(1000 - 60)
})

test('halves under loss and reordering: what completes is right, what does not drains', () => {
  for (let seed = 1; seed <= 10; seed++) {
    const pair = opened({ seed })
    // Probes are lost, so that 1280 stays in halves.
    const weather = storm(seed, { loss: 0.2, reorder: 0.5, duplicate: 0.3 })
    const rough = narrow(1000, weather)
    pair.world.weather = rough
    const path = pair.alicePath
    if (path === null || path.mtu === null) throw new Error('gone')
    path.mtu = { ...path.mtu, good: 1000, bad: 1001, ceiling: 1000, at: 'settled', tries: 0 }
    pair.alice.touch(path, pair.world.now)
    const inner = innerPacket(A4, B4, 1280)
    for (let i = 0; i < 60; i++) {
      pair.alice.send(path, inner, pair.world.now)
      pair.world.wait(millis(5))
    }
    pair.world.wait(seconds(2))
    expect(pair.bob.received.length).toBeGreaterThan(20)
    expect(pair.bob.received.length).toBeLessThanOrEqual(60)
    for (const got of pair.bob.received) expect(got).toEqual(inner)
    expect(pair.bobPath?.halves.size).toBe(0)
  }
})
