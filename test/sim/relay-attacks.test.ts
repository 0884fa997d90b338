import { expect } from 'vitest'
import { millis, seconds } from '#ntm-lib/base/time.ts'
import type { CryptoSuite } from '#ntm-lib/crypto/suite.ts'
import { tunnelsOf } from '#test/support/route.ts'
import { seededCrypto } from '#test/support/seeded-crypto.ts'
import { test } from './mirror-mode.ts'
import { BOB, bob, EVE, simNetwork } from './pair.ts'
import { RELAY, RelayedPair } from './relayed.ts'
import { TunnelEnd } from './tunnel-end.ts'

/** Plenty for a busy machine; alone they take about a second. */
const LONG = { timeout: 60_000 }

function opened(wish: ConstructorParameters<typeof RelayedPair>[0] = {}): RelayedPair {
  const pair = new RelayedPair(wish)
  pair.direct()
  expect(
    pair.world.run(() => pair.bothOpen && pair.agreed, seconds(5)),
    pair.world.mermaid(),
  ).toBe(true)
  pair.world.wait(seconds(2))
  return pair
}

/** What must not change, whatever is replayed. */
const state = (pair: RelayedPair): unknown => [
  pair.alice.story,
  pair.bob.story,
  pair.alice.received.length,
  pair.bob.received.length,
  pair.alicePath?.peerEndpoint,
  pair.bobPath?.peerEndpoint,
  pair.alicePath?.epochs.cur?.epoch,
  pair.bobPath?.epochs.cur?.epoch,
  pair.alicePath?.epochs.next,
  pair.bobPath?.epochs.next,
  pair.alicePath?.leg?.bound?.place,
  pair.bobPath?.leg?.bound?.place,
  pair.bobPath?.accepted?.tryNumber,
  pair.relay.core.paths,
]

test('attack 2 over a relay: every captured datagram replayed from another address changes nothing, before and after restarts', () => {
  const pair = opened()
  for (let i = 0; i < 20; i++) {
    pair.aliceSays()
    pair.bobSays(1280)
    pair.world.wait(millis(100))
  }
  pair.world.wait(seconds(1))
  const replayAll = (): void => {
    const before = pair.world.captured.length
    const record = [...pair.world.captured]
    for (const c of record) pair.world.inject(EVE, c.to, c.bytes, millis(1))
    pair.world.wait(seconds(1.5))
    const toEve = pair.world.captured.slice(before).filter((c) => c.to.ip === EVE.ip)
    const bytes = (list: readonly { readonly bytes: Uint8Array }[]): number =>
      list.reduce((n, c) => n + c.bytes.length, 0)
    expect(bytes(toEve)).toBeLessThanOrEqual(bytes(record))
    // Nothing that is forwarded goes to her.
    expect(toEve.filter((c) => c.sender === 'relay' && c.bytes[0] !== 0x15)).toEqual([])
  }
  const before = state(pair)
  replayAll()
  expect(state(pair), pair.world.mermaid()).toEqual(before)
  pair.aliceSays()
  pair.bobSays()
  pair.world.wait(millis(200))
  expect([pair.alice.received.length, pair.bob.received.length]).toEqual([21, 21])
  pair.start('bob')
  const empty = state(pair)
  replayAll()
  expect(state(pair)).toEqual(empty)
  expect(pair.bob.tunnels.list(pair.world.now)).toEqual([])
})

test(
  'attack 4 over a relay: forged requests on a known Path ID, from the relay’s own address, cost no DH',
  LONG,
  () => {
    let dhs = 0
    const counting = (_name: string, suite: CryptoSuite): CryptoSuite => ({
      ...suite,
      x25519: (secret, theirs) => {
        dhs++
        return suite.x25519(secret, theirs)
      },
    })
    const pair = opened({ wrap: counting })
    const real = pair.world.captured.find((c) => c.sender === 'alice' && c.bytes[0] === 0x13 && c.bytes[1] === 1)
    if (real === undefined) throw new Error('no request captured')
    dhs = 0
    const forged = real.bytes.slice()
    for (let i = 0; i < 20_000; i++) {
      forged[15] = 2 + (i % 250)
      forged[3] = 2
      forged[20 + (i % 200)] = i & 0xff
      pair.bob.tunnels.handle(RELAY, forged, pair.world.now)
    }
    expect(dhs).toBe(0)
    expect(pair.bob.counters.get('ntm.drop.bad-tag')).toBe(20_000)
    pair.aliceSays()
    pair.world.wait(millis(200))
    expect(pair.bob.received.length).toBe(1)
  },
)

test('forged Challenges and Notices cost no Confirm, no Bind and no leg', () => {
  const pair = opened()
  const notice = new Uint8Array(64)
  notice.set([0x15, 4], 0)
  const id = pair.alicePath?.id ?? 0
  new DataView(notice.buffer).setUint16(4, Math.floor(id / 2 ** 32))
  new DataView(notice.buffer).setUint32(6, id % 2 ** 32)
  notice[16] = 1
  const challenge = pair.world.captured.find((c) => c.sender === 'relay' && c.bytes[0] === 0x15 && c.bytes[1] === 2)
  if (challenge === undefined) throw new Error('no challenge captured')
  const bent = challenge.bytes.slice()
  bent[20] = (bent[20] ?? 0) ^ 1
  const before = pair.alicePath?.leg
  for (const bytes of [notice, bent, bent.subarray(0, 40)]) pair.alice.tunnels.handle(RELAY, bytes, pair.world.now)
  expect(pair.alicePath?.leg).toEqual(before)
  expect(pair.alice.poll()).toBeNull()
  expect(pair.alice.counters.get('ntm.drop.bad-tag')).toBe(2)
})

test('a relay that forgot both legs: the next packet brings a Notice, and both are back before a refresh is due', () => {
  const pair = opened()
  const { pathIds } = pair.routes.contract
  pair.relay.core.release(pathIds[0])
  pair.installRelay()
  // One Notice a second for a path: the second end is told later.
  for (let i = 0; i < 5; i++) {
    pair.aliceSays(1000)
    pair.bobSays(1000)
    pair.world.wait(millis(300))
  }
  const had = [pair.alice.received.length, pair.bob.received.length]
  pair.aliceSays(1000)
  pair.bobSays(1000)
  pair.world.wait(millis(200))
  const got = [pair.alice.received.length, pair.bob.received.length].map((n, k) => n - (had[k] ?? 0))
  expect(got, pair.world.mermaid()).toEqual([1, 1])
  expect(pair.alice.counters.get('ntm.leg.notice.unbound')).toBeGreaterThan(0)
})

test('a peer with the wrong key, directly and through a relay: nothing opens, nothing is kept, and an open path runs on', () => {
  for (const way of ['direct', 'relay'] as const) {
    const pair = opened({ way, open: way === 'direct' })
    const first = pair.routes.contractHash
    pair.routes = pair.newRoutes()
    pair.overRelay()
    // Whoever sits in Bob's place has his certificate, the contract and the path secret, but not his key.
    const crypto = seededCrypto('mallory')
    const place = new TunnelEnd('mallory', tunnelsOf(crypto, simNetwork, { ...bob, static: crypto.x25519Pair() }))
    pair.world.add(place, { ...BOB, port: 4331 }, way === 'direct' ? null : pair.natB)
    pair.installRelay()
    const candidates = [{ type: 'local' as const, endpoint: { ...BOB, port: 4331 }, priority: 1 }]
    pair.routes = { ...pair.routes, opener: { ...pair.routes.opener, peerCandidates: candidates } }
    place.tunnels.install(pair.routes.acceptor, {}, pair.world.now)
    pair.installAlice()
    pair.world.wait(seconds(16))
    expect(pair.alice.story.filter((e) => e !== 'way')).toEqual(['opened', 'failed no-answer'])
    expect(place.events.filter((e) => e.out === 'opened')).toEqual([])
    expect(place.counters.get('ntm.drop.bad-handshake')).toBeGreaterThan(0)
    const old = pair.alice.tunnels.byContract(first)
    expect(old?.isOpen).toBe(true)
    expect(old?.replacedUntil).toBeNull()
    expect(pair.alice.tunnels.size).toBe(1)
  }
})

test('the leg of another direction, or of another path, is no leg of ours', () => {
  const pair = opened()
  const theirs = pair.world.captured.find((c) => c.sender === 'relay' && c.bytes[0] === 0x15 && c.bytes[1] === 0x82)
  if (theirs === undefined) throw new Error('no challenge to Bob captured')
  const before = pair.alicePath?.leg
  pair.alice.tunnels.handle(RELAY, theirs.bytes, pair.world.now)
  expect(pair.alicePath?.leg).toEqual(before)
  expect(pair.alice.counters.get('ntm.drop.wrong-direction')).toBe(1)
})
