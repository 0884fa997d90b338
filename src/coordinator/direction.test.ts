import { expect, test } from 'vitest'
import { nodeCrypto } from '#io/crypto-node.ts'
import { nodeKey } from '#ntm-lib/addr/ids.ts'
import type { Ip4 } from '#ntm-lib/addr/ip4.ts'
import { prefixText } from '#ntm-lib/addr/prefix.ts'
import { wallTime } from '#ntm-lib/base/time.ts'
import { type Checker, checkRoute } from '#ntm-lib/negotiate/contract-check.ts'
import { lower } from '#ntm-lib/ports/coordinator-store.ts'
import { ROLE_BRIDGE, ROLE_NODE, ROLE_TT } from '#ntm-lib/wire/certificate.ts'
import { type Contract, decodeContract } from '#ntm-lib/wire/contract.ts'
import type { DirectionResponse, PathExtend, Route, RouteDirection } from '#ntm-lib/wire/messages/direction.ts'
import type { RefusalCode } from '#ntm-lib/wire/messages/refusal.ts'
import { type Asked, type Box, CoordinatorWorld, ep, NO_CONTRACT } from '#test/support/coordinator-world.ts'

const NAME = 'v6only.example'
const HOST = new Uint8Array(8).fill(1)

test('an ordinary name: the terminator is told first, the bridge only after its answer, both the same contract', () => {
  const { w, bridge, tt, vip } = scene()
  const asked = w.direct(bridge, NAME, [vip])
  expect(w.answers.has(asked)).toBe(false)
  const { message } = w.take(tt) as { message: RouteDirection }
  expect(message).toMatchObject({ kind: 'route-direction', target: { name: NAME, ttlSeconds: 0, families: 0 } })
  expect(w.answers.has(asked)).toBe(false)
  // The bridge, behind its NAT, opens; the terminator needs no address of it.
  expect(message.route.youAre).toBe('acceptor')
  w.advance(500)
  expect(w.answers.has(asked)).toBe(false)
  // Somebody else's answer does not count.
  w.reply(
    { node: tt.node, tag: 'direction 99', message, until: w.now },
    { kind: 'path-accept', ttlSeconds: 0, families: 0 },
  )
  expect(w.answers.has(asked)).toBe(false)
  expect(w.counters.get('coordinator.late-answer')).toBe(1)
})

test('what both ends are told fits together, and names the terminator by a chain that is its own', () => {
  const { w, bridge, tt, vip } = scene()
  const asked = w.direct(bridge, NAME, [vip])
  const { message } = w.accept(tt, 55, 2) as { message: RouteDirection }
  const answer = w.answers.get(asked) as DirectionResponse
  expect(answer.target).toEqual({ ...message.target, ttlSeconds: 55, families: 2 })
  const route = answer.route as Route
  expect(route.contract).toEqual(message.route.contract)
  expect(route.pathSecret).toEqual(message.route.pathSecret)
  expect(route.pathSecret.length).toBe(32)
  expect(answer.contractHash).toEqual(nodeCrypto.hash(route.contract))
  expect([route.youAre, message.route.youAre]).toEqual(['opener', 'acceptor'])
  expect(route.peerChain).toEqual(w.store.member(tt.node)?.chain)
  expect(message.route.peerChain).toEqual(w.store.member(bridge.node)?.chain)
  expect(route.peerCandidates.map((c) => c.endpoint)).toContainEqual(tt.at)
  const contract = contractOf(route)
  expect(nodeKey(contract.opener)).toBe(nodeKey(bridge.node))
  expect(nodeKey(contract.acceptor)).toBe(nodeKey(tt.node))
  expect(contract.openerMembership).toEqual(nodeCrypto.hash(w.store.member(bridge.node)!.chain[0]!))
  expect(contract.openerAllowed.map(prefixText)).toContain(`${prefixText({ base: vip, bits: 32 })}`)
  const { servers4, servers6 } = w.settings.plan
  expect(contract.acceptorAllowed.map(prefixText)).toEqual([servers4, servers6].map(prefixText))
  expect(new Set(contract.pathIds).size).toBe(4)
  expect(w.trace.slice(-2)).toEqual([
    { to: tt.name, kind: 'route-direction' },
    { to: bridge.name, kind: 'direction-response' },
  ])
  expect(w.core.provisional).toBe(0)
})

test('both ends believe what they are told: chains, membership hashes, allowed sources of a bridge with hosts', () => {
  const { w, bridge, tt, vip } = scene()
  const node = w.member('pc', ROLE_NODE, '192.0.2.7:4330')
  for (const [from, to, name, expected] of [
    [bridge, tt, NAME, { terminatorRequired: true }],
    [node, bridge, bridge.name, { peerName: bridge.name }],
  ] as const) {
    const asked = w.direct(from, name, from === bridge ? [vip] : [])
    const { message } = w.accept(to) as { message: RouteDirection }
    const { route } = w.answers.get(asked) as DirectionResponse
    expect(checkRoute(checker(w, from), route as Route, expected)).toMatchObject({ ok: true })
    expect(checkRoute(checker(w, to), message.route, {})).toMatchObject({ ok: true })
  }
})

test('a dual-stack terminator that registered over IPv6 is told to an IPv4-only bridge with its IPv4 address', () => {
  const w = new CoordinatorWorld()
  const both = ['[2001:db8::9]:4330', '198.51.100.9:4330']
  const tt = w.member('tt1', ROLE_TT, both[0]!, both)
  const bridge = w.member('plc', ROLE_BRIDGE, '203.0.113.5:61001', ['10.0.0.2:4330'])
  const asked = w.direct(bridge, NAME)
  const { message } = w.accept(tt) as { message: RouteDirection }
  const told = (w.answers.get(asked) as DirectionResponse).route?.peerCandidates.map((c) => c.endpoint)
  expect(told).toEqual(both.map(ep))
  // The bridge's own private address is nobody's business.
  expect(message.route.peerCandidates.map((c) => c.endpoint)).toEqual([bridge.at])
})

test('a second name shares the contract: Path Extend, and no route for the bridge', () => {
  const { w, bridge, tt, vip } = scene()
  const first = established(w, bridge, tt, vip)
  const asked = w.direct(bridge, 'second.example', [vip])
  const extend = w.accept(tt).message as PathExtend
  expect(extend).toMatchObject({ kind: 'path-extend', target: { name: 'second.example' } })
  expect(extend.contractHash).toEqual(first.contractHash)
  const answer = w.answers.get(asked) as DirectionResponse
  expect(answer).toMatchObject({ route: null, target: { name: 'second.example' } })
  expect(answer.contractHash).toEqual(first.contractHash)
  expect(answer.target?.vip4).not.toBe(first.target?.vip4)
})

test('two names at once make one contract; equal questions share one direction', () => {
  const { w, bridge, tt, vip } = scene()
  const asked = [NAME, 'b.example', NAME, 'c.example'].map((name) => w.direct(bridge, name, [vip]))
  expect(w.asked.length).toBe(1)
  w.accept(tt)
  expect(w.asked.map((a) => a.message.kind)).toEqual(['path-extend', 'path-extend'])
  w.accept(tt)
  w.accept(tt)
  const answers = asked.map((t) => w.answers.get(t) as DirectionResponse)
  expect(new Set(answers.map((a) => String(a.contractHash))).size).toBe(1)
  expect(answers[0]).toEqual(answers[2])
  expect(w.store.contractsOf(bridge.node).length).toBe(1)
})

test.each<RefusalCode>(['unknown-name', 'bad-address', 'resolver-down'])(
  "a terminator's %s reaches the bridge, and nothing is kept",
  (code) => {
    const { w, bridge, tt, vip } = scene()
    const asked = w.direct(bridge, NAME, [vip])
    w.reply(w.take(tt), { kind: 'refusal', code, retryAfterMillis: 7, text: 'why' })
    expect(w.answers.get(asked)).toEqual({ kind: 'refusal', code, retryAfterMillis: 7, text: 'why' })
    expect(w.store.servers()).toEqual([])
    expect(w.store.contractsOf(bridge.node)).toEqual([])
    expect(w.core.provisional).toBe(0)
  },
)

test('a silent terminator: another one is tried once, then the bridge hears of it, within 1.7 s', () => {
  const { w, bridge, tt, vip } = scene()
  const second = w.terminator('tt2', '198.51.100.10:4330')
  const started = w.now
  const asked = w.direct(bridge, NAME, [vip])
  const first = w.waitsFor(tt) ? tt : second
  const next = first === tt ? second : tt
  w.advance(799)
  expect(w.waitsFor(next)).toBe(false)
  w.advance(2)
  expect(w.waitsFor(next)).toBe(true)
  w.accept(next)
  expect(w.answers.get(asked)).toMatchObject({ kind: 'direction-response' })
  // The silent one is avoided for a while, and nothing of it is kept.
  expect(w.store.contract(bridge.node, first.node)).toBeNull()
  w.direct(bridge, 'more.example', [vip])
  expect(w.waitsFor(next)).toBe(true)
  w.advance(1700)
  const alone = w.direct(bridge, 'last.example', [vip])
  w.advance(1700)
  expect(w.answers.get(alone)).toMatchObject({ kind: 'refusal', code: 'peer-silent' })
  expect(w.core.provisional).toBe(0)
  expect(started).toBeLessThan(w.now)
})

test('a terminator that is the only one is asked once, and again only by the next question', () => {
  const { w, bridge, tt, vip } = scene()
  const asked = w.direct(bridge, NAME, [vip])
  w.advance(1599)
  expect(w.answers.has(asked)).toBe(false)
  w.advance(1)
  expect(w.answers.get(asked)).toMatchObject({ code: 'peer-silent' })
  expect(w.trace.filter((t) => t.to === tt.name && t.kind === 'route-direction').length).toBe(1)
  const again = w.direct(bridge, NAME, [vip])
  w.accept(tt)
  expect(w.answers.get(again)).toMatchObject({ kind: 'direction-response' })
})

test('the same name asked again with a new host while it is under way: both are answered, the second by a wider contract', () => {
  const { w, bridge, tt, vip } = scene()
  const first = w.direct(bridge, NAME, [vip])
  const late = w.register(bridge, [HOST, new Uint8Array(8).fill(2)]).hosts[1]
  const second = w.direct(bridge, NAME, [late!.vip4])
  w.accept(tt)
  expect(w.answers.get(first)).toMatchObject({ kind: 'direction-response' })
  expect(w.answers.has(second)).toBe(false)
  w.accept(tt)
  const [one, two] = [first, second].map((t) => w.answers.get(t) as DirectionResponse)
  expect(two?.contractHash).not.toEqual(one?.contractHash)
  expect(two?.target).toEqual(one?.target)
})

test('a contract whose lease has run out is not extended but made anew; a busy one lasts', () => {
  const { w, bridge, tt, vip } = scene()
  const HOUR = 3_600_000
  const first = established(w, bridge, tt, vip)
  w.wall = wallTime(w.wall + 23 * HOUR)
  w.direct(bridge, NAME, [vip])
  expect(w.accept(tt).message).toMatchObject({ kind: 'path-extend', leaseSeconds: 86_400 })
  w.wall = wallTime(w.wall + 23 * HOUR)
  w.direct(bridge, NAME, [vip])
  expect(w.take(tt).message.kind).toBe('path-extend')
  w.advance(1700)
  w.wall = wallTime(w.wall + 2 * HOUR)
  w.direct(bridge, NAME, [vip])
  const { message } = w.take(tt) as { message: RouteDirection }
  expect(message.kind).toBe('route-direction')
  expect(message.route.contract).not.toEqual(first.route?.contract)
})

test('no terminator at all, one without a session, one that leaves while asked', () => {
  const w = new CoordinatorWorld()
  const bridge = w.member('plc', ROLE_BRIDGE, '203.0.113.5:61001', ['10.0.0.2:4330'])
  expect(w.answers.get(w.direct(bridge, NAME))).toMatchObject({ code: 'peer-silent' })
  const tt = w.terminator('tt1', '198.51.100.9:4330')
  const asked = w.direct(bridge, NAME)
  w.leave(tt)
  expect(w.answers.get(asked)).toMatchObject({ code: 'peer-silent' })
  expect(w.answers.get(w.direct(bridge, NAME))).toMatchObject({ code: 'peer-silent' })
  // No common family either.
  w.terminator('tt6', '[2001:db8::9]:4330')
  expect(w.answers.get(w.direct(bridge, NAME))).toMatchObject({ code: 'peer-silent' })
  expect(w.core.provisional).toBe(0)
})

test('a Path ID in use is minted again, at most three times', () => {
  const { w, bridge, tt, vip } = scene()
  const asked = w.direct(bridge, NAME, [vip])
  const hashes = new Set<string>()
  for (let i = 0; i < 4; i++) {
    const { message, ...at } = w.take(tt) as Asked & { message: RouteDirection }
    hashes.add(String(message.route.contract))
    w.reply({ ...at, message }, { kind: 'refusal', code: 'path-id-in-use', retryAfterMillis: 0, text: '' })
  }
  expect(hashes.size).toBe(4)
  expect(w.answers.get(asked)).toMatchObject({ code: 'path-id-in-use' })
})

test('a lost contract is replaced and the old one closed at both ends when the new one has had its time', () => {
  const { w, bridge, tt, vip } = scene()
  const first = established(w, bridge, tt, vip)
  const asked = w.direct(bridge, NAME, [vip], first.contractHash)
  expect(w.accept(tt).message.kind).toBe('route-direction')
  const second = w.answers.get(asked) as DirectionResponse
  expect(second.contractHash).not.toEqual(first.contractHash)
  expect(second.target).toEqual(first.target)
  w.advance(14_900)
  expect(w.asked).toEqual([])
  w.advance(200)
  for (const box of [bridge, tt])
    expect(w.take(box).message).toEqual({ kind: 'path-close', contractHash: first.contractHash, reason: 'replaced' })
})

test('a terminator that no longer knows the path gets a new contract in the same breath', () => {
  const { w, bridge, tt, vip } = scene()
  const first = established(w, bridge, tt, vip)
  const asked = w.direct(bridge, 'second.example', [vip])
  w.reply(w.take(tt), { kind: 'refusal', code: 'no-route', retryAfterMillis: 0, text: '' })
  expect(w.accept(tt).message.kind).toBe('route-direction')
  const answer = w.answers.get(asked) as DirectionResponse
  expect(answer.route).not.toBeNull()
  expect(answer.contractHash).not.toEqual(first.contractHash)
})

test('a new host behind the bridge supersedes the contract; a source that is not its own is forbidden', () => {
  const { w, bridge, tt, vip } = scene()
  const first = established(w, bridge, tt, vip)
  const late = w.register(bridge, [HOST, new Uint8Array(8).fill(2)]).hosts[1]!
  const asked = w.direct(bridge, NAME, [late.vip4, late.vip6])
  w.accept(tt)
  const second = w.answers.get(asked) as DirectionResponse
  expect(second.contractHash).not.toEqual(first.contractHash)
  expect(contractOf(second.route!).openerAllowed.map(prefixText)).toContain(prefixText({ base: late.vip6, bits: 128 }))
  const other = w.member('other', ROLE_BRIDGE, '203.0.113.6:61001', ['10.0.0.3:4330'])
  expect(w.answers.get(w.direct(other, NAME, [late.vip4]))).toMatchObject({ code: 'forbidden' })
})

test('a box of the network by name: direct, and the end behind the NAT opens, whoever asks', () => {
  const w = new CoordinatorWorld(undefined, { optimise: 'seed' })
  const open = w.member('open', ROLE_NODE, '192.0.2.7:4330')
  const natted = w.member('natted', ROLE_NODE, '203.0.113.5:61001', ['10.0.0.2:4330'])
  const hidden = w.member('hidden', ROLE_NODE, '203.0.113.9:61009', ['10.0.0.3:4330'])
  for (const [from, to] of [[open, natted], [natted, open]] as const) {
    const asked = w.direct(from, to.name)
    const { message } = w.accept(to) as { message: RouteDirection }
    expect(message.target).toEqual({ name: to.name, ...w.store.member(to.node)?.pair, ttlSeconds: 0, families: 0 })
    const { route, target } = w.answers.get(asked) as DirectionResponse
    // Its hosts send to the other end's own addresses, whoever it is.
    expect(target).toEqual({ name: to.name, ...w.store.member(to.node)?.pair, ttlSeconds: 60, families: 2 })
    const told = from === natted ? route : message.route
    expect(told?.youAre).toBe('opener')
    expect(told?.peerCandidates).toEqual([{ type: 'local', endpoint: open.at, priority: 200 }])
    w.send(from, { kind: 'path-close', contractHash: (w.answers.get(asked) as DirectionResponse).contractHash, reason: 'unused' })
    w.take(to)
  } // biome-ignore format: pairs
  expect(w.answers.get(w.direct(hidden, natted.name))).toMatchObject({ code: 'no-route' })
  expect(w.answers.get(w.direct(open, 'nobody.ntm.example'))).toMatchObject({ code: 'unknown-name' })
  expect(w.answers.get(w.direct(open, 'ntm.example'))).toMatchObject({ code: 'unknown-name' })
  expect(w.answers.get(w.direct(open, open.name))).toMatchObject({ code: 'no-route' })
  expect(w.answers.get(w.direct(open, { by: 'node', node: hidden.node }))).toBeUndefined()
  w.leave(hidden)
  expect(w.answers.get(w.direct(open, hidden.name))).toMatchObject({ code: 'peer-silent' })
  for (const name of ['printer.local', 'localhost', 'plc', 'x.onion', '1.in-addr.arpa', `${'a'.repeat(64)}.example`])
    expect(w.answers.get(w.direct(open, name)), name).toMatchObject({ code: 'unknown-name' })
})

test('directions that cross meet in one contract, the lower Node ID asking', () => {
  for (let round = 0; round < 8; round++) {
    const w = new CoordinatorWorld()
    const [a, b] = [w.member('a', ROLE_NODE, '192.0.2.7:4330'), w.member('b', ROLE_NODE, '192.0.2.8:4330')]
    const fromA = w.direct(a, b.name)
    const early = w.take(b)
    const fromB = w.direct(b, a.name)
    const aWins = lower(a.node, b.node)
    if (aWins) w.reply(early, { kind: 'path-accept', ttlSeconds: 0, families: 0 })
    else w.accept(a)
    const answers = [fromA, fromB].map((t) => w.answers.get(t) as DirectionResponse)
    expect(answers[0]?.contractHash).toEqual(answers[1]?.contractHash)
    // The loser accepted the contract as correspondent already, so it needs no route.
    expect(answers.map((x) => x.route === null)).toEqual(aWins ? [false, true] : [true, false])
    expect(w.store.contract(a.node, b.node)?.initiator).toEqual(aWins ? a.node : b.node)
    expect(w.core.provisional).toBe(0)
    // An answer of the one that lost comes late and changes nothing.
    w.reply(early, { kind: 'path-accept', ttlSeconds: 0, families: 0 })
    expect(w.store.contractsOf(a.node).length).toBe(1)
  }
})

test('a virtual address that was forgotten at the edge finds its server again, for its node only', () => {
  const { w, bridge, tt, vip } = scene()
  const { target } = established(w, bridge, tt, vip)
  w.restart()
  w.register(tt)
  w.register(bridge, [HOST])
  for (const address of [target!.vip4, target!.vip6]) {
    const asked = w.direct(bridge, address, [vip])
    expect(w.accept(tt).message).toMatchObject({ target: { name: NAME, vip4: target?.vip4 } })
    expect(w.answers.get(asked)).toMatchObject({ target: { name: NAME } })
  }
  const other = w.member('other', ROLE_NODE, '192.0.2.7:4330')
  expect(w.answers.get(w.direct(other, target!.vip4))).toMatchObject({ code: 'unknown-name' })
  // The pair of a host leads to the bridge in front of it.
  w.direct(other, vip)
  expect(w.take(bridge).message.kind).toBe('route-direction')
})

test('the pool is exhausted: refused with a reason, and names already known still work', () => {
  const servers4 = { base: scene().w.settings.plan.servers4.base, bits: 29 }
  const { w, bridge, tt, vip } = scene({ servers4 })
  // A /29 has six addresses, and one of them stands for routers.
  for (const name of ['a', 'b', 'x', 'y', 'z'].map((n) => `${n}.example`)) {
    w.direct(bridge, name, [vip])
    w.accept(tt)
  }
  expect(w.answers.get(w.direct(bridge, 'c.example', [vip]))).toMatchObject({ code: 'pool-exhausted' })
  const again = w.direct(bridge, 'a.example', [vip])
  w.accept(tt)
  expect(w.answers.get(again)).toMatchObject({ kind: 'direction-response' })
})

test('a bridge that asks too much is told so', () => {
  const { w, bridge, tt, vip } = scene()
  const asked = Array.from({ length: 70 }, (_, i) => w.direct(bridge, `n${i}.example`, [vip]))
  expect(w.answers.get(asked.at(-1)!)).toMatchObject({ code: 'busy' })
  const same = Array.from({ length: 40 }, () => w.direct(bridge, 'n0.example', [vip]))
  expect(w.answers.get(same.at(-1)!)).toMatchObject({ code: 'busy' })
  w.accept(tt)
  w.advance(1700)
  expect([...asked, ...same].every((t) => w.answers.has(t))).toBe(true)
  expect(w.core.provisional).toBe(0)
})

test('a coordinator restarted at each step of a direction: nothing is promised twice, and asking again works', () => {
  for (const at of ['before', 'asked', 'accepted', 'answered'] as const) {
    const { w, bridge, tt, vip } = scene()
    const name = `${at}.example`
    if (at !== 'before') w.direct(bridge, name, [vip])
    const route = at === 'accepted' || at === 'answered' ? w.accept(tt) : null
    const [before] = w.store.servers()
    w.restart()
    expect(w.store.members().length).toBe(2)
    expect(w.store.contractsOf(bridge.node).length).toBe(route === null ? 0 : 1)
    w.register(tt)
    const hosts = w.register(bridge, [HOST]).hosts
    expect(hosts[0]?.vip4).toBe(vip)
    // The bridge never got the answer: it learns which contract stands, and says that it does not have it.
    const asked = w.direct(bridge, name, [vip])
    w.accept(tt)
    const answer = w.answers.get(asked) as DirectionResponse
    if (before !== undefined) expect(answer.target?.vip4).toBe(before.pair.vip4)
    expect(answer.route === null).toBe(route !== null)
    const again = w.direct(bridge, name, [vip], route === null ? NO_CONTRACT : answer.contractHash)
    w.accept(tt)
    if (route !== null) expect((w.answers.get(again) as DirectionResponse).route).not.toBeNull()
    expect(new Set(w.store.servers().map((s) => s.pair.vip4)).size).toBe(1)
  }
})

test('a box that started anew has no tunnels, whatever the contracts say', () => {
  const { w, bridge, tt, vip } = scene()
  established(w, bridge, tt, vip)
  w.leave(tt)
  tt.bootId = nodeCrypto.random(8)
  w.register(tt)
  expect(w.store.contractsOf(tt.node)).toEqual([])
  w.direct(bridge, NAME, [vip])
  expect(w.take(tt).message.kind).toBe('route-direction')
})

test('the end of a session that was already replaced takes nothing with it', () => {
  const { w, bridge } = scene()
  const old = w.sessions.peer(bridge.node)!
  w.register(bridge, [HOST])
  w.core.handle({ event: 'gone', peer: old }, w.now)
  expect(w.core.presences.get(bridge.node)).not.toBeNull()
  w.leave(bridge)
  expect(w.core.presences.get(bridge.node)).toBeNull()
})

test('closing: only an end of the contract can, the other end is told; a revoked box is cut off everywhere', () => {
  const { w, bridge, tt, vip } = scene()
  const first = established(w, bridge, tt, vip)
  const other = w.member('other', ROLE_NODE, '192.0.2.7:4330')
  const close = { kind: 'path-close', contractHash: first.contractHash, reason: 'unused' } as const
  w.ask(other, close)
  expect(w.store.contractsOf(bridge.node).length).toBe(1)
  w.ask(bridge, close)
  expect(w.store.contractsOf(bridge.node)).toEqual([])
  expect(w.take(tt).message).toEqual(close)
  expect(w.store.member(bridge.node)?.pathEnded).toBe(w.wall)
  const second = established(w, bridge, tt, vip)
  w.core.revoke(bridge.node, w.now)
  expect(w.take(tt).message).toEqual({ ...close, contractHash: second.contractHash, reason: 'revoked' })
  expect(w.core.admits(bridge.node, bridge.staticKey)).toBe('revoked')
  expect(w.store.number('revocation-version')).toBe(1)
})

function scene(plan = {}) {
  const w = new CoordinatorWorld(undefined, { plan })
  const tt = w.terminator('tt1', '198.51.100.9:4330')
  const bridge = w.member('plc', ROLE_BRIDGE, '203.0.113.5:61001', ['10.0.0.2:4330'])
  const vip = w.register(bridge, [HOST]).hosts[0]!.vip4
  return { w, bridge, tt, vip }
}

function established(w: CoordinatorWorld, bridge: Box, tt: Box, vip: Ip4): DirectionResponse {
  const asked = w.direct(bridge, NAME, [vip])
  w.accept(tt)
  return w.answers.get(asked) as DirectionResponse
}

function checker(w: CoordinatorWorld, box: Box): Checker {
  const { root } = w.network
  return {
    suite: nodeCrypto,
    trust: { rootPublicKey: root.public, now: () => w.wall, floor: () => wallTime(0), revoked: () => false },
    fingerprint: root.fingerprint,
    nodeId: box.node,
    memberships: [nodeCrypto.hash(w.store.member(box.node)!.chain[0]!)],
    suiteMask: 1,
  }
}

function contractOf(route: Route): Contract {
  const decoded = decodeContract(route.contract)
  if (!decoded.ok) throw new RangeError(decoded.fault)
  return decoded.value
}
