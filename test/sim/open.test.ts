import { expect } from 'vitest'
import { millis, seconds } from '#ntm-lib/base/time.ts'
import { endpointOf } from '#test/support/route.ts'
import { test } from './mirror-mode.ts'
import { Nat, PORT_RESTRICTED, SYMMETRIC } from './nat.ts'
import { ALICE, BOB, Pair } from './pair.ts'
import { fates, knocksApart, loseFirst, storm } from './weather.ts'
import type { Captured } from './world.ts'

/** Plenty for a busy machine; alone they take about a second. */
const LONG = { timeout: 60_000 }

test('a tunnel opens in one round trip and carries packets both ways', () => {
  const pair = new Pair()
  pair.direct()
  expect(
    pair.world.run(() => pair.alicePath?.isOpen === true, seconds(1)),
    pair.world.mermaid(),
  ).toBe(true)
  expect(pair.world.now).toBe(40)
  expect(pair.aliceSays(300).ok).toBe(true)
  expect(pair.world.run(() => pair.bothOpen && pair.bob.received.length === 1, seconds(1))).toBe(true)
  expect(pair.world.now).toBe(60)
  expect(pair.bobSays(200).ok).toBe(true)
  expect(
    pair.world.run(() => pair.alice.received.length === 1, seconds(1)),
    pair.world.mermaid(),
  ).toBe(true)
  expect(pair.bob.received[0]?.length).toBe(300)
  expect(pair.alice.received[0]?.length).toBe(200)
  expect(pair.alice.story).toEqual(['opened'])
  expect(pair.bob.story).toEqual(['opened'])
})

test('a tunnel opens after two lost requests, with the same bytes each time', () => {
  const pair = new Pair({ weather: knocksApart(loseFirst(2)) })
  pair.direct()
  expect(
    pair.world.run(() => pair.bothOpen, seconds(5)),
    pair.world.mermaid(),
  ).toBe(true)
  const requests = pair.world.captured.filter((c) => c.sender === 'alice' && c.bytes[0] === 0x13)
  expect(requests.length).toBe(3)
  expect(requests[1]?.bytes).toEqual(requests[0]?.bytes)
  expect(requests[2]?.bytes).toEqual(requests[0]?.bytes)
  const [, second = 0, third = 0] = requests.map((r) => r.when)
  expect(second).toBeGreaterThanOrEqual(270)
  expect(second).toBeLessThanOrEqual(330)
  expect(third - second).toBeGreaterThanOrEqual(540)
  expect(third - second).toBeLessThanOrEqual(660)
})

test('a lost response is sent again from memory: one handshake, no second key', () => {
  const pair = new Pair({ weather: knocksApart(fates([[millis(20)], []])) })
  pair.direct()
  expect(
    pair.world.run(() => pair.bothOpen, seconds(5)),
    pair.world.mermaid(),
  ).toBe(true)
  expect(pair.bob.counters.get('ntm.tunnel.answered')).toBe(1)
  expect(pair.bob.counters.get('ntm.tunnel.duplicate-request')).toBe(1)
})

test('after five silent seconds the request is made anew with the next try', () => {
  const pair = new Pair()
  pair.installAlice()
  pair.world.wait(seconds(5.1))
  const tries = mine(pair).map((c) => c.bytes[15])
  expect(tries).toEqual([1, 1, 1, 1, 1, 2])
  const [first, last] = [mine(pair)[0]?.bytes, mine(pair).at(-1)?.bytes]
  expect(first?.subarray(16, 48)).not.toEqual(last?.subarray(16, 48))
})

test('nobody home: gives up after 15 s and leaves nothing behind', () => {
  const pair = new Pair()
  pair.installAlice()
  pair.world.wait(seconds(16))
  expect(pair.alice.story).toEqual(['failed no-answer'])
  expect(pair.alice.tunnels.list(pair.world.now)).toEqual([])
  expect(pair.alice.deadline()).toBeNull()
})

test('a direction nobody follows drains at the acceptor', () => {
  const pair = new Pair()
  pair.installBob()
  pair.world.wait(seconds(16))
  expect(pair.bob.story).toEqual(['failed no-request'])
  expect(pair.bob.deadline()).toBeNull()
})

test('a request that overtakes its direction waits for it', () => {
  const pair = new Pair()
  pair.installAlice()
  pair.world.wait(millis(200))
  expect(pair.bob.counters.get('ntm.tunnel.parked')).toBe(1)
  pair.installBob()
  expect(
    pair.world.run(() => pair.bothOpen, millis(100)),
    pair.world.mermaid(),
  ).toBe(true)
  expect(pair.alice.counters.get('ntm.tunnel.request-again')).toBe(0)
})

test('two requests parked for one path and a direction that never comes: forgotten, at most a reset', () => {
  const pair = new Pair()
  pair.installAlice()
  pair.world.wait(seconds(20))
  expect(pair.bob.deadline()).toBeNull()
  const bytes = (who: string): number =>
    pair.world.captured.filter((c) => c.sender === who).reduce((n, c) => n + c.bytes.length, 0)
  expect(bytes('bob')).toBeLessThanOrEqual(bytes('alice'))
})

test('through a NAT the opener is found at its mapped address', () => {
  for (const kind of [PORT_RESTRICTED, SYMMETRIC]) {
    const nat = new Nat(endpointOf('192.0.2.99:1').ip, kind)
    const pair = new Pair({ nat })
    pair.direct()
    expect(
      pair.world.run(() => pair.bothOpen, seconds(1)),
      pair.world.mermaid(),
    ).toBe(true)
    expect(pair.bobPath?.peerEndpoint).toEqual({ ip: nat.outer, port: 40_000 })
    pair.bobSays()
    expect(pair.world.run(() => pair.alice.received.length === 1, seconds(1))).toBe(true)
  }
})

test('it opens under loss, duplication and reordering, whatever the seed, with one key', LONG, () => {
  for (let seed = 1; seed <= 60; seed++) {
    const pair = new Pair({ seed, weather: storm(seed, { loss: 0.3, duplicate: 0.3, reorder: 0.3 }) })
    pair.direct()
    expect(
      pair.world.run(() => pair.bothOpen, seconds(15)),
      `seed ${seed}\n${pair.world.mermaid()}`,
    ).toBe(true)
    pair.world.run(() => pair.agreed, seconds(15))
    pair.world.weather = () => [millis(20)]
    pair.aliceSays()
    pair.bobSays()
    pair.world.wait(millis(100))
    expect(pair.bob.received.length, `seed ${seed}\n${pair.world.mermaid()}`).toBe(1)
    expect(pair.alice.received.length, `seed ${seed}\n${pair.world.mermaid()}`).toBe(1)
  }
})

test('requests go to every candidate until one answers, then to that one only', () => {
  const dead = endpointOf('10.0.0.5:4330')
  const pair = new Pair({ route: { acceptorAt: [dead, BOB] } })
  pair.direct()
  expect(
    pair.world.run(() => pair.bothOpen, seconds(1)),
    pair.world.mermaid(),
  ).toBe(true)
  expect(pair.world.captured.filter((c) => c.to.ip === dead.ip).length).toBe(1)
  expect(pair.alicePath?.peerEndpoint).toEqual(BOB)
  expect(pair.bobPath?.peerEndpoint).toEqual(ALICE)
})

const mine = (pair: Pair): Captured[] => pair.world.captured.filter((c) => c.sender === 'alice')
