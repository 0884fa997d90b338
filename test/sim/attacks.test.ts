import { expect } from 'vitest'
import { type Instant, millis, seconds } from '#ntm-lib/base/time.ts'
import type { CryptoSuite } from '#ntm-lib/crypto/suite.ts'
import { ROLE_TT } from '#ntm-lib/wire/certificate.ts'
import { icmpError, innerPacket } from '#test/support/inner.ts'
import { prefixOf, testNetwork } from '#test/support/network.ts'
import { A4, A6, B4, B6, routePair } from '#test/support/route.ts'
import { seededCrypto } from '#test/support/seeded-crypto.ts'
import { test } from './mirror-mode.ts'
import { ALICE, alice, BOB, bob, EVE, Pair, type PairWish, simNetwork } from './pair.ts'
import { calm, storm } from './weather.ts'

/** Plenty for a busy machine; alone they take about a second. */
const LONG = { timeout: 60_000 }

function opened(wish: PairWish = {}): Pair {
  const pair = new Pair(wish)
  pair.direct()
  expect(
    pair.world.run(() => pair.bothOpen && pair.agreed, seconds(15)),
    pair.world.mermaid(),
  ).toBe(true)
  return pair
}

test(
  'attack 1: over restarts, rekeys and loss no (epoch, lane, counter, D) of a path is on the wire twice',
  LONG,
  () => {
    for (let seed = 1; seed <= 6; seed++) {
      const pair = opened({ seed, weather: storm(seed, { loss: 0.2, duplicate: 0.3, reorder: 0.3 }) })
      for (let i = 0; i < 300; i++) {
        pair.aliceSays(i % 3 === 0 ? 1280 : 100)
        pair.bobSays()
        pair.world.wait(seconds(1))
        // The box is killed and starts again: the old contract is gone with its memory, the coordinator makes another.
        if (i === 90 || i === 200) {
          pair.start(i === 90 ? 'bob' : 'alice')
          pair.routes = pair.newRoutes()
          pair.direct()
        }
      }
      const seen = new Map<string, string>()
      const twice: string[] = []
      for (const c of pair.world.captured) {
        if (c.bytes[0] !== 0x14) continue
        const [d, lane] = [(c.bytes[1] ?? 0) >> 7, ((c.bytes[1] ?? 0) >> 4) & 3]
        const key = `${d} ${lane} ${Buffer.from(c.bytes.subarray(2, 16)).toString('hex')}`
        if (seen.has(key)) twice.push(key)
        seen.set(key, c.sender)
      }
      expect(seen.size).toBeGreaterThan(500)
      expect(twice).toEqual([])
    }
  },
)

test('attack 1: the same route installed again after a restart never repeats a key', () => {
  const pair = opened()
  pair.aliceSays()
  pair.world.wait(seconds(1))
  // A coordinator that hands out the old contract again, against the rules: fresh ephemerals still make fresh keys.
  pair.start('alice')
  pair.start('bob')
  pair.direct()
  expect(
    pair.world.run(() => pair.bothOpen, seconds(5)),
    pair.world.mermaid(),
  ).toBe(true)
  pair.aliceSays()
  pair.world.wait(seconds(1))
  const packets = pair.world.captured.filter((c) => c.sender === 'alice' && c.bytes.length === 132)
  expect(packets.length).toBe(2)
  expect(packets[0]?.bytes.subarray(16, 116)).not.toEqual(packets[1]?.bytes.subarray(16, 116))
})

test('attack 2: every captured datagram replayed from another address changes nothing, before and after restarts', () => {
  const pair = opened()
  for (let i = 0; i < 20; i++) {
    pair.aliceSays()
    pair.bobSays(1280)
    pair.world.wait(millis(100))
  }
  pair.world.wait(seconds(1))
  const replayAll = (): void => {
    const record = [...pair.world.captured]
    for (const c of record) pair.world.inject(EVE, c.to, c.bytes, millis(1))
    // Short enough that nobody speaks by himself meanwhile.
    pair.world.wait(seconds(1.5))
  }
  const state = (): unknown => [
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
    pair.bobPath?.address?.trial,
    pair.bobPath?.accepted?.tryNumber,
    pair.bob.tunnels.list(pair.world.now).length,
  ]
  const before = state()
  replayAll()
  expect(state(), pair.world.mermaid()).toEqual(before)
  pair.start('bob')
  const empty = state()
  replayAll()
  // Alice may learn nothing from it either: Bob's resets go to Eve, and Alice would ask before believing one.
  expect(state()).toEqual(empty)
  expect(pair.bob.tunnels.list(pair.world.now)).toEqual([])
  pair.start('alice')
  replayAll()
  pair.world.wait(seconds(20))
  expect(pair.alice.tunnels.list(pair.world.now)).toEqual([])
  expect(pair.alice.deadline()).toBeNull()
  expect(pair.bob.deadline()).toBeNull()
})

test('attack 4: 100,000 forged requests on a known Path ID cost no DH and no live tunnel notices', LONG, () => {
  let dhs = 0
  const counting = (_name: string, suite: CryptoSuite): CryptoSuite => ({
    ...suite,
    x25519: (secret, theirs) => {
      dhs++
      return suite.x25519(secret, theirs)
    },
  })
  const pair = opened({ wrap: counting })
  const [real] = pair.world.captured.filter((c) => c.sender === 'alice' && c.bytes[0] === 0x13)
  if (real === undefined) throw new Error('no request captured')
  dhs = 0
  const forged = real.bytes.slice()
  const now = pair.world.now
  for (let i = 0; i < 100_000; i++) {
    forged[15] = 2 + (i % 250)
    forged[3] = 2
    forged[20 + (i % 200)] = i & 0xff
    pair.bob.tunnels.handle(EVE, forged, now)
  }
  expect(dhs).toBe(0)
  expect(pair.bob.counters.get('ntm.drop.bad-tag')).toBe(100_000)
  expect(pair.bob.poll()).toBeNull()
  pair.aliceSays()
  pair.world.wait(millis(100))
  expect(pair.bob.received.length).toBe(1)
})

test('under load a request costs a cookie first, smaller than itself, and then opens as ever', () => {
  const pair = new Pair({ bob: { handshakesPerSecond: 0 } })
  pair.direct()
  expect(
    pair.world.run(() => pair.bothOpen, seconds(2)),
    pair.world.mermaid(),
  ).toBe(true)
  const kinds = pair.world.captured.filter((c) => c.bytes[0] === 0x13).map((c) => [c.sender, (c.bytes[1] ?? 0) & 127])
  // The window of the first load count begins with the first request, so it is let in; the next one is not.
  expect(kinds.length).toBeGreaterThanOrEqual(2)
  const one = pair.alicePath
  if (one === null) throw new Error('gone')
  one.rekeyAt = pair.world.now
  pair.alice.touch(one, pair.world.now)
  expect(
    pair.world.run(() => pair.agreed && one.epochs.cur?.epoch === 2, seconds(2)),
    pair.world.mermaid(),
  ).toBe(true)
  expect(pair.bob.counters.get('ntm.tunnel.cookie-asked')).toBeGreaterThan(0)
  expect(pair.alice.counters.get('ntm.tunnel.cookie')).toBe(1)
  const cookie = pair.world.captured.find((c) => c.bytes[0] === 0x13 && ((c.bytes[1] ?? 0) & 127) === 3)
  expect(cookie?.bytes.length).toBe(64)
})

test('attack 6: inner sources of others, and ICMP errors that quote what was never sent, are dropped and counted', () => {
  const pair = opened()
  const path = pair.alicePath
  if (path === null) throw new Error('gone')
  // Alice lies: her own check is lifted as a taken-over box would lift it.
  pair.alice.lift(path, [prefixOf('0.0.0.0/0'), prefixOf('::/0')])
  const wrong: readonly (readonly [string, Uint8Array])[] = [
    ['source-not-allowed', innerPacket('198.18.0.99', B4, 60)],
    ['source-not-allowed', innerPacket('198.19.0.1', B4, 60)],
    ['source-not-allowed', innerPacket(B4, B4, 60)],
    ['source-not-allowed', innerPacket('fd12:3456:789a::99', B6, 80)],
    ['destination-not-allowed', innerPacket(A4, '198.18.0.12', 60)],
    ['destination-not-allowed', innerPacket(A6, A6, 80)],
    ['embedded-not-allowed', icmpError(A4, B4, 3, innerPacket('198.18.0.99', A4, 28))],
    ['embedded-not-allowed', icmpError(A4, B4, 11, innerPacket(B4, '198.19.0.1', 28))],
    ['embedded-not-allowed', icmpError(A6, B6, 2, innerPacket('fd12:3456:789a::99', A6, 48))],
  ]
  for (const [reason, inner] of wrong) {
    const before = pair.bob.counters.get(`ntm.drop.${reason}`)
    expect(pair.alice.send(path, inner, pair.world.now).ok, reason).toBe(true)
    pair.world.wait(millis(50))
    expect(pair.bob.counters.get(`ntm.drop.${reason}`), reason).toBe(before + 1)
  }
  expect(pair.bob.received).toEqual([])
  pair.alice.send(path, icmpError(A4, B4, 3, innerPacket(B4, A4, 28)), pair.world.now)
  pair.alice.send(path, icmpError(A6, B6, 129, innerPacket('::1', '::1', 48)), pair.world.now)
  pair.world.wait(millis(50))
  expect(pair.bob.received.length).toBe(2)
})

test('an honest end does not even send what the contract does not allow', () => {
  const pair = opened()
  const path = pair.alicePath
  if (path === null) throw new Error('gone')
  const sent = pair.alice.send(path, innerPacket('198.18.0.99', B4, 60), pair.world.now)
  expect(sent).toEqual({ ok: false, why: 'source-not-allowed' })
})

test('attack 7: ends that were told different contracts never meet', () => {
  const pair = new Pair()
  const other = pair.newRoutes()
  const now = pair.world.now
  const ids = pair.routes.contract.pathIds
  const twisted = routePair(pair.suite, simNetwork, {
    opener: alice,
    acceptor: bob,
    openerAt: [ALICE],
    acceptorAt: [BOB],
    contract: { pathIds: ids, openerAllowed: [prefixOf('198.18.0.0/24')] },
  })
  expect(other.contract.pathIds).not.toEqual(ids)
  pair.installBob()
  const route = { ...twisted.opener, pathSecret: pair.routes.opener.pathSecret }
  expect(pair.alice.tunnels.install(route, {}, now).ok).toBe(true)
  pair.world.wait(seconds(20))
  expect(pair.bob.received).toEqual([])
  expect(pair.alice.story).toEqual(['failed no-answer'])
  expect(pair.bob.story).toEqual(['failed no-request'])
})

test('attack 7: wrong peer, wrong role, wrong network, wrong addresses, used ids: refused with a reason', () => {
  const pair = new Pair()
  const now = 0 as Instant
  const { tunnels } = pair.alice
  const codeOf = (
    route: Parameters<typeof tunnels.install>[0],
    expect_: Parameters<typeof tunnels.install>[1],
  ): string => {
    const r = tunnels.install(route, expect_, now)
    return r.ok ? 'ok' : r.code
  }
  const { opener } = pair.routes
  expect(codeOf(opener, { peerName: 'carol.plant.example' })).toBe('forbidden')
  expect(codeOf(opener, { terminatorRequired: true })).toBe('forbidden')
  expect(codeOf({ ...opener, youAre: 'acceptor' }, {})).toBe('forbidden')
  expect(codeOf({ ...opener, peerChain: [] }, {})).toBe('forbidden')
  expect(codeOf({ ...opener, peerChain: alice.chain }, {})).toBe('forbidden')
  expect(codeOf({ ...opener, contract: opener.contract.subarray(1) }, {})).toMatch(/version|unsupported/)
  expect(codeOf({ ...opener, pathSecret: new Uint8Array(31) }, {})).toBe('unsupported')
  const wish = { opener: alice, acceptor: bob, openerAt: [ALICE], acceptorAt: [BOB] }
  const made = (contract: object): typeof opener => routePair(pair.suite, simNetwork, { ...wish, contract }).opener
  // The issuer that signed Bob may give node addresses only: a stolen coordinator cannot make him a server or everything.
  expect(codeOf(made({ acceptorAllowed: [prefixOf('198.19.0.0/16')] }), {})).toBe('bad-address')
  expect(codeOf(made({ acceptorAllowed: [prefixOf('0.0.0.0/0')] }), {})).toBe('bad-address')
  expect(codeOf(made({ suiteMask: 0b100 }), {})).toBe('version')
  expect(codeOf(made({ leaseSeconds: 0 }), {})).toBe('expired')
  expect(codeOf(made({ openerMembership: new Uint8Array(32) }), {})).toBe('forbidden')
  const elsewhere = testNetwork(seededCrypto('another network'))
  const carol = elsewhere.member('carol.plant.example')
  expect(codeOf(routePair(pair.suite, elsewhere, { ...wish, acceptor: carol }).opener, {})).toBe('forbidden')
  expect(codeOf(routePair(pair.suite, simNetwork, { ...wish, acceptor: carol }).opener, {})).toBe('forbidden')
  expect(tunnels.list(now)).toEqual([])

  expect(codeOf(opener, { peerName: 'bob.plant.example' })).toBe('ok')
  expect(codeOf(opener, {})).toBe('ok')
  expect(tunnels.list(now).length).toBe(1)
  expect(codeOf(made({ pathIds: pair.routes.contract.pathIds, leaseSeconds: 60 }), {})).toBe('path-id-in-use')
  const [first] = pair.routes.contract.pathIds
  const fresh = pair.newRoutes().contract.pathIds
  expect(codeOf(made({ pathIds: [fresh[0], fresh[1], fresh[2], first] }), {})).toBe('path-id-in-use')
  expect(tunnels.list(now).length).toBe(1)
})

test('a terminator passes where one is required, and its pool is found by destination', () => {
  const pair = new Pair()
  const tt = simNetwork.terminator('tt.plant.example')
  const pool = [prefixOf('198.19.0.0/16'), prefixOf('fd99::/64')]
  const route = routePair(pair.suite, simNetwork, {
    opener: alice,
    acceptor: tt,
    openerAt: [ALICE],
    acceptorAt: [BOB],
    acceptorAllowed: pool,
  })
  const r = pair.alice.tunnels.install(route.opener, { terminatorRequired: true }, pair.world.now)
  expect(r.ok && r.path.peer.roles).toBe(ROLE_TT)
  // Not open yet: nothing leads there.
  expect(pair.alice.tunnels.pathTo4(0xc6130001)).toBeNull()
})

test('nobody unauthenticated gets more bytes than he sent', () => {
  const pair = opened()
  pair.aliceSays(1280)
  pair.world.wait(seconds(1))
  const record = [...pair.world.captured]
  pair.world.captured.length = 0
  const noise = seededCrypto('noise')
  let asked = 0
  for (let i = 0; i < 500; i++) {
    const template = record[i % record.length]
    if (template === undefined) continue
    const bytes = i % 3 === 0 ? template.bytes.slice() : noise.random(1 + ((i * 37) % 300))
    if (i % 3 === 1) bytes.set(template.bytes.subarray(0, Math.min(16, bytes.length)))
    if (i % 6 === 0) bytes[6] = i & 255
    asked += bytes.length
    pair.world.inject(EVE, i % 2 === 0 ? BOB : ALICE, bytes, millis(i))
  }
  pair.world.wait(seconds(3))
  const answered = pair.world.captured.filter((c) => c.to.ip === EVE.ip).reduce((n, c) => n + c.bytes.length, 0)
  expect(answered).toBeLessThanOrEqual(asked)
  expect(answered).toBeGreaterThan(0)
  pair.world.weather = calm
  pair.aliceSays()
  pair.world.wait(millis(100))
  expect(pair.bob.received.length).toBe(2)
})
