import { expect, test } from 'vitest'
import { nodeId } from '#ntm-lib/addr/ids.ts'
import { millis, seconds } from '#ntm-lib/base/time.ts'
import type { PathClose, Whereabouts } from '#ntm-lib/wire/messages/direction.ts'
import { innerPacket } from '#test/support/inner.ts'
import { A4, B4, endpointOf, routePair } from '#test/support/route.ts'
import { Desk } from './desk.ts'
import { Nat } from './nat.ts'
import { ALICE, alice, BOB, bob, simNetwork } from './pair.ts'
import { RELAY } from './relayed.ts'

const WIFI = { ifindex: 2, ip: endpointOf('192.0.2.1:1').ip }
const LTE = { ifindex: 3, ip: endpointOf('192.0.2.44:1').ip }
const ELSEWHERE = endpointOf('192.0.2.44:4330')

function opened(wish: ConstructorParameters<typeof Desk>[0] = {}): Desk {
  const desk = new Desk(wish)
  desk.open()
  return desk
}

const where = (desk: Desk, more: Partial<Whereabouts>): Whereabouts => {
  const { peerCandidates, peerLocationVersion, way, optimise, relay } = desk.routes.opener
  return { peerCandidates, peerLocationVersion, way, optimise, relay, ...more }
}

/** Whether a packet of each gets through. */
function talks(desk: Desk): boolean {
  const { who, world, bob: peer } = desk
  const had = [who.received.length, peer.received.length]
  who.say(desk.routes.contractHash, innerPacket(A4, B4, 100), world.now)
  desk.bobSays(100)
  world.wait(millis(200))
  return who.received.length - (had[0] ?? 0) === 1 && peer.received.length - (had[1] ?? 0) === 1
}

test('a Peer Moved is answered and taken in; an older one changes nothing; one of an unknown contract is refused', () => {
  const desk = opened({ way: 'direct' })
  const path = desk.who.node.tunnels.byContract(desk.routes.contractHash)
  const at = (text: string) => [{ type: 'local' as const, endpoint: endpointOf(text), priority: 1 }]
  const { contractHash } = desk.routes
  desk.tell('newer', {
    kind: 'peer-moved',
    contractHash,
    whereabouts: where(desk, { peerLocationVersion: 7, peerCandidates: at('203.0.113.7:4330') }),
  })
  desk.must(() => desk.answers.has('newer'), seconds(1))
  expect(desk.answers.get('newer')).toEqual({ kind: 'peer-moved-response' })
  expect(path?.whereabouts.peerLocationVersion).toBe(7)
  desk.tell('older', {
    kind: 'peer-moved',
    contractHash,
    whereabouts: where(desk, { peerLocationVersion: 6, peerCandidates: at('203.0.113.66:4330') }),
  })
  desk.must(() => desk.answers.has('older'), seconds(1))
  expect(path?.whereabouts.peerLocationVersion).toBe(7)
  expect(path?.candidates).toEqual([endpointOf('203.0.113.7:4330')])
  desk.tell('strange', { kind: 'peer-moved', contractHash: new Uint8Array(32), whereabouts: where(desk, {}) })
  desk.must(() => desk.answers.has('strange'), seconds(1))
  expect(desk.answers.get('strange')).toMatchObject({ kind: 'refusal', code: 'no-route' })
  // Words move nobody: the peer is where its packets come from.
  expect(talks(desk)).toBe(true)
  expect(path?.peerEndpoint).toEqual(BOB)
})

test('a path gone astray asks the coordinator, again while it lasts, and its answer is followed', () => {
  const desk = opened({ way: 'direct' })
  desk.world.move('bob', endpointOf('198.51.100.77:4330'))
  desk.world.weather = (f) => (f.from.ip === endpointOf('198.51.100.77:4330').ip ? [] : [millis(20)])
  const start = desk.world.now
  for (let i = 0; i < 80; i++) {
    desk.who.say(desk.routes.contractHash, innerPacket(A4, B4, 100), desk.world.now)
    desk.world.wait(millis(100))
  }
  const asked = desk.asked
  expect(asked.length).toBeGreaterThanOrEqual(2)
  expect(asked.length).toBeLessThanOrEqual(5)
  expect(asked[0]).toMatchObject({ sought: { by: 'node', node: bob.nodeId }, why: 'moved', lost: new Uint8Array(32) })
  // All refused: the path is still there.
  expect(desk.who.told('path-gone')).toEqual([])
  desk.world.weather = () => [millis(20)]
  desk.onDirection = () => ({
    kind: 'direction-response',
    contractHash: desk.routes.contractHash,
    route: null,
    moved: where(desk, {
      peerLocationVersion: 9,
      peerCandidates: [{ type: 'local', endpoint: endpointOf('198.51.100.77:4330'), priority: 1 }],
    }),
    target: null,
  })
  const path = desk.who.node.tunnels.byContract(desk.routes.contractHash)
  const found = (): boolean => path?.peerEndpoint?.ip === endpointOf('198.51.100.77:4330').ip
  // He says nothing by himself.
  for (let i = 0; i < 160 && !found(); i++) {
    desk.who.say(desk.routes.contractHash, innerPacket(A4, B4, 100), desk.world.now)
    desk.world.wait(millis(100))
  }
  expect(desk.world.now - start).toBeLessThan(20_000)
  expect(path?.whereabouts.peerLocationVersion).toBe(9)
  expect(talks(desk), desk.world.mermaid()).toBe(true)
  expect(desk.who.told('path-gone')).toEqual([])
})

test('own move: NTM Update and Direction Request leave at once in the old session; refusals leave the path running', () => {
  const desk = opened({ way: 'direct' })
  desk.who.node.setVias([WIFI], desk.world.now)
  desk.world.wait(seconds(1))
  desk.heard.length = 0
  expect(talks(desk)).toBe(true)
  const hellos = () => desk.world.captured.filter((c) => c.sender === 'alice' && c.bytes[0] === 0x11).length
  const before = hellos()
  desk.world.move('alice', ELSEWHERE)
  desk.who.version++
  const at = desk.world.now
  desk.who.node.setVias([LTE], at)
  desk.must(() => desk.told('ntm-update').length > 0 && desk.asked.length > 0, millis(100))
  expect(desk.told('ntm-update')[0]?.locationVersion).toBe(2)
  expect(desk.asked[0]).toMatchObject({ sought: { by: 'node', node: bob.nodeId }, why: 'moved' })
  expect(talks(desk), desk.world.mermaid()).toBe(true)
  desk.world.wait(seconds(120))
  expect(hellos()).toBe(before)
  // Asked again with longer and longer waits, and not for ever.
  const asked = desk.asked
  expect(asked.length).toBeGreaterThanOrEqual(4)
  expect(asked.length).toBeLessThanOrEqual(7)
  expect(desk.who.told('path-gone')).toEqual([])
  expect(talks(desk)).toBe(true)
})

test('the same route again, with newer word of the peer: taken in; with older word, or the same: nothing', () => {
  const desk = opened({ way: 'direct' })
  const path = desk.who.node.tunnels.byContract(desk.routes.contractHash)
  const again = (peerLocationVersion: number, text: string): void => {
    const peerCandidates = [{ type: 'local' as const, endpoint: endpointOf(text), priority: 1 }]
    const route = { ...desk.routes.opener, peerLocationVersion, peerCandidates }
    expect(desk.who.node.tunnels.install(route, {}, desk.world.now).ok).toBe(true)
  }
  again(7, '203.0.113.7:4330')
  again(6, '203.0.113.66:4330')
  again(7, '203.0.113.66:4330')
  expect(path?.candidates).toEqual([endpointOf('203.0.113.7:4330')])
  expect(desk.who.node.tunnels.size).toBe(1)
  expect(talks(desk)).toBe(true)
})

test('the same ways again are no move', () => {
  const desk = opened({ way: 'direct' })
  desk.who.node.setVias([WIFI], desk.world.now)
  desk.world.wait(seconds(1))
  desk.heard.length = 0
  desk.who.node.setVias([{ ...WIFI }], desk.world.now)
  desk.world.wait(seconds(1))
  expect(desk.told('ntm-update')).toEqual([])
  expect(desk.asked).toEqual([])
})

test('a move that the coordinator answers with another contract: the new path is opened, the old one carries on till then', () => {
  const desk = opened({ way: 'direct' })
  desk.who.node.setVias([WIFI], desk.world.now)
  const old = desk.routes.contractHash
  expect(talks(desk)).toBe(true)
  desk.routes = desk.newRoutes()
  desk.installBob()
  desk.onDirection = () => ({
    kind: 'direction-response',
    contractHash: desk.routes.contractHash,
    route: desk.routes.opener,
    moved: null,
    target: null,
  })
  desk.world.move('alice', ELSEWHERE)
  desk.who.node.setVias([LTE], desk.world.now)
  desk.must(() => desk.who.told('path-open').length === 2, seconds(2))
  desk.world.wait(millis(50))
  expect(talks(desk)).toBe(true)
  desk.world.wait(seconds(12))
  expect(desk.who.told('path-gone').map((e) => [e.contractHash, e.why])).toEqual([[old, 'replaced']])
})

test('a move that is answered with a contract with somebody else: refused, and the path runs on', () => {
  const desk = opened({ way: 'direct' })
  desk.who.node.setVias([WIFI], desk.world.now)
  expect(talks(desk)).toBe(true)
  const eve = routePair(desk.suite, simNetwork, {
    opener: alice,
    acceptor: simNetwork.member('eve.plant.example'),
    openerAt: [ALICE],
    acceptorAt: [BOB],
  })
  desk.onDirection = () => ({
    kind: 'direction-response',
    contractHash: eve.contractHash,
    route: eve.opener,
    moved: null,
    target: null,
  })
  desk.world.move('alice', ELSEWHERE)
  desk.who.node.setVias([LTE], desk.world.now)
  desk.must(() => desk.asked.length > 0, seconds(1))
  desk.world.wait(seconds(1))
  expect(desk.who.node.tunnels.size).toBe(1)
  expect(talks(desk)).toBe(true)
})

test('an answer about another contract, with no route, changes nothing', () => {
  const desk = opened({ way: 'direct' })
  desk.who.node.setVias([WIFI], desk.world.now)
  expect(talks(desk)).toBe(true)
  const path = desk.who.node.tunnels.byContract(desk.routes.contractHash)
  const known = path?.whereabouts
  desk.onDirection = () => ({
    kind: 'direction-response',
    contractHash: new Uint8Array(32).fill(9),
    route: null,
    moved: where(desk, { peerLocationVersion: 99, peerCandidates: [] }),
    target: null,
  })
  desk.world.move('alice', ELSEWHERE)
  desk.who.node.setVias([LTE], desk.world.now)
  desk.must(() => desk.asked.length > 0, seconds(1))
  desk.world.wait(seconds(1))
  expect(path?.whereabouts).toEqual(known)
  expect(talks(desk)).toBe(true)
})

test('coordinator gone during the move: the path goes on, wishes are answered in time, and nothing piles up', () => {
  const desk = opened({ way: 'direct' })
  desk.who.node.setVias([WIFI], desk.world.now)
  expect(talks(desk)).toBe(true)
  desk.world.remove('desk')
  desk.world.move('alice', ELSEWHERE)
  const at = desk.world.now
  desk.who.node.setVias([LTE], at)
  desk.who.say(desk.routes.contractHash, innerPacket(A4, B4, 100), at)
  // One round trip, and nobody else was needed for it.
  desk.world.wait(millis(40))
  expect(talks(desk), desk.world.mermaid()).toBe(true)
  const names = Array.from({ length: 5000 }, (_, i) => `n${i}.plant.example`)
  for (const name of names) {
    desk.who.node.direct(name, { sought: { by: 'name', name }, why: 'dns', sources: [] }, desk.world.now)
  }
  desk.world.wait(millis(1))
  // More than can be answered in time is said so at once.
  expect(desk.who.told('directed').length - 1).toBe(5000 - 4096)
  desk.world.wait(seconds(2))
  const answered = desk.who.told('directed').filter((e) => e.tag !== 'bob')
  expect(answered.length).toBe(5000)
  expect(answered.every((e) => !e.result.ok && e.result.code === 'timeout')).toBe(true)
  expect(talks(desk)).toBe(true)
})

test('the session outlives a NAT that forgets: the update of the next keep-alive is enough', () => {
  const desk = opened({ way: 'direct' })
  const nat = new Nat(endpointOf('192.0.2.99:1').ip)
  desk.world.move('alice', ALICE, nat)
  desk.world.wait(seconds(25))
  nat.rebind()
  desk.heard.length = 0
  desk.world.wait(seconds(25))
  expect(desk.told('ntm-update').length).toBeGreaterThan(0)
  expect(desk.who.told('offline')).toEqual([])
  expect(desk.who.node.state).toBe('registered')
})

test('Path Close, revoked: the path ends at once, also through a relay, with its leg', () => {
  const desk = opened({ way: 'relay' })
  const path = desk.who.node.tunnels.byContract(desk.routes.contractHash)
  expect(path?.peerEndpoint).toEqual(RELAY)
  expect(talks(desk)).toBe(true)
  const close: PathClose = { kind: 'path-close', contractHash: desk.routes.contractHash, reason: 'revoked' }
  const at = desk.world.now
  desk.tell('close', close)
  desk.must(() => desk.who.told('path-gone').length > 0, millis(100))
  expect(desk.world.now - at).toBeLessThanOrEqual(20)
  expect(desk.who.told('path-gone')[0]?.why).toBe('revoked')
  // The peer hears of it through the relay.
  desk.must(() => desk.bobPath === null, millis(100))
  const sent = desk.world.captured.length
  desk.world.wait(seconds(60))
  const later = desk.world.captured.slice(sent).filter((c) => c.sender === 'alice' && c.to.ip === RELAY.ip)
  expect(later).toEqual([])
})

test('offered relays are measured and told once; again only when they are clearly farther or gone', () => {
  const desk = new Desk()
  const gone = nodeId(new Uint8Array(16).fill(8))
  const near = nodeId(new Uint8Array(16).fill(5))
  desk.offers = [
    { relay: near, endpoints: [RELAY] },
    { relay: gone, endpoints: [endpointOf('203.0.113.201:4330')] },
  ]
  desk.must(() => desk.told('ntm-update').length > 0, seconds(3))
  expect(desk.told('ntm-update')[0]?.relays).toEqual([
    { relay: near, rttMillis: 40 },
    { relay: gone, rttMillis: 65_535 },
  ])
  const updates = () => desk.told('ntm-update').length
  const before = updates()
  // A little farther than before is not worth a word.
  desk.world.weather = (f) => [millis(f.from.ip === RELAY.ip ? 23 : 20)]
  desk.world.wait(seconds(12 * 60))
  expect(desk.told('ntm-update').at(-1)?.relays[0]?.rttMillis).toBe(40)
  // Measured twice more, and no update but the keep-alives.
  const echoes = desk.world.captured.filter((c) => c.sender === 'relay' && c.bytes[1] === 6).length
  expect(echoes).toBeGreaterThanOrEqual(9)
  expect(updates() - before).toBeLessThanOrEqual(37)
  desk.world.weather = (f) => [millis(f.from.ip === RELAY.ip ? 90 : 20)]
  desk.must(() => desk.told('ntm-update').at(-1)?.relays[0]?.rttMillis === 110, seconds(400))
})

test('how busy a relay or terminator is goes with every registration', () => {
  const desk = new Desk()
  desk.who.load = 42
  desk.must(() => desk.told('registration').length > 0, seconds(1))
  expect(desk.told('registration')[0]?.loadPercent).toBe(42)
  desk.must(() => desk.who.node.state === 'registered', seconds(1))
  desk.who.load = 90
  desk.who.node.changed(desk.world.now)
  desk.must(() => desk.told('ntm-update').at(-1)?.loadPercent === 90, seconds(1))
})

test('a name of our zones is only believed of who carries it; a terminator is no node, and the other way round', () => {
  const desk = new Desk()
  desk.must(() => desk.who.node.state === 'registered', seconds(2))
  const target = { name: 'x', vip4: 1 as never, vip6: new Uint8Array(16) as never, ttlSeconds: 60, families: 3 }
  const ask = (name: string): string => {
    desk.routes = desk.newRoutes()
    desk.onDirection = () => ({
      kind: 'direction-response',
      contractHash: desk.routes.contractHash,
      route: desk.routes.opener,
      moved: null,
      target: { ...target, name },
    })
    desk.installBob()
    desk.who.node.direct(name, { sought: { by: 'name', name }, why: 'dns', sources: [] }, desk.world.now)
    desk.must(() => desk.who.told('directed').some((e) => e.tag === name), seconds(2))
    const result = desk.who.told('directed').find((e) => e.tag === name)?.result
    return result?.ok === true ? 'ok' : (result?.code ?? '')
  }
  expect(ask('eve.plant.example')).toBe('forbidden')
  expect(ask('www.example.org')).toBe('forbidden')
  expect(ask('a.b.bob.plant.example')).toBe('forbidden')
  expect(ask('plc-7.bob.plant.example')).toBe('ok')
  expect(ask('bob.plant.example')).toBe('ok')
  const tt = simNetwork.terminator('tt.plant.example')
  const viaTt = (name: string): string => {
    const route = routePair(desk.suite, simNetwork, {
      opener: alice,
      acceptor: tt,
      openerAt: [ALICE],
      acceptorAt: [BOB],
    })
    desk.onDirection = () => ({
      kind: 'direction-response',
      contractHash: route.contractHash,
      route: route.opener,
      moved: null,
      target: { ...target, name },
    })
    const tag = `tt ${name}`
    desk.who.node.direct(tag, { sought: { by: 'name', name }, why: 'dns', sources: [] }, desk.world.now)
    desk.must(() => desk.who.told('directed').some((e) => e.tag === tag), seconds(3))
    const result = desk.who.told('directed').find((e) => e.tag === tag)?.result
    return result?.ok === false ? result.code : 'ok'
  }
  // A terminator leads to the world, never to a name of ours; here nobody answers, but nobody refuses either.
  expect(viaTt('www.example.org')).toBe('timeout')
  expect(viaTt('plc.plant.example')).toBe('forbidden')
})
