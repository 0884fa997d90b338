import { expect } from 'vitest'
import { millis, seconds } from '#ntm-lib/base/time.ts'
import { endpointOf } from '#test/support/route.ts'
import { test } from './mirror-mode.ts'
import { ALICE, BOB, EVE, Pair } from './pair.ts'
import { RELAY, RelayedPair } from './relayed.ts'
import { calm } from './weather.ts'
import type { Captured } from './world.ts'

const isRequest = (c: { readonly bytes: Uint8Array }): boolean => c.bytes[0] === 0x13 && ((c.bytes[1] ?? 0) & 127) === 1
const isResponse = (c: { readonly bytes: Uint8Array }): boolean =>
  c.bytes[0] === 0x13 && ((c.bytes[1] ?? 0) & 127) === 2
const sum = (list: readonly Captured[]): number => list.reduce((n, c) => n + c.bytes.length, 0)

/** Alice's request is with Bob; nothing of his has reached her. */
function answered(): Pair {
  const pair = new Pair()
  pair.direct()
  expect(
    pair.world.run(() => pair.bobPath?.isOpen === true, seconds(1)),
    pair.world.mermaid(),
  ).toBe(true)
  return pair
}

test('the acceptor seals with its answer: a packet of his is there one way after the request, not three', () => {
  const pair = answered()
  expect(pair.world.now).toBe(20)
  expect(pair.bobSays(300).ok).toBe(true)
  expect(
    pair.world.run(() => pair.alice.received.length === 1, seconds(1)),
    pair.world.mermaid(),
  ).toBe(true)
  expect(pair.world.now, pair.world.mermaid()).toBe(40)
  pair.world.wait(seconds(1))
  expect(pair.agreed).toBe(true)
  expect(pair.bobPath?.early).toBeNull()
  expect(pair.bob.story).toEqual(['opened'])
  expect(pair.bobPath?.peerEndpoint).toEqual(ALICE)
})

test('until something genuine comes the acceptor sends no more than three times what it got', () => {
  const pair = answered()
  pair.world.weather = (f) => (f.to.ip === BOB.ip ? [] : [millis(20)])
  let went = 0
  for (let i = 0; i < 50; i++) {
    if (pair.bobSays(100).ok) went++
    pair.world.wait(millis(200))
  }
  expect(went).toBeGreaterThan(0)
  // Her request, and its copy for his Knock: what she sent before the weather changed.
  const before = pair.world.captured.filter((c) => c.sender === 'alice' && isRequest(c) && c.when <= 20)
  const out = pair.world.captured.filter(
    (c) => c.sender === 'bob' && !(((c.bytes[1] ?? 0) & 127) === 4 && c.bytes[0] === 0x13),
  )
  expect(sum(out), pair.world.mermaid()).toBeLessThanOrEqual(3 * sum(before))
  // Nobody came: nothing is left of it after the time that any provisional path has.
  pair.world.wait(seconds(6))
  expect(pair.bob.story).toEqual(['opened', 'failed no-request'])
  expect(pair.bobPath).toBeNull()
})

test('a lost response: the path counts as open at one end, the next copy brings the other; later packets arrive', () => {
  const pair = new Pair()
  let responses = 0
  pair.world.weather = (f) => (isResponse(f) && responses++ === 0 ? [] : [millis(20)])
  pair.direct()
  pair.world.run(() => pair.bobPath?.isOpen === true, seconds(1))
  // What she cannot open is lost, as any packet may be.
  pair.bobSays(100)
  expect(
    pair.world.run(() => pair.bothOpen && pair.agreed, seconds(2)),
    pair.world.mermaid(),
  ).toBe(true)
  expect(pair.bob.counters.get('ntm.tunnel.answered')).toBe(1)
  pair.bobSays(100)
  pair.aliceSays(100)
  pair.world.wait(millis(100))
  expect(pair.bob.received.length).toBe(1)
  expect(pair.alice.received.length).toBe(1)
})

test('a response lost for five seconds: a fresh request takes the first answer’s place, also early', () => {
  const pair = new Pair()
  pair.world.weather = (f) => (isResponse(f) && pair.world.now < 5000 ? [] : [millis(20)])
  pair.direct()
  pair.world.wait(millis(30))
  expect(pair.bobSays(100).ok).toBe(true)
  expect(
    pair.world.run(() => pair.bothOpen && pair.agreed, seconds(7)),
    pair.world.mermaid(),
  ).toBe(true)
  pair.bobSays(100)
  pair.world.wait(millis(100))
  expect(pair.alice.received.length).toBe(1)
})

test('attack: the request of an earlier contract, replayed at a fresh one, opens nothing', () => {
  const pair = answered()
  pair.world.run(() => pair.agreed, seconds(1))
  const [old] = pair.world.captured.filter(isRequest)
  if (old === undefined) throw new Error('no request captured')
  pair.start('bob')
  pair.routes = pair.newRoutes()
  pair.installBob()
  pair.world.inject(EVE, BOB, old.bytes, millis(1))
  // Even put under the new contract's Path ID.
  const dressed = old.bytes.slice()
  new DataView(dressed.buffer).setUint16(4, Math.floor(pair.routes.contract.pathIds[0] / 2 ** 32))
  new DataView(dressed.buffer).setUint32(6, pair.routes.contract.pathIds[0] % 2 ** 32)
  pair.world.inject(EVE, BOB, dressed, millis(2))
  pair.world.wait(millis(100))
  expect(pair.bobPath?.state).toBe('provisional')
  expect(pair.bobPath?.early).toBeNull()
  expect(pair.bobSays(100).ok).toBe(false)
  expect(pair.bob.counters.get('ntm.drop.bad-tag')).toBe(1)
})

test('attack: somebody who forwards the request first gets three times its size, and the path goes to who is genuine', () => {
  const pair = new Pair()
  pair.world.weather = (f) => (isRequest(f) ? [] : [millis(20)])
  pair.direct()
  pair.world.wait(millis(10))
  const [request] = pair.world.captured.filter(isRequest)
  if (request === undefined) throw new Error('no request captured')
  pair.world.inject(EVE, BOB, request.bytes, millis(5))
  pair.world.wait(millis(10))
  expect(pair.bobPath?.early?.to).toEqual(EVE)
  for (let i = 0; i < 30; i++) pair.bobSays(100)
  pair.world.weather = calm
  expect(
    pair.world.run(() => pair.agreed && pair.bothOpen, seconds(2)),
    pair.world.mermaid(),
  ).toBe(true)
  const toEve = pair.world.captured.filter((c) => c.sender === 'bob' && c.to.ip === EVE.ip)
  expect(sum(toEve)).toBeLessThanOrEqual(3 * request.bytes.length)
  expect(sum(toEve)).toBeGreaterThan(0)
  expect(pair.bobPath?.peerEndpoint).toEqual(ALICE)
  pair.bobSays(100)
  pair.world.wait(millis(100))
  expect(pair.alice.received.length).toBe(1)
})

test('attack: copies of the request from many addresses earn nothing for the first', () => {
  const pair = answered()
  const [request] = pair.world.captured.filter(isRequest)
  if (request === undefined) throw new Error('no request captured')
  pair.world.weather = (f) => (f.from.ip === ALICE.ip ? [] : [millis(20)])
  pair.world.wait(millis(30))
  const earned = pair.bobPath?.early?.bytes
  for (let i = 0; i < 20; i++) pair.world.inject({ ...EVE, port: 7000 + i }, BOB, request.bytes, millis(1))
  pair.world.wait(millis(50))
  expect(pair.bobPath?.early?.bytes).toBe(earned)
  expect(pair.bobPath?.early?.to).toEqual(ALICE)
})

test('a newer contract does not take the place of an open path before it is proven', () => {
  const pair = answered()
  pair.world.run(() => pair.agreed, seconds(1))
  const first = pair.bobPath
  pair.routes = pair.newRoutes()
  pair.world.weather = (f) => (isResponse(f) ? [] : [millis(20)])
  pair.direct()
  pair.world.wait(seconds(2))
  expect(pair.bobPath?.state).toBe('provisional')
  expect(first?.replacedUntil).toBeNull()
  pair.world.weather = calm
  expect(
    pair.world.run(() => pair.bothOpen, seconds(5)),
    pair.world.mermaid(),
  ).toBe(true)
  expect(first?.replacedUntil).not.toBeNull()
})

test('a later epoch is sealed in only after a packet in it, as ever', () => {
  const pair = answered()
  pair.world.run(() => pair.agreed, seconds(1))
  pair.world.weather = (f) => (f.bytes[0] === 0x14 && f.bytes[3] === 2 ? [] : [millis(20)])
  pair.world.run(() => pair.bobPath?.epochs.next?.epoch === 2, seconds(140))
  expect(pair.bobPath?.epochs.next?.early).toBe(false)
  pair.bobSays(100)
  pair.world.wait(millis(100))
  expect(pair.world.captured.filter((c) => c.sender === 'bob' && c.bytes[0] === 0x14 && c.bytes[3] === 2)).toEqual([])
})

test('more is allowed to an address at which the coordinator has seen her, and to our own relay', () => {
  const seen = new Pair()
  const [candidate] = seen.routes.acceptor.peerCandidates
  if (candidate === undefined) throw new Error('a candidate')
  seen.routes = {
    ...seen.routes,
    acceptor: { ...seen.routes.acceptor, peerCandidates: [{ ...candidate, priority: 200 }] },
  }
  for (const pair of [seen, new RelayedPair()]) {
    pair.direct()
    expect(
      pair.world.run(() => pair.bobPath?.isOpen === true, seconds(1)),
      pair.world.mermaid(),
    ).toBe(true)
    for (let i = 0; i < 20; i++) expect(pair.bobSays(1000).ok).toBe(true)
    pair.world.wait(millis(100))
    expect(pair.alice.received.length, pair.world.mermaid()).toBe(20)
  }
  // From elsewhere it is three times, as ever.
  const elsewhere = new Pair()
  elsewhere.routes = {
    ...elsewhere.routes,
    acceptor: { ...elsewhere.routes.acceptor, peerCandidates: [{ ...candidate, priority: 200 }] },
  }
  elsewhere.world.move('alice', endpointOf('192.0.2.55:4330'))
  elsewhere.direct()
  expect(elsewhere.world.run(() => elsewhere.bobPath?.isOpen === true, seconds(1))).toBe(true)
  elsewhere.bobSays(1000)
  elsewhere.world.wait(millis(100))
  expect(elsewhere.alice.received).toEqual([])
})

test('through a relay too: the initiator that accepts has its packet at the opener with the response', () => {
  const pair = new RelayedPair()
  pair.installRelay()
  pair.installBob()
  pair.world.wait(millis(10))
  pair.installAlice()
  expect(
    pair.world.run(() => pair.bobPath?.isOpen === true, seconds(1)),
    pair.world.mermaid(),
  ).toBe(true)
  expect(pair.bobPath?.early?.to).toEqual(RELAY)
  expect(pair.bobSays(200).ok).toBe(true)
  expect(
    pair.world.run(() => pair.alice.received.length === 1, seconds(1)),
    pair.world.mermaid(),
  ).toBe(true)
  expect(pair.world.now).toBe(10 + 80)
})
