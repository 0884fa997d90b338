import { expect, test } from 'vitest'
import { extendNetwork } from '#coordinator/network.ts'
import { nodeCrypto as suite } from '#io/crypto-node.ts'
import type { Endpoint } from '#ntm-lib/addr/endpoint.ts'
import type { NodeId } from '#ntm-lib/addr/ids.ts'
import { parseIp6 } from '#ntm-lib/addr/ip6.ts'
import { type Prefix, parsePrefix } from '#ntm-lib/addr/prefix.ts'
import { nodeVip6 } from '#ntm-lib/addr/virtual.ts'
import { type Instant, seconds } from '#ntm-lib/base/time.ts'
import { makeMembership, makeRootMembership } from '#ntm-lib/crypto/identity.ts'
import { nodeIdOf } from '#ntm-lib/crypto/schedule.ts'
import type { KeyPair } from '#ntm-lib/crypto/suite.ts'
import { ControlClient } from '#ntm-lib/negotiate/control-client.ts'
import { CounterMap } from '#ntm-lib/ports/counters.ts'
import { quiet } from '#ntm-lib/ports/log.ts'
import { ROLE_COORDINATOR, ROLE_NODE, ROLE_TT } from '#ntm-lib/wire/certificate.ts'
import type { Request, Response } from '#ntm-lib/wire/message.ts'
import type { ForeignDirection, ForeignEnd } from '#ntm-lib/wire/messages/federation.ts'
import { endpointOf } from '#test/support/route.ts'
import { DC_B, Twins } from './twins.ts'
import type { Actor } from './world.ts'

const EVE = endpointOf('192.0.2.66:4330')

/** Somebody who speaks the protocol of coordinators, and says what he likes. */
class Rogue implements Actor {
  readonly name: string
  readonly client: ControlClient
  readonly answers: Response[] = []
  readonly node: NodeId
  #now: Instant

  constructor(w: Twins, name: string, key: KeyPair, roles = ROLE_COORDINATOR) {
    const { root, coordinator } = w.b.network
    this.name = name
    this.node = nodeIdOf(suite, key.public)
    this.#now = w.world.now
    const caller = { suite, self: key, fingerprint: root.fingerprint, coordinatorKey: coordinator.static.public }
    this.client = new ControlClient({
      ...{ caller: { ...caller, bootId: suite.random(8), roles }, endpoints: [DC_B] as Endpoint[], enrol: null },
      ...{ log: quiet, counters: new CounterMap() },
    })
    this.client.start(this.#now)
  }
  handle(from: Endpoint, bytes: Uint8Array, now: Instant): void {
    this.#now = now
    this.client.handle(from, bytes, now)
  }
  tick(now: Instant): void {
    this.#now = now
    this.client.tick(now)
  }
  deadline(): Instant | null {
    return this.client.deadline()
  }
  poll() {
    for (let out = this.client.poll(); out !== null; out = this.client.poll()) {
      if (out.out === 'send') return out
      if (out.event.event === 'response') this.answers.push(out.event.message)
    }
    return null
  }

  /** Says something and gives the answer; null when there is none within three seconds. */
  say(w: Twins, message: Request): Response | null {
    this.answers.length = 0
    this.client.request('rogue', message, seconds(3), w.world.now)
    w.world.run(() => this.answers.length > 0, seconds(3))
    return this.answers[0] ?? null
  }
}

/** B with one box of its own, and a third zone whose coordinator is in the wrong hands: the root once signed it. */
function scene(zone = 'c.example') {
  const w = new Twins()
  const { device, laptop } = w.boxes()
  expect(w.up()).toBe(true)
  const { root, plan } = w.a.network
  const calendar = { today: () => w.a.today() }
  const slice4 = prefix('198.18.64.0/18')
  const third = extendNetwork({ name: `dc.${zone}`, zone, root, plan, slice4, suite, calendar })
  const rogue = new Rogue(w, 'rogue', third.coordinator.static)
  w.world.add(rogue, EVE)
  return { w, device, laptop, third, rogue, plan }
}

const hello = (chain: readonly Uint8Array[]): Request => ({ kind: 'coordinator-hello', chain, endpoints: [EVE] })

/** A box of the third zone as its coordinator would tell of it. */
function member(
  s: ReturnType<typeof scene>,
  name = 'eve.c.example',
  vip4 = '198.18.64.1',
  change: Partial<ForeignEnd> = {},
) {
  const key = suite.x25519Pair()
  const issued = Math.floor(s.w.a.today() / 1000)
  const wish = { staticKey: key.public, roles: ROLE_NODE, name, issued, expires: issued + 9999 }
  const made = makeMembership(suite, s.third.issuer, wish)
  const node = nodeIdOf(suite, key.public)
  const end: ForeignEnd = {
    chain: made.ok ? made.chain : [],
    pairs: [{ vip4: prefix(`${vip4}/32`).base as never, vip6: nodeVip6(s.plan.nodes6, node) }],
    candidates: [{ type: 'local', endpoint: EVE, priority: 100 }],
    ...{ observed: EVE, confirmed4: EVE, confirmed6: null, locationVersion: 1, changes: 1, relays: [] },
    ...change,
  }
  return { end, made, node }
}

const direction = (initiator: ForeignEnd, name = 'device.b.example'): ForeignDirection => ({
  kind: 'foreign-direction',
  sought: { by: 'name', name },
  why: 'dns',
  sources: [],
  lost: new Uint8Array(32),
  initiator,
})

test('an honest third zone is served: the attacks below fail for what they lie about', () => {
  const s = scene()
  expect(s.rogue.say(s.w, hello(s.third.coordinator.chain))).toMatchObject({ kind: 'coordinator-hello-response' })
  const answer = s.rogue.say(s.w, direction(member(s).end))
  expect(answer).toMatchObject({ kind: 'direction-response', target: { name: 'device.b.example' } })
})

test('whoever has not said hello gets nothing, and is gone after a while', () => {
  const s = scene()
  const { end } = member(s)
  expect(s.rogue.say(s.w, direction(end))).toMatchObject({ kind: 'refusal', code: 'not-registered' })
  expect(s.rogue.say(s.w, { kind: 'path-close', contractHash: new Uint8Array(32), reason: 'lost' })).toMatchObject({
    code: 'not-registered',
  })
  expect(s.w.rows('b')).toEqual([])
  s.w.world.wait(seconds(6))
  expect(s.w.dcB.counters.get('coordinator.stranger.closed')).toBe(1)
})

test('strangers take up few sessions, and members find the door open all the same', () => {
  const s = scene()
  const rogues = Array.from({ length: 60 }, (_, i) => new Rogue(s.w, `rogue${i}`, suite.x25519Pair()))
  for (const [i, r] of rogues.entries()) s.w.world.add(r, endpointOf(`192.0.2.${100 + i}:4330`))
  s.w.world.wait(seconds(3))
  const inside = rogues.filter((r) => s.w.dcB.server.peer(r.node) !== null)
  expect(inside.length).toBeGreaterThan(0)
  expect(inside.length).toBeLessThanOrEqual(32)
  expect(s.w.box('b', 'late', '203.0.113.30:4330')).toBeDefined()
  expect(s.w.up()).toBe(true)
})

test("no coordinator: a node's certificate, another network's, somebody else's chain, one an issuer signed", () => {
  const s = scene()
  const stranger = extendNetwork({
    ...{ name: 'dc.c.example', zone: 'c.example', plan: s.plan, slice4: prefix('198.18.64.0/18'), suite },
    root: { ...s.w.a.network.root, seed: suite.random(32) },
    calendar: { today: () => s.w.a.today() },
  })
  const issued = Math.floor(s.w.a.today() / 1000)
  const self = { staticKey: s.third.coordinator.static.public, issued, expires: issued + 9999 }
  const asNode = makeMembership(suite, s.third.issuer, { ...self, roles: ROLE_NODE, name: 'dc.c.example' })
  const asDc = makeMembership(suite, s.third.issuer, { ...self, roles: ROLE_COORDINATOR, name: 'dc.c.example' })
  expect(asDc.ok).toBe(false)
  const asTt = makeRootMembership(suite, s.w.a.network.root, { ...self, roles: ROLE_TT, name: 'tt.c.example' })
  for (const chain of [
    stranger.coordinator.chain,
    s.w.a.network.coordinator.chain,
    asNode.ok ? asNode.chain : [],
    asTt,
    [],
  ])
    expect(s.rogue.say(s.w, hello(chain))).toMatchObject({ kind: 'refusal', code: 'forbidden' })
  expect(s.rogue.say(s.w, direction(member(s).end))).toMatchObject({ code: 'not-registered' })
})

test.each(['b.example', 'sub.b.example', 'example'])(
  'a coordinator that the root made for %s is none to b.example',
  (zone) => {
    const s = scene(zone)
    expect(s.rogue.say(s.w, hello(s.third.coordinator.chain))).toMatchObject({
      code: 'forbidden',
      text: 'this zone is ours',
    })
  },
)

test('a coordinator that lies about its boxes', () => {
  const s = scene()
  s.rogue.say(s.w, hello(s.third.coordinator.chain))
  const ours = s.device.disk.chain
  const theirs = s.w.a.store.members()[0]
  if (theirs === undefined) throw new Error('laptop is a member')
  const { end } = member(s)
  const [pair] = end.pairs
  if (pair === undefined) throw new Error('a pair')
  const lies: readonly (readonly [string, ForeignEnd, string])[] = [
    ['a box of our own zone', { ...end, chain: ours }, 'forbidden'],
    ['a box of a third zone', { ...end, chain: theirs.chain, pairs: [theirs.pair] }, 'forbidden'],
    ['no certificates', { ...end, chain: [] }, 'forbidden'],
    ['its own coordinator', { ...end, chain: s.third.coordinator.chain }, 'forbidden'],
    [
      'an address of our slice',
      { ...end, pairs: [{ ...pair, vip4: prefix('198.18.128.1/32').base as never }] },
      'bad-address',
    ],
    [
      'an address of the first zone',
      { ...end, pairs: [{ ...pair, vip4: prefix('198.18.0.1/32').base as never }] },
      'bad-address',
    ],
    [
      "a server's address",
      { ...end, pairs: [{ ...pair, vip4: prefix('198.19.0.1/32').base as never }] },
      'bad-address',
    ],
    ['another IPv6 address', { ...end, pairs: [{ ...pair, vip6: parseIp6('fd00::1') as never }] }, 'bad-address'],
    [
      "a host's address of our slice",
      { ...end, pairs: [pair, { ...pair, vip4: prefix('198.18.128.9/32').base as never }] },
      'bad-address',
    ],
  ]
  for (const [lie, told, code] of lies)
    expect(s.rogue.say(s.w, direction(told)), lie).toMatchObject({ kind: 'refusal', code })
  expect(
    makeMembership(suite, s.third.issuer, {
      ...FOREVER,
      staticKey: suite.x25519Pair().public,
      roles: ROLE_TT,
      name: 't.c.example',
    }).ok,
  ).toBe(false)
  expect(member(s, 'eve.b.example').made.ok).toBe(false)
  // Refused at the door, before the box is asked, which would refuse most of it too.
  const refused = ['forbidden', 'bad-address'].map((code) => s.w.dcB.counters.get(`coordinator.foreign.${code}`))
  expect(refused).toEqual(['forbidden', 'bad-address'].map((code) => lies.filter((l) => l[2] === code).length))
  expect(s.w.rows('b')).toEqual([])
})

test('the first zone, whose issuer may sign for all addresses, gets none of our slice', () => {
  const s = scene()
  const first = new Rogue(s.w, 'first', s.w.a.network.coordinator.static)
  s.w.world.add(first, endpointOf('192.0.2.67:4330'))
  expect(first.say(s.w, hello(s.w.a.network.coordinator.chain))).toMatchObject({ kind: 'coordinator-hello-response' })
  // A certificate that names no addresses, as a bridge's: only its issuer's bounds it.
  const { end } = member({ ...s, third: s.w.a.network }, 'eve.ntm.example', '198.18.128.7')
  expect(first.say(s.w, direction(end))).toMatchObject({ code: 'bad-address' })
  expect(s.w.dcB.counters.get('coordinator.foreign.bad-address')).toBe(1)
  const honest = member({ ...s, third: s.w.a.network }, 'eve.ntm.example', '198.18.0.7')
  expect(first.say(s.w, direction(honest.end))).toMatchObject({ kind: 'direction-response' })
})

test('two boxes of other zones with one address: the second is refused', () => {
  const s = scene()
  s.rogue.say(s.w, hello(s.third.coordinator.chain))
  expect(s.rogue.say(s.w, direction(member(s).end))).toMatchObject({ kind: 'direction-response' })
  expect(s.rogue.say(s.w, direction(member(s, 'two.c.example').end))).toMatchObject({ code: 'bad-address' })
})

test('it gets no ordinary servers, no strangers, and no boxes of other zones here', () => {
  const s = scene()
  s.rogue.say(s.w, hello(s.third.coordinator.chain))
  const { end } = member(s)
  for (const name of ['web.other.example', 'laptop.ntm.example'])
    expect(s.rogue.say(s.w, direction(end, name))).toMatchObject({ kind: 'refusal', code: 'forbidden' })
  expect(s.rogue.say(s.w, direction(end, 'nobody.b.example'))).toMatchObject({ code: 'unknown-name' })
  const sources = [prefix('198.18.64.77/32').base]
  expect(s.rogue.say(s.w, { ...direction(end), sources })).toMatchObject({ code: 'forbidden' })
  expect(s.w.rows('b')).toEqual([])
})

test('it has no say in contracts between others', () => {
  const s = scene()
  const { laptop } = s
  const there = s.w.resolve(laptop, 'device.b.example')
  if (!there.ok) throw new Error('no path')
  s.rogue.say(s.w, hello(s.third.coordinator.chain))
  const { contractHash } = there
  const before = s.w.rows('b')
  s.rogue.say(s.w, { kind: 'path-close', contractHash, reason: 'lost' })
  const whereabouts = {
    peerCandidates: [],
    peerLocationVersion: 2 ** 31,
    way: 'direct',
    optimise: 'ice',
    relay: null,
  } as const
  expect(s.rogue.say(s.w, { kind: 'peer-moved', contractHash, whereabouts })).toMatchObject({ code: 'no-route' })
  expect(s.rogue.say(s.w, { kind: 'foreign-moved', contractHash, end: member(s).end })).toMatchObject({
    code: 'no-route',
  })
  expect(s.w.rows('b')).toEqual(before)
  expect(s.w.ping(laptop, s.device, there)).toBe(true)
})

test('a coordinator may register nothing, enrol nobody and ask for no direction of its own', () => {
  const s = scene()
  s.rogue.say(s.w, hello(s.third.coordinator.chain))
  const ask = {
    kind: 'direction-request',
    sought: { by: 'name', name: 'device.b.example' },
    why: 'dns',
    sources: [],
    lost: new Uint8Array(32),
  } as const
  expect(s.rogue.say(s.w, ask)).toMatchObject({ kind: 'refusal' })
  expect(s.rogue.say(s.w, { kind: 'cert-renew', chain: [] })).toMatchObject({ kind: 'refusal' })
  expect(s.w.b.store.members().map((m) => m.name)).toEqual(['device.b.example'])
})

test('replayed datagrams of a link change nothing', () => {
  const s = scene()
  s.rogue.say(s.w, hello(s.third.coordinator.chain))
  expect(s.rogue.say(s.w, direction(member(s).end))).toMatchObject({ kind: 'direction-response' })
  const [rows, asked] = [s.w.rows('b'), s.device.asked.length]
  for (const d of s.w.world.captured.filter((c) => c.sender === 'rogue'))
    s.w.world.inject(d.from, d.to, d.bytes, 1 as never)
  s.w.world.wait(seconds(2))
  expect(s.w.rows('b')).toEqual(rows)
  expect(s.device.asked.length).toBe(asked)
})

const FOREVER = { issued: 1_800_000_000, expires: 1_900_000_000 }
const prefix = (text: string): Prefix => {
  const parsed = parsePrefix(text)
  if (parsed === null) throw new Error(text)
  return parsed
}
