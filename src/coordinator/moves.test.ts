import { expect, test } from 'vitest'
import { nodeCrypto } from '#io/crypto-node.ts'
import { wallTime } from '#ntm-lib/base/time.ts'
import { ROLE_NODE } from '#ntm-lib/wire/certificate.ts'
import type { DirectionResponse, PeerMoved } from '#ntm-lib/wire/messages/direction.ts'
import type { RelayDirection } from '#ntm-lib/wire/messages/relay.ts'
import { type Box, CoordinatorWorld, ep } from '#test/support/coordinator-world.ts'

const NEW = '203.0.113.99:62000'

test('a box that moved asks: its contract stands, it hears where the peer is, and the peer hears of it at once', () => {
  const { w, a, b, contractHash } = scene()
  w.move(a, NEW, ['10.9.9.9:4330'], false)
  w.asked.length = 0
  const asked = w.askMoved(a, b)
  const answer = w.answers.get(asked) as DirectionResponse
  expect(answer).toMatchObject({ contractHash, route: null, target: null, moved: { way: 'relay' } })
  expect(answer.moved?.peerCandidates.map((c) => c.endpoint)).toContainEqual(b.at)
  expect(answer.moved?.relay?.key).toEqual(w.told.acceptorKey)
  const first = (w.take(b).message as PeerMoved).whereabouts
  // Where it speaks from is not proven yet, and the old place is no more.
  expect(first.peerCandidates.map((c) => c.endpoint)).toEqual([ep('10.9.9.9:4330')])
  expect(first.relay?.key).toEqual(w.told.openerKey)
  w.move(a, NEW, ['10.9.9.9:4330'])
  const second = (w.takeKind(b, 'peer-moved').message as PeerMoved).whereabouts
  expect(second.peerCandidates.map((c) => c.endpoint)).toEqual([ep(NEW), ep('10.9.9.9:4330')])
  expect(second.peerLocationVersion).toBeGreaterThan(first.peerLocationVersion)
  expect(w.store.contractByHash(contractHash)).not.toBeNull()
})

test('a proven move is told to all live peers without being asked, to nobody else, and only once', () => {
  const { w, a, b } = scene()
  const tt = w.terminator('tt1', '198.51.100.9:4330')
  const stranger = w.member('c', ROLE_NODE, '192.0.2.9:4330')
  w.direct(a, 'v6only.example')
  w.accept(tt)
  w.asked.length = 0
  w.move(a, NEW, ['10.9.9.9:4330'])
  for (const box of [b, tt]) expect(w.asks(box)).toEqual(['peer-moved'])
  for (const box of [a, stranger]) expect(w.asks(box)).toEqual([])
  w.asked.length = 0
  // The same place again, as every keep-alive says it, and a late copy of an older one.
  w.move(a, NEW, ['10.9.9.9:4330'])
  const { version } = a
  a.version = 1
  w.ask(a, w.registration(a))
  a.version = version
  expect(w.asked).toEqual([])
})

test('a NAT that gives another port is a move that only we see', () => {
  const { w, a, b } = scene()
  const before = whereaboutsOf(w, b, a).peerLocationVersion
  a.at = ep('203.0.113.5:61777')
  w.register(a)
  const { whereabouts } = w.takeKind(b, 'peer-moved').message as PeerMoved
  expect(whereabouts.peerCandidates.map((c) => c.endpoint)).toContainEqual(a.at)
  expect(whereabouts.peerLocationVersion).toBeGreaterThan(before)
})

test('both ends move at once: each hears of the other, the contract and the relay stay', () => {
  const { w, a, b, relay, contractHash } = scene()
  w.move(a, NEW, ['10.9.9.9:4330'], false)
  w.move(b, '[2001:db8::b]:4330', ['[2001:db8::b]:4330'], false)
  const asked = [w.askMoved(a, b), w.askMoved(b, a)]
  for (const t of asked)
    expect(w.answers.get(t)).toMatchObject({ contractHash, moved: { relay: { relay: relay.node } } })
  for (const box of [a, b]) expect(w.asks(box)).toContain('peer-moved')
  w.asked.length = 0
  w.move(a, NEW, ['10.9.9.9:4330'])
  w.move(b, '[2001:db8::b]:4330')
  const [ofB, ofA] = [a, b].map((box) => (w.takeKind(box, 'peer-moved').message as PeerMoved).whereabouts)
  expect(ofB?.peerCandidates.map((c) => c.endpoint)).toEqual([b.at])
  expect(ofA?.peerCandidates.map((c) => c.endpoint)).toContainEqual(a.at)
})

test('from a relay to a direct way and back, as the ends move', () => {
  const { w, a, b } = scene()
  w.move(a, '192.0.2.7:4330')
  expect((w.takeKind(b, 'peer-moved').message as PeerMoved).whereabouts).toMatchObject({ way: 'direct' })
  expect(whereaboutsOf(w, a, b).way).toBe('direct')
  w.asked.length = 0
  w.move(a, NEW, ['10.9.9.9:4330'])
  expect((w.takeKind(b, 'peer-moved').message as PeerMoved).whereabouts).toMatchObject({ way: 'relay' })
})

test('asked again from the same place: the relay is looked at, then given up for another, and both hear of that', () => {
  const { w, a, b, relay, told } = scene()
  const second = w.relay('relay2', '198.51.100.21:4330')
  w.askMoved(a, b)
  // The same keys: a relay that has the path keeps it, one that lost it has it again.
  expect(w.relayed(relay).message).toMatchObject({ acceptorKey: told.acceptorKey, openerKey: told.openerKey })
  w.asked.length = 0
  w.advance(1000)
  const asked = w.askMoved(a, b)
  expect(w.answers.has(asked)).toBe(false)
  const fresh = w.relayed(second).message as RelayDirection
  expect(fresh.pathIds).toEqual(told.pathIds)
  expect(fresh.acceptorKey).not.toEqual(told.acceptorKey)
  expect(w.answers.get(asked)).toMatchObject({ moved: { relay: { relay: second.node, key: fresh.acceptorKey } } })
  expect(w.take(b).message).toMatchObject({ whereabouts: { relay: { relay: second.node, key: fresh.openerKey } } })
  // The old one is kept until both have had time to leave.
  w.advance(14_000)
  expect(w.asks(relay)).toEqual([])
  w.advance(1100)
  expect(w.asks(relay)).toEqual(['relay-release'])
  expect(w.core.relayed).toBe(1)
})

test('a path that comes back to a relay it left is not taken from there', () => {
  const { w, a, b, relay } = scene()
  const second = w.relay('relay2', '198.51.100.21:4330')
  for (const to of [relay, second, relay]) {
    w.askMoved(a, b)
    w.relayed(to)
    w.advance(1000)
  }
  w.advance(20_000)
  // The second one was left last, the first one is the path's again.
  expect([w.asks(relay), w.asks(second)]).toEqual([[], ['relay-release']])
})

test('the only relay is silent when looked at, and stays until there is another', () => {
  const { w, a, b, relay, told } = scene()
  w.askMoved(a, b)
  w.advance(500)
  const second = w.relay('relay2', '198.51.100.21:4330')
  w.advance(1000)
  const asked = w.askMoved(a, b)
  expect(w.asks(relay)).toEqual([])
  w.relayed(second)
  expect(w.answers.get(asked)).toMatchObject({ moved: { relay: { relay: second.node } } })
  expect(told.acceptorKey.length).toBe(32)
})

test('a relay that started anew gets its paths with fresh keys, one that is gone loses them: both ends hear of it', () => {
  for (const how of ['anew', 'gone', 'gone for good'] as const) {
    const { w, a, b, relay, told, contractHash } = scene()
    const second = how === 'gone' ? w.relay('relay2', '198.51.100.21:4330') : relay
    if (how === 'anew') {
      relay.bootId = nodeCrypto.random(8)
      w.register(relay)
    } else w.leave(relay)
    w.advance(30)
    if (how === 'gone for good') {
      for (const box of [a, b])
        expect(w.take(box).message).toMatchObject({ contractHash, whereabouts: { way: 'direct', relay: null } })
      expect(w.core.relayed).toBe(0)
      continue
    }
    const fresh = w.relayed(second).message as RelayDirection
    expect(fresh.acceptorKey).not.toEqual(told.acceptorKey)
    for (const [box, key] of [[a, fresh.acceptorKey], [b, fresh.openerKey]] as const)
      expect(w.take(box).message, how).toMatchObject({ contractHash, whereabouts: { relay: { relay: second.node, key } } }) // biome-ignore format: pairs
    expect([w.core.provisional, w.core.relayed]).toEqual([0, 1])
  }
})

test('a relay with many paths is lost: all get another one, spread over time', () => {
  const w = new CoordinatorWorld()
  const hub = w.member('hub', ROLE_NODE, '203.0.113.200:61000', ['10.0.0.1:4330'])
  const relay = w.relay('relay1', '198.51.100.20:4330')
  const boxes = Array.from({ length: 150 }, (_, i) =>
    w.member(`n${i}`, ROLE_NODE, `203.0.113.5:${20_000 + i}`, ['10.0.0.2:4330']),
  )
  for (const box of boxes) {
    w.direct(box, hub.name)
    w.relayed(relay)
    w.accept(hub)
  }
  expect(w.core.relayed).toBe(150)
  const second = w.relay('relay2', '198.51.100.21:4330')
  w.leave(relay)
  w.advance(21)
  expect(w.asks(second).length).toBeLessThanOrEqual(128)
  w.advance(40)
  expect(w.asks(second).length).toBe(150)
  while (w.asks(second).length > 0) w.relayed(second)
  expect([w.core.provisional, w.core.relayed]).toEqual([0, 150])
  for (const box of boxes) expect(w.asks(box)).toEqual(['peer-moved'])
})

test('a silent peer: what it has to know is kept for 30 s and told when it is back, as it is then', () => {
  const { w, a, b, contractHash } = scene()
  w.leave(b)
  expect(w.answers.get(w.askMoved(a, b))).toMatchObject({ code: 'peer-silent', retryAfterMillis: 2000 })
  w.move(a, NEW, ['10.9.9.9:4330'])
  expect(w.asks(b)).toEqual([])
  w.advance(29_000)
  w.register(b)
  const told = w.takeKind(b, 'peer-moved').message as PeerMoved
  expect(told).toMatchObject({ contractHash, whereabouts: { relay: { key: w.told.openerKey } } })
  expect(told.whereabouts.peerCandidates.map((c) => c.endpoint)).toContainEqual(ep(NEW))
  w.leave(b)
  w.move(a, '192.0.2.77:4330')
  w.advance(30_001)
  w.asked.length = 0
  w.register(b)
  expect(w.asks(b)).toEqual([])
})

test('asked often in a moment: answered each time, the peer hears of it once', () => {
  const { w, a, b } = scene()
  for (let i = 0; i < 20; i++) expect(w.answers.get(w.askMoved(a, b))).toMatchObject({ moved: { way: 'relay' } })
  expect(w.asks(b)).toEqual(['peer-moved'])
})

test('without a standing contract why=moved is an ordinary direction; a stranger gets nothing', () => {
  const { w, a, b, relay, contractHash } = scene()
  const c = w.member('c', ROLE_NODE, '192.0.2.9:4330')
  w.askMoved(c, b)
  expect(w.asks(b)).toEqual(['route-direction'])
  w.accept(b)
  w.wall = wallTime(w.wall + 25 * 3_600_000)
  const asked = w.askMoved(a, b)
  w.accept(b)
  while (w.asks(relay).includes('relay-direction')) w.relayed(relay)
  expect(w.answers.get(asked)).toMatchObject({ moved: null, route: { way: 'relay' } })
  expect((w.answers.get(asked) as DirectionResponse).contractHash).not.toEqual(contractHash)
  const stranger = w.box('stranger', ROLE_NODE, '192.0.2.10:4330')
  expect(
    w.answers.get(
      w.send(c, {
        kind: 'direction-request',
        sought: { by: 'node', node: stranger.node },
        why: 'moved',
        sources: [],
        lost: new Uint8Array(32),
      }),
    ),
  ).toMatchObject({ code: 'unknown-name' })
})

test('a coordinator that restarted knows contracts but no legs: they are made when somebody asks', () => {
  const { w, a, b, relay, told, contractHash } = scene()
  w.restart()
  expect(w.answers.size).toBeGreaterThan(0)
  for (const box of [relay, a, b]) w.register(box)
  // Everybody is where he was as far as anybody knows: nobody is told.
  expect(w.asked).toEqual([])
  const asked = w.askMoved(a, b)
  const fresh = w.relayed(relay).message as RelayDirection
  expect(fresh.pathIds).toEqual(told.pathIds)
  expect(fresh.acceptorKey).not.toEqual(told.acceptorKey)
  expect(w.answers.get(asked)).toMatchObject({
    contractHash,
    route: null,
    moved: { relay: { key: fresh.acceptorKey } },
  })
  expect(w.take(b).message).toMatchObject({ whereabouts: { relay: { key: fresh.openerKey } } })
})

test('a node moves to where it needs a relay, and there is one by now', () => {
  const w = new CoordinatorWorld()
  const a = w.member('a', ROLE_NODE, '192.0.2.7:4330')
  const b = w.member('b', ROLE_NODE, '203.0.113.6:61002', ['10.0.0.2:4330'])
  const asked = w.direct(a, b.name)
  w.accept(b)
  expect(w.answers.get(asked)).toMatchObject({ route: { relay: null } })
  const relay = w.relay('relay1', '198.51.100.20:4330')
  w.move(a, NEW, ['10.9.9.9:4330'])
  w.relayed(relay)
  for (const box of [a, b])
    expect(w.take(box).message).toMatchObject({ whereabouts: { way: 'relay', relay: { relay: relay.node } } })
})

/** Two boxes behind NATs of their own with a path through a relay. */
function scene() {
  const w = new CoordinatorWorld() as CoordinatorWorld & { told: RelayDirection }
  const a = w.member('a', ROLE_NODE, '203.0.113.5:61001', ['10.0.0.2:4330'])
  const b = w.member('b', ROLE_NODE, '203.0.113.6:61002', ['10.0.0.3:4330'])
  const relay = w.relay('relay1', '198.51.100.20:4330')
  const asked = w.direct(a, b.name)
  const told = w.relayed(relay).message as RelayDirection
  w.accept(b)
  w.told = told
  const { contractHash } = w.answers.get(asked) as DirectionResponse
  return { w, a, b, relay, told, contractHash }
}

function whereaboutsOf(w: CoordinatorWorld, asker: Box, peer: Box) {
  const { moved } = w.answers.get(w.askMoved(asker, peer)) as DirectionResponse
  w.asked.length = 0
  return moved!
}
