import { expect, test } from 'vitest'
import { nodeCrypto } from '#io/crypto-node.ts'
import { nodeKey } from '#ntm-lib/addr/ids.ts'
import { wallTime } from '#ntm-lib/base/time.ts'
import { ROLE_BRIDGE, ROLE_NODE } from '#ntm-lib/wire/certificate.ts'
import { decodeContract } from '#ntm-lib/wire/contract.ts'
import type { DirectionResponse, PeerMoved, RouteDirection } from '#ntm-lib/wire/messages/direction.ts'
import type { RelayDirection } from '#ntm-lib/wire/messages/relay.ts'
import { type Asked, type Box, CoordinatorWorld } from '#test/support/coordinator-world.ts'

test('two boxes behind different NATs: relay and correspondent are asked at once, the initiator hears when both said yes', () => {
  const { w, a, b, relay } = scene()
  const asked = w.direct(a, b.name)
  expect(w.asked.map((x) => x.message.kind)).toEqual(['relay-direction', 'route-direction'])
  const { message: told } = w.take(relay) as { message: RelayDirection }
  const route = w.accept(b).message as RouteDirection
  expect(w.answers.has(asked)).toBe(false)
  reply(w, relay, told)
  const answer = w.answers.get(asked) as DirectionResponse
  expect([answer.route?.way, route.route.way]).toEqual(['relay', 'relay'])
  const contract = decodeContract(route.route.contract)
  expect(contract).toMatchObject({ ok: true, value: { pathIds: told.pathIds, opener: b.node } })
  // Each end has its own key, and the relay both.
  expect(answer.route?.relay).toMatchObject({ relay: relay.node, key: told.acceptorKey, endpoints: [relay.at] })
  expect(route.route.relay).toMatchObject({ relay: relay.node, key: told.openerKey, endpoints: [relay.at] })
  expect(told.acceptorKey).not.toEqual(told.openerKey)
  expect([told.acceptorKey.length, told.openerKey.length]).toEqual([32, 32])
  expect(told.leaseSeconds).toBe(86_400)
  expect([w.core.provisional, w.core.relayed]).toEqual([0, 1])
})

test('the relay says yes first: the initiator still waits for its correspondent', () => {
  const { w, a, b, relay } = scene()
  const asked = w.direct(a, b.name)
  w.relayed(relay)
  expect(w.answers.has(asked)).toBe(false)
  w.accept(b)
  expect(w.answers.get(asked)).toMatchObject({ route: { way: 'relay' } })
})

test('a relay that is full: the next one, and the correspondent hears of it', () => {
  const { w, a, b, relay } = scene()
  const second = w.relay('relay2', '198.51.100.21:4330')
  a.readings.set(relay.node, 10)
  w.register(a)
  const asked = w.direct(a, b.name)
  w.accept(b)
  w.reply(w.take(relay), { kind: 'refusal', code: 'relay-full', retryAfterMillis: 0, text: '' })
  const told = w.relayed(second).message as RelayDirection
  const { route, contractHash } = w.answers.get(asked) as DirectionResponse
  expect(route?.relay).toMatchObject({ relay: second.node, key: told.acceptorKey })
  const moved = w.take(b).message as PeerMoved
  expect(moved).toMatchObject({ kind: 'peer-moved', contractHash })
  expect(moved.whereabouts.relay).toMatchObject({ relay: second.node, key: told.openerKey })
  expect(w.core.provisional).toBe(0)
})

test('a silent relay costs 400 ms, is avoided for a while, and must forget the path when it comes to itself', () => {
  const { w, a, b, relay } = scene()
  const second = w.relay('relay2', '198.51.100.21:4330')
  a.readings.set(relay.node, 10)
  w.register(a)
  const asked = w.direct(a, b.name)
  w.accept(b)
  w.advance(399)
  expect(w.asks(second)).toEqual([])
  w.advance(1)
  expect(w.asks(second)).toEqual(['relay-direction'])
  w.relayed(second)
  expect(w.answers.get(asked)).toMatchObject({ route: { relay: { relay: second.node } } })
  const c = w.member('c', ROLE_NODE, '203.0.113.7:61003', ['10.0.0.4:4330'])
  w.direct(c, b.name)
  expect(w.asks(second)).toEqual(['relay-direction'])
  w.advance(15_000)
  expect(w.asks(relay)).toEqual(['relay-release'])
})

test('no relay takes it: two NATs are told to try alone with `ice`, refused with `seed`; a direct way needs none', () => {
  for (const optimise of ['ice', 'seed'] as const) {
    const { w, a, b, relay } = scene({ optimise })
    const open = w.member('open', ROLE_NODE, '192.0.2.7:4330')
    const asked = [b, open].map((to) => w.direct(a, to.name))
    for (const x of [w.take(relay), w.take(relay)])
      w.reply(x, { kind: 'refusal', code: 'relay-full', retryAfterMillis: 0, text: '' })
    w.accept(open)
    if (optimise === 'ice') w.accept(b)
    const [natted, direct] = asked.map((t) => w.answers.get(t))
    expect(direct).toMatchObject({ route: { way: 'direct', relay: null } })
    if (optimise === 'seed') expect(natted).toMatchObject({ kind: 'refusal', code: 'no-route' })
    else expect(natted).toMatchObject({ route: { way: 'direct', relay: null } })
    // What the correspondent was told in the hope of a yes is taken back.
    const told = w.asks(open)
    expect(told).toEqual(['peer-moved'])
    expect(w.take(open).message).toMatchObject({ whereabouts: { relay: null, way: 'direct' } })
    expect([w.core.provisional, w.core.relayed]).toEqual([0, 0])
  }
})

test('all relays silent until the patience is over: who can do without does, and nothing is left', () => {
  const { w, a, b, relay } = scene()
  w.leave(relay)
  for (const n of [1, 2, 3, 4]) w.relay(`silent${n}`, `198.51.100.3${n}:4330`)
  const asked = w.direct(a, b.name)
  w.accept(b)
  w.advance(1700)
  expect(w.answers.get(asked)).toMatchObject({ route: { way: 'direct', relay: null } })
  expect(w.trace.filter((t) => t.kind === 'relay-direction').length).toBe(3)
  expect([w.core.provisional, w.core.relayed]).toEqual([0, 0])
})

test('the time is up while a relay is still asked: who can do without does, and the late yes is answered with a release', () => {
  const w = new CoordinatorWorld()
  const pc = w.member('pc', ROLE_NODE, '192.0.2.7:4330')
  const bridge = w.member('plant', ROLE_BRIDGE, '203.0.113.5:61001', ['10.0.0.2:4330'])
  const names = ['plc', 'hmi']
  w.register(
    bridge,
    names.map((name, i) => ({ host: new Uint8Array(8).fill(i), name })),
  )
  for (const n of [1, 2]) w.relay(`relay${n}`, `198.51.100.2${n}:4330`)
  const [first, second] = names.map((name) => w.direct(pc, `${name}.${bridge.name}`))
  w.advance(1000)
  const forbidden = { kind: 'refusal', code: 'forbidden', retryAfterMillis: 0, text: '' } as const
  w.reply(w.takeKind(bridge, 'route-direction'), forbidden)
  expect(w.answers.get(first!)).toMatchObject(forbidden)
  w.accept(bridge)
  w.advance(599)
  expect(w.answers.has(second!)).toBe(false)
  w.advance(1)
  expect(w.answers.get(second!)).toMatchObject({ route: { way: 'direct', relay: null } })
  const late = w.asked.find((x) => x.message.kind === 'relay-direction')!
  w.asked.splice(w.asked.indexOf(late), 1)
  w.reply(late, { kind: 'relay-accept', endpoints: [], loadPercent: 0 })
  expect(w.asked.filter((x) => nodeKey(x.node) === nodeKey(late.node)).map((x) => x.message.kind)).toEqual([
    'relay-release',
  ])
  expect([w.core.provisional, w.core.relayed]).toEqual([0, 0])
})

test('a path lasts no longer than either membership, and an expired box is no correspondent', () => {
  const { w, a, b, relay } = scene()
  const DAY = 86_400_000
  w.wall = wallTime(w.wall + 89.5 * DAY)
  expect(w.ask(a, { kind: 'cert-renew', chain: [] })).toMatchObject({ kind: 'cert-renew-response' })
  w.register(a)
  const asked = w.direct(a, b.name)
  expect((w.relayed(relay).message as RelayDirection).leaseSeconds).toBe(43_200)
  const { route } = w.accept(b).message as RouteDirection
  expect(decodeContract(route.contract)).toMatchObject({ value: { leaseSeconds: 43_200 } })
  expect(w.answers.get(asked)).toMatchObject({ route: { relay: { leaseSeconds: 43_200 } } })
  w.wall = wallTime(w.wall + DAY)
  expect(w.answers.get(w.direct(a, b.name))).toMatchObject({ code: 'expired' })
  expect(w.answers.get(w.direct(b, a.name))).toMatchObject({ code: 'expired' })
})

test('different families meet at a relay that speaks both; one that does not is no use, and without any there is no route', () => {
  const w = new CoordinatorWorld()
  const v4 = w.member('v4', ROLE_NODE, '192.0.2.7:4330')
  const v6 = w.member('v6', ROLE_NODE, '[2001:db8::7]:4330')
  w.relay('only4', '198.51.100.20:4330')
  expect(w.answers.get(w.direct(v4, v6.name))).toMatchObject({ code: 'no-route' })
  const own = ['198.51.100.21:4330', '[2001:db8::21]:4330']
  const both = w.relay('both', own[0]!, own)
  const asked = w.direct(v4, v6.name)
  w.relayed(both)
  w.accept(v6)
  const { route } = w.answers.get(asked) as DirectionResponse
  expect(route).toMatchObject({ way: 'relay', relay: { relay: both.node } })
  expect(route?.relay?.endpoints.map((e) => e.port)).toEqual([4330, 4330])
})

test('a correspondent that refuses or is silent frees its relay at once', () => {
  const { w, a, b, relay } = scene()
  for (const how of ['refuse', 'silent'] as const) {
    const asked = w.direct(a, b.name)
    const told = w.relayed(relay).message as RelayDirection
    if (how === 'refuse') w.reply(w.take(b), { kind: 'refusal', code: 'forbidden', retryAfterMillis: 0, text: '' })
    else w.advance(1700)
    expect(w.answers.get(asked)?.kind).toBe('refusal')
    expect(w.takeKind(relay, 'relay-release').message).toMatchObject({ pathId: told.pathIds[0] })
    expect([w.core.provisional, w.core.relayed]).toEqual([0, 0])
  }
})

test('a Path ID in use is minted again, and the relay gets the new one', () => {
  const { w, a, b, relay } = scene()
  const asked = w.direct(a, b.name)
  const first = w.relayed(relay).message as RelayDirection
  w.reply(w.take(b), { kind: 'refusal', code: 'path-id-in-use', retryAfterMillis: 0, text: '' })
  expect(w.asks(relay)).toEqual(['relay-release', 'relay-direction'])
  const second = w.relayed(relay).message as RelayDirection
  expect(second.pathIds).not.toEqual(first.pathIds)
  w.accept(b)
  expect(w.answers.get(asked)).toMatchObject({ route: { relay: { key: second.acceptorKey } } })
})

test('directions that cross meet in one contract with one relay, and the other relay entry is released', () => {
  for (let round = 0; round < 8; round++) {
    const { w, a, b, relay } = scene()
    const [fromA, fromB] = [w.direct(a, b.name), w.direct(b, a.name)]
    for (const box of [a, b]) if (w.waitsFor(box)) w.accept(box)
    while (w.asks(relay).includes('relay-direction')) w.relayed(relay)
    for (const box of [a, b]) if (w.waitsFor(box)) w.accept(box)
    const answers = [fromA, fromB].map((t) => w.answers.get(t) as DirectionResponse)
    expect(answers[0]?.contractHash).toEqual(answers[1]?.contractHash)
    expect([w.core.provisional, w.core.relayed]).toEqual([0, 1])
    const made = w.trace.filter((t) => t.kind === 'relay-direction').length
    expect(w.asks(relay)).toEqual(Array.from({ length: made - 1 }, () => 'relay-release'))
  }
})

test('the contract ends: closed by an end, replaced, revoked: its relay forgets the path at once', () => {
  for (const how of ['closed', 'revoked', 'restarted', 'replaced'] as const) {
    const { w, a, b, relay } = scene()
    const { contractHash, told } = relayed(w, a, b, relay)
    if (how === 'closed') w.ask(a, { kind: 'path-close', contractHash, reason: 'unused' })
    if (how === 'revoked') w.core.revoke(b.node, w.now)
    if (how === 'restarted') {
      b.bootId = nodeCrypto.random(8)
      w.register(b)
    }
    if (how === 'replaced') {
      w.direct(a, b.name, [], contractHash)
      w.accept(b)
      w.relayed(relay)
      expect(w.core.relayed).toBe(2)
      w.advance(15_100)
    }
    expect(w.takeKind(relay, 'relay-release').message, how).toMatchObject({ pathId: told.pathIds[0] })
    expect(w.core.relayed).toBe(how === 'replaced' ? 1 : 0)
    if (how === 'revoked')
      expect(w.takeKind(a, 'path-close').message).toMatchObject({ contractHash, reason: 'revoked' })
  }
})

test('attack 12: when a box is revoked, both ends and the relay are told in the same instant', () => {
  const { w, a, b, relay } = scene()
  const tt = w.terminator('tt1', '198.51.100.9:4330')
  const { contractHash } = relayed(w, a, b, relay)
  w.direct(a, 'v6only.example')
  w.accept(tt)
  w.asked.length = 0
  w.core.revoke(a.node, w.now)
  for (const box of [b, tt]) expect(w.take(box).message).toMatchObject({ kind: 'path-close', reason: 'revoked' })
  expect(w.take(relay).message.kind).toBe('relay-release')
  expect(w.store.contractByHash(contractHash)).toBeNull()
  w.hello(a)
  expect(w.answers.get(w.askMoved(a, b))).toMatchObject({ code: 'not-registered' })
})

test('terminators have no relay; what they are told is as ever', () => {
  const { w, a } = scene()
  const tt = w.terminator('tt1', '198.51.100.9:4330')
  const asked = w.direct(a, 'v6only.example')
  expect(w.asked.map((x) => x.message.kind)).toEqual(['route-direction'])
  expect(w.accept(tt).message).toMatchObject({ route: { way: 'direct', relay: null } })
  expect(w.answers.get(asked)).toMatchObject({ route: { way: 'direct', optimise: 'seed', relay: null } })
})

test('a longer lease is told to the relay too', () => {
  const { w, a, b, relay } = scene()
  const { told } = relayed(w, a, b, relay)
  w.advance(20_000)
  w.wall = (w.wall + 7_200_000) as typeof w.wall
  w.direct(a, b.name)
  w.accept(b)
  const again = w.takeKind(relay, 'relay-direction').message as RelayDirection
  expect(again).toEqual({ ...told, leaseSeconds: 86_400 })
})

test('relays are offered to who may need one, present ones only, at most eight, the idlest', () => {
  const w = new CoordinatorWorld()
  const own = ['198.51.100.20:4330', '[2001:db8::20]:4330', '[2001:db8::21]:4330']
  const relays = Array.from({ length: 10 }, (_, i) =>
    w.relay(`r${i}`, i === 0 ? own[0]! : `198.51.100.${30 + i}:4330`, i === 0 ? own : undefined),
  )
  relays[3]!.loadPercent = 50
  w.register(relays[3]!)
  w.leave(relays[4]!)
  const node = w.member('pc', ROLE_NODE, '192.0.2.7:4330')
  const offers = w.register(node).relays
  expect(offers.length).toBe(8)
  const offered = new Set(offers.map((o) => nodeKey(o.relay)))
  expect([3, 4].map((i) => offered.has(nodeKey(relays[i]!.node)))).toEqual([false, false])
  expect(offers.find((o) => nodeKey(o.relay) === nodeKey(relays[0]!.node))?.endpoints.map((e) => e.port)).toEqual([
    4330, 4330,
  ])
  expect(w.register(relays[0]!)).toMatchObject({ relays: [], keepAliveSeconds: 5 })
  expect(w.register(w.member('plc', ROLE_BRIDGE, '192.0.2.8:4330')).relays.length).toBe(8)
})

function reply(w: CoordinatorWorld, relay: Box, message: RelayDirection): void {
  const tag = `relay ${w.trace.filter((t) => t.kind === 'relay-direction').length}`
  w.reply({ node: relay.node, tag, message, until: w.now } as Asked, {
    kind: 'relay-accept',
    endpoints: [relay.at],
    loadPercent: 3,
  })
}

/** Two boxes behind NATs of their own, and a relay. */
function scene(change = {}) {
  const w = new CoordinatorWorld(undefined, change)
  const a = w.member('a', ROLE_NODE, '203.0.113.5:61001', ['10.0.0.2:4330'])
  const b = w.member('b', ROLE_NODE, '203.0.113.6:61002', ['10.0.0.2:4330'])
  const relay = w.relay('relay1', '198.51.100.20:4330')
  return { w, a, b, relay }
}

function relayed(w: CoordinatorWorld, a: Box, b: Box, relay: Box) {
  const asked = w.direct(a, b.name)
  const told = w.relayed(relay).message as RelayDirection
  w.accept(b)
  return { ...(w.answers.get(asked) as DirectionResponse), told }
}
