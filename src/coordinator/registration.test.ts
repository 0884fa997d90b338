import fc from 'fast-check'
import { expect, test } from 'vitest'
import { nodeCrypto } from '#io/crypto-node.ts'
import { nodeVip6 } from '#ntm-lib/addr/virtual.ts'
import { ROLE_BRIDGE, ROLE_NODE } from '#ntm-lib/wire/certificate.ts'
import { CoordinatorWorld, ep } from '#test/support/coordinator-world.ts'
import { behindNat, reach, reachableAt, usableCandidates } from './locate.ts'

const PUBLIC = '192.0.2.7:4330'
const MAPPED = '203.0.113.5:61001'
const PRIVATE = '10.0.0.2:4330'

test('a box is told what it looks like from here, its addresses, and how often to speak', () => {
  const w = new CoordinatorWorld()
  const open = w.member('open', ROLE_NODE, PUBLIC)
  const natted = w.member('natted', ROLE_BRIDGE, MAPPED, [PRIVATE])
  const answer = w.register(open)
  expect(answer).toMatchObject({
    observed: ep(PUBLIC),
    keepAliveSeconds: 25,
    zones: ['ntm.example'],
    leaseSeconds: 86_400,
  })
  expect(answer.vip6).toEqual(nodeVip6(w.settings.plan.nodes6, open.node))
  expect(answer.virtual.length).toBe(4)
  expect(answer.descriptors).toEqual(w.network.coordinator.chain)
  expect(w.register(natted)).toMatchObject({ observed: ep(MAPPED), keepAliveSeconds: 20 })
  w.hello(open)
  expect(w.ask(open, { ...w.registration(open), kind: 'ntm-update' } as never).kind).toBe('ntm-update-response')
})

test('the mapped address and port count only after the echo came back from there', () => {
  const w = new CoordinatorWorld()
  const box = w.member('plc', ROLE_BRIDGE, MAPPED, [PRIVATE])
  const answer = w.register(box, [], false)
  w.leave(box)
  w.register(box, [], false)
  expect(w.core.presences.get(box.node)?.confirmed[4]).toBeNull()
  const again = w.ask(box, w.registration(box)) as typeof answer
  // A nonce of an earlier session, another nonce, or the right one from somewhere else.
  expect(w.ask(box, { kind: 'location-confirm', echoNonce: answer.echoNonce })).toMatchObject({ code: 'bad-address' })
  expect(w.ask(box, { kind: 'location-confirm', echoNonce: nodeCrypto.random(8) })).toMatchObject({
    code: 'bad-address',
  })
  box.at = ep('203.0.113.66:1')
  expect(w.ask(box, { kind: 'location-confirm', echoNonce: again.echoNonce })).toMatchObject({ code: 'bad-address' })
  box.at = ep(MAPPED)
  expect(w.ask(box, { kind: 'location-confirm', echoNonce: again.echoNonce })).toMatchObject({
    kind: 'location-confirm-response',
  })
  expect(w.core.presences.get(box.node)?.confirmed[4]).toEqual(ep(MAPPED))
  // An echo counts once.
  expect(w.ask(box, { kind: 'location-confirm', echoNonce: again.echoNonce })).toMatchObject({ kind: 'refusal' })
})

test('attack 3: whatever is replayed or sent with a spoofed source, the mapped address stays', () => {
  const spoofed = ['198.51.100.66:4330', '203.0.113.5:61002', '[2001:db8:6::6]:4330']
  const action = fc.record({
    what: fc.constantFrom('registration', 'update', 'old nonce', 'guess', 'direction'),
    from: fc.constantFrom(...spoofed),
  })
  fc.assert(
    fc.property(fc.array(action, { maxLength: 12 }), (actions) => {
      const w = new CoordinatorWorld()
      const box = w.member('plc', ROLE_BRIDGE, MAPPED, [PRIVATE])
      const old = w.register(box).echoNonce
      for (const { what, from } of actions) {
        box.at = ep(from)
        if (what === 'registration' || what === 'update') {
          const message = { ...w.registration(box), kind: what === 'update' ? 'ntm-update' : 'registration' } as never
          // The answer goes to the spoofed source; only the box can open it, and it never gets there.
          w.ask(box, message)
        } else if (what === 'direction') w.direct(box, 'v6only.example')
        else {
          const echoNonce = what === 'guess' ? nodeCrypto.random(8) : old
          w.ask(box, { kind: 'location-confirm', echoNonce })
        }
      }
      expect(w.core.presences.get(box.node)?.confirmed).toEqual({ 4: ep(MAPPED), 6: null })
      expect(reachableAt(w.core.presences.get(box.node)!, false)).toEqual([
        { type: 'mapped', endpoint: ep(MAPPED), priority: 200 },
      ])
    }),
    { numRuns: 60 },
  )
})

test('an older location version of the same start changes nothing; another start begins anew', () => {
  const w = new CoordinatorWorld()
  const box = w.member('plc', ROLE_NODE, PUBLIC)
  box.version = 7
  box.own = [ep('192.0.2.70:4330')]
  w.ask(box, w.registration(box))
  box.version = 3
  box.own = [ep('192.0.2.30:4330')]
  w.ask(box, w.registration(box))
  expect(w.core.presences.get(box.node)).toMatchObject({
    locationVersion: 7,
    candidates: [{ endpoint: ep('192.0.2.70:4330') }],
  })
  box.bootId = nodeCrypto.random(8)
  w.ask(box, w.registration(box))
  expect(w.core.presences.get(box.node)).toMatchObject({ locationVersion: 3, confirmed: { 4: null } })
})

test('every host behind a bridge keeps its pair: over updates, restarts and reordering; their number is bounded', () => {
  const w = new CoordinatorWorld(undefined, { hostsPerNode: 3 })
  const box = w.member('plc', ROLE_BRIDGE, PUBLIC)
  const [a, b, c, d] = [1, 2, 3, 4].map((n) => new Uint8Array(8).fill(n)) as [
    Uint8Array,
    Uint8Array,
    Uint8Array,
    Uint8Array,
  ]
  const first = w.register(box, [a, b]).hosts
  expect(new Set([...first.map((h) => h.vip4), w.store.member(box.node)!.pair.vip4]).size).toBe(3)
  w.restart()
  const second = w.register(box, [b, c, a, d]).hosts
  expect(second.map((h) => h.host)).toEqual([b, c, a])
  expect(second[2]).toEqual(first[0])
  expect(second[0]).toEqual(first[1])
  expect(w.counters.get('coordinator.hosts.over-limit')).toBe(1)
  const node = w.member('pc', ROLE_NODE, '192.0.2.8:4330')
  expect(w.register(node, [a]).hosts).toEqual([])
})

test('who may not register: strangers, a wrong name, another version, the revoked', () => {
  const w = new CoordinatorWorld()
  const stranger = w.box('stranger', ROLE_NODE, PUBLIC)
  w.hello(stranger)
  expect(w.ask(stranger, w.registration(stranger))).toMatchObject({ code: 'forbidden' })
  expect(w.answers.get(w.direct(stranger, 'v6only.example'))).toMatchObject({ code: 'not-registered' })
  const box = w.member('plc', ROLE_NODE, PUBLIC)
  const message = w.registration(box) as object
  expect(w.ask(box, { ...message, name: 'other.ntm.example' } as never)).toMatchObject({ code: 'forbidden' })
  expect(w.ask(box, { ...message, versionMin: 2, versionMax: 3 } as never)).toMatchObject({ code: 'version' })
  w.core.revoke(box.node, w.now)
  w.hello(box)
  expect(w.ask(box, w.registration(box))).toMatchObject({ code: 'revoked' })
})

test('only addresses that can exist outside are kept', () => {
  const { plan } = new CoordinatorWorld().settings
  const of = (...texts: string[]) => texts.map((t) => ({ type: 'local' as const, endpoint: ep(t), priority: 1 }))
  const kept = usableCandidates(
    of('10.1.2.3:4330', '127.0.0.1:4330', '169.254.1.1:4330', '224.0.0.1:4330', '198.18.0.5:4330', '198.19.0.5:4330',
      '[fe80::1]:4330', '[fd00::1]:4330', '[::1]:4330', '[ff02::1]:4330', '[2001:db8::1]:4330', '192.0.2.1:4330'), // biome-ignore format: a list
    plan,
  )
  expect(kept.map((c) => c.endpoint)).toEqual([ep('10.1.2.3:4330'), ep('[2001:db8::1]:4330'), ep('192.0.2.1:4330')])
})

test('a NAT that keeps the address and changes the port is a NAT', () => {
  const candidates = [{ type: 'local' as const, endpoint: ep(PUBLIC), priority: 1 }]
  expect(behindNat(candidates, ep(PUBLIC))).toBe(false)
  expect(behindNat(candidates, ep('192.0.2.7:4331'))).toBe(true)
  const confirmed = { 4: ep(PUBLIC), 6: null }
  expect(reach({ candidates, observed: ep(PUBLIC), confirmed }, 4)).toBe('open')
  expect(reach({ candidates, observed: ep(PUBLIC), confirmed: { 4: null, 6: null } }, 4)).toBe('natted')
  expect(reach({ candidates, observed: ep(PUBLIC), confirmed }, 6)).toBe('none')
})
