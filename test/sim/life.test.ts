import { expect } from 'vitest'
import { millis, seconds } from '#ntm-lib/base/time.ts'
import { innerPacket } from '#test/support/inner.ts'
import { A4, B4, endpointOf } from '#test/support/route.ts'
import { test } from './mirror-mode.ts'
import { Nat } from './nat.ts'
import { ALICE, BOB, EVE, Pair, type PairWish } from './pair.ts'
import { calm } from './weather.ts'

function opened(wish: PairWish = {}): Pair {
  const pair = new Pair(wish)
  pair.direct()
  expect(
    pair.world.run(() => pair.bothOpen && pair.agreed, seconds(5)),
    pair.world.mermaid(),
  ).toBe(true)
  pair.world.wait(seconds(1))
  return pair
}

test('one-way traffic is answered every 2 s by something and is never called silent', () => {
  const pair = opened()
  for (let i = 0; i < 120; i++) {
    pair.aliceSays()
    pair.world.wait(millis(500))
  }
  expect(pair.alice.story).toEqual(['opened'])
  const from = pair.world.captured.filter((c) => c.sender === 'bob' && c.when > 3000)
  expect(from.length).toBeGreaterThanOrEqual(20)
  expect(from.length).toBeLessThanOrEqual(32)
})

test('a path with flows keeps the NATs open every 20 s, from both ends: the acceptor may have knocked', () => {
  const pair = opened()
  pair.aliceSays()
  pair.world.wait(seconds(100))
  const pads = (who: string): number =>
    pair.world.captured.filter((c) => c.sender === who && c.when > 3000 && c.bytes.length === 35).length
  expect(pads('alice')).toBeGreaterThanOrEqual(3)
  expect(pads('alice')).toBeLessThanOrEqual(6)
  expect(pads('bob')).toBeGreaterThanOrEqual(3)
  expect(pads('bob')).toBeLessThanOrEqual(6)
})

test('a packet that nobody answers is owed a sign of life: it comes after 2 s, not later', () => {
  const pair = opened()
  pair.world.wait(seconds(2))
  pair.aliceSays()
  const said = pair.world.now
  pair.world.wait(seconds(11))
  const signs = pair.world.captured.filter((c) => c.sender === 'bob' && c.when > said)
  expect(signs.map((c) => c.when - said)).toEqual([2020])
})

test('what was carried is counted in whole inner packets and their bytes', () => {
  const pair = opened()
  for (let i = 0; i < 3; i++) pair.aliceSays(1280)
  pair.bobSays(200)
  pair.world.wait(seconds(1))
  const counts = (end: typeof pair.alice): unknown =>
    end.tunnels.list(pair.world.now).map((p) => [p.innerPacketsOut, p.innerBytesOut, p.innerPacketsIn, p.innerBytesIn])
  expect(counts(pair.alice)).toEqual([[3, 3840, 1, 200]])
  expect(counts(pair.bob)).toEqual([[1, 200, 3, 3840]])
})

test('silence while sending: three challenges 0.3 s apart, calls for help, and after 30 s given up, once; an answer ends it', () => {
  const pair = opened()
  pair.world.weather = () => []
  const start = pair.world.now
  const told =
    (what: string): (() => boolean) =>
    () =>
      pair.alice.story.includes(what)
  pair.aliceSays()
  expect(pair.world.run(told('astray'), seconds(20)), pair.world.mermaid()).toBe(true)
  expect(pair.world.now - start).toBe(3900)
  expect(pair.world.run(told('silent'), seconds(40)), pair.world.mermaid()).toBe(true)
  expect(pair.world.now - start).toBe(33_900)
  pair.aliceSays()
  pair.world.wait(seconds(5))
  expect(pair.alice.story).toEqual(['opened', ...Array(5).fill('astray'), 'silent'])
  expect(pair.alicePath?.isOpen).toBe(true)
  pair.world.weather = calm
  pair.bobSays()
  pair.world.wait(millis(100))
  expect([pair.alicePath?.alive?.silent, pair.alicePath?.alive?.astray]).toEqual([false, false])
})

test('a path nobody uses is closed after ten minutes, on both sides, and drains', () => {
  const pair = opened()
  pair.aliceSays()
  pair.world.wait(seconds(590))
  expect(pair.bothOpen).toBe(true)
  pair.world.wait(seconds(20))
  expect(pair.alice.story).toEqual(['opened', 'closed unused'])
  expect(pair.bob.story).toEqual(['opened', 'closed unused'])
  expect([pair.alice.deadline(), pair.bob.deadline()]).toEqual([null, null])
})

test('a lease that ends at one end ends the path at both', () => {
  const pair = opened({ route: { contract: { leaseSeconds: 60 } } })
  expect(pair.bob.tunnels.extend(pair.routes.contractHash, 3600, pair.world.now)).toBe(true)
  for (let i = 0; i < 70; i++) {
    pair.aliceSays()
    pair.world.wait(seconds(1))
  }
  expect(pair.alice.story).toEqual(['opened', 'closed expired'])
  expect(pair.bob.story).toEqual(['opened', 'closed expired'])
})

test('a longer lease at both ends keeps the path', () => {
  const pair = opened({ route: { contract: { leaseSeconds: 60 } } })
  for (const end of [pair.alice, pair.bob]) {
    expect(end.tunnels.extend(pair.routes.contractHash, 3600, pair.world.now)).toBe(true)
    expect(end.tunnels.extend(new Uint8Array(32), 3600, pair.world.now)).toBe(false)
  }
  pair.aliceSays()
  pair.world.wait(seconds(70))
  expect(pair.bothOpen).toBe(true)
})

test('closing tells the peer at once', () => {
  const pair = opened()
  pair.alice.tunnels.close(pair.routes.contractHash, 'revoked', pair.world.now)
  pair.world.wait(millis(50))
  expect(pair.alice.story.at(-1)).toBe('closed revoked')
  expect(pair.bob.story.at(-1)).toBe('closed revoked')
  expect(pair.alice.tunnels.pathTo4(0xc612000b)).toBeNull()
  pair.alice.tunnels.close(pair.routes.contractHash, 'revoked', pair.world.now)
})

test('a crashed peer says so with its old token; a forged or replayed token is not believed', () => {
  const pair = opened()
  pair.world.inject(EVE, ALICE, Uint8Array.from([...resetFor(pair), ...new Uint8Array(16)]), millis(1))
  pair.world.wait(seconds(2))
  expect(pair.alice.counters.get('ntm.drop.bad-reset')).toBe(1)
  expect(pair.alicePath?.isOpen).toBe(true)

  pair.start('bob')
  pair.aliceSays()
  const at = pair.world.now
  expect(
    pair.world.run(() => pair.alice.story.includes('reset'), seconds(5)),
    pair.world.mermaid(),
  ).toBe(true)
  expect(pair.world.now - at).toBeLessThanOrEqual(500)
  expect(pair.alicePath).toBeNull()
  const token = pair.world.captured.find((c) => c.bytes[0] === 0x16)
  expect(token?.bytes.length).toBe(32)

  // The token is out. On the next path it is another one, and this one means nothing.
  pair.routes = pair.newRoutes()
  pair.direct()
  expect(pair.world.run(() => pair.bothOpen, seconds(5))).toBe(true)
  if (token !== undefined) pair.world.inject(EVE, ALICE, token.bytes, millis(1))
  pair.world.wait(seconds(2))
  expect(pair.alicePath?.isOpen).toBe(true)
})

test('a token coaxed out of the peer before it knew the path does not cut the path', () => {
  const pair = new Pair()
  pair.installAlice()
  const [request] = pair.world.captured
  expect(request).toBeUndefined()
  pair.world.wait(millis(10))
  const overtaking = pair.world.captured[0]
  if (overtaking === undefined) throw new Error('no request')
  // Eve saw the Path ID and asks Bob about it with a made-up packet before his direction comes.
  const made = new Uint8Array(40)
  made.set([0x14, 0, 0, 1])
  made.set(overtaking.bytes.subarray(4, 10), 4)
  pair.world.inject(EVE, BOB, made, millis(1))
  pair.world.wait(millis(50))
  const token = pair.world.captured.find((c) => c.bytes[0] === 0x16)
  expect(token).toBeDefined()
  pair.installBob()
  expect(pair.world.run(() => pair.bothOpen, seconds(5))).toBe(true)
  if (token !== undefined) pair.world.inject(BOB, ALICE, token.bytes, millis(1))
  pair.world.wait(seconds(2))
  expect(pair.alicePath?.isOpen).toBe(true)
  expect(pair.alice.story).toEqual(['opened'])
})

test('both boxes restart: the coordinator directs anew and the tunnel is back, the old contract gone', () => {
  const pair = opened()
  pair.start('alice')
  pair.start('bob')
  pair.routes = pair.newRoutes()
  pair.direct()
  expect(
    pair.world.run(() => pair.bothOpen, seconds(2)),
    pair.world.mermaid(),
  ).toBe(true)
  pair.aliceSays()
  pair.world.wait(millis(50))
  expect(pair.bob.received.length).toBe(1)
  expect(pair.bob.tunnels.list(pair.world.now).length).toBe(1)
})

test('one restarts: the new path takes the place of the old one at the other end', () => {
  const pair = opened()
  pair.start('alice')
  pair.routes = pair.newRoutes()
  pair.direct()
  expect(
    pair.world.run(() => pair.bothOpen, seconds(2)),
    pair.world.mermaid(),
  ).toBe(true)
  pair.world.wait(seconds(11))
  expect(pair.bob.story).toEqual(['opened', 'opened', 'closed replaced'])
  expect(pair.bob.tunnels.list(pair.world.now).length).toBe(1)
  pair.bobSays()
  pair.world.wait(millis(50))
  expect(pair.alice.received.length).toBe(1)
})

test('a contract that is renewed takes over without losing a packet', () => {
  const pair = opened()
  const old = pair.routes
  pair.routes = pair.newRoutes()
  pair.direct()
  let sent = 0
  for (let i = 0; i < 40; i++) {
    // As a role would: whatever path leads to the peer now.
    for (const [end, to] of [
      [pair.alice, 0xc612000b],
      [pair.bob, 0xc612000a],
    ] as const) {
      const path = end.tunnels.pathTo4(to)
      const [from, at] = end === pair.alice ? [A4, B4] : [B4, A4]
      if (path !== null && end.send(path, innerPacket(from, at, 100), pair.world.now).ok) sent++
    }
    pair.world.wait(millis(3))
  }
  pair.world.wait(seconds(1))
  expect(sent).toBe(80)
  expect(pair.alice.received.length + pair.bob.received.length, pair.world.mermaid()).toBe(80)
  pair.world.wait(seconds(10))
  expect(pair.alice.tunnels.byContract(old.contractHash)).toBeNull()
  expect(pair.bob.tunnels.byContract(old.contractHash)).toBeNull()
})

test('a bound address follows its path, and its successor', () => {
  const pair = opened()
  const [server, path] = [endpointOf('198.19.0.7:1').ip, pair.alicePath]
  if (path === null) throw new Error('gone')
  expect(pair.alice.tunnels.pathTo(server)).toBeNull()
  pair.alice.tunnels.bind(server, path)
  expect(pair.alice.tunnels.pathTo(server)).toBe(path)
  pair.routes = pair.newRoutes()
  pair.direct()
  pair.world.wait(seconds(1))
  expect(pair.alice.tunnels.pathTo(server)).toBe(pair.alicePath)
  pair.alice.tunnels.close(pair.routes.contractHash, 'unused', pair.world.now)
  expect(pair.alice.tunnels.pathTo(server)).toBeNull()
})

test('a NAT that forgets its mappings costs one round trip, not the tunnel', () => {
  const nat = new Nat(endpointOf('192.0.2.99:1').ip)
  const pair = opened({ nat })
  nat.rebind()
  pair.aliceSays()
  expect(
    pair.world.run(() => pair.bob.counters.get('ntm.tunnel.moved') === 1, seconds(1)),
    pair.world.mermaid(),
  ).toBe(true)
  expect(pair.bobPath?.peerEndpoint).toEqual({ ip: nat.outer, port: 40_001 })
  pair.bobSays()
  pair.world.wait(millis(50))
  expect(pair.alice.received.length).toBe(1)
  expect(pair.bob.story).toEqual(['opened'])
})

test('a box that moves to another uplink keeps its tunnels', () => {
  const pair = opened()
  const elsewhere = endpointOf('[2001:db8::77]:4330')
  pair.world.move('alice', elsewhere)
  pair.aliceSays()
  pair.world.wait(millis(200))
  expect(pair.bobPath?.peerEndpoint).toEqual(elsewhere)
  pair.bobSays(1280)
  pair.world.wait(millis(100))
  expect(pair.alice.received.length).toBe(1)
})

test('attack 9 (basic): somebody who forwards copies gets at most three times what he sent and loses the path again', () => {
  const pair = opened()
  pair.world.weather = (f) =>
    f.from.ip === ALICE.ip && f.bytes[0] === 0x14 && f.bytes.length > 100 ? [] : [millis(20)]
  pair.aliceSays()
  pair.world.wait(millis(1))
  const stolen = pair.world.captured.at(-1)
  if (stolen === undefined) throw new Error('nothing sent')
  pair.world.inject(EVE, BOB, stolen.bytes, millis(1))
  pair.world.weather = calm
  pair.world.wait(millis(100))
  for (let i = 0; i < 5; i++) {
    pair.aliceSays()
    pair.bobSays()
    pair.world.wait(millis(100))
  }
  expect(pair.bobPath?.peerEndpoint).toEqual(ALICE)
  expect(pair.bobPath?.address?.trial).toBeNull()
  // What the allowance bought went to Eve and is lost; everything after it came.
  expect(pair.alice.received.length).toBeGreaterThanOrEqual(4)
  const leaked = pair.world.captured.filter((c) => c.to.ip === EVE.ip).reduce((n, c) => n + c.bytes.length, 0)
  expect(leaked).toBeGreaterThan(0)
  expect(leaked).toBeLessThanOrEqual(3 * stolen.bytes.length)
})

/** Class 6 header for the path's current id. */
function resetFor(pair: Pair): Uint8Array {
  const header = new Uint8Array(16)
  header.set([0x16, 1])
  let id: number = pair.routes.contract.pathIds[0]
  for (let i = 9; i >= 4; i--) {
    header[i] = id % 256
    id = Math.floor(id / 256)
  }
  return header
}
