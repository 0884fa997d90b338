import fc from 'fast-check'
import { expect, test } from 'vitest'
import { nodeCrypto } from '#io/crypto-node.ts'
import { nodeKey } from '#ntm-lib/addr/ids.ts'
import { contains } from '#ntm-lib/addr/prefix.ts'
import { DEFAULT_NODES4 } from '#ntm-lib/addr/virtual.ts'
import { wallTime } from '#ntm-lib/base/time.ts'
import { verifyChain } from '#ntm-lib/crypto/certificate.ts'
import { ROLE_BRIDGE, ROLE_NODE, ROLE_TT } from '#ntm-lib/wire/certificate.ts'
import type { Response } from '#ntm-lib/wire/message.ts'
import { type Box, CoordinatorWorld } from '#test/support/coordinator-world.ts'

const AT = '192.0.2.7:4330'
const HOURS = 3_600_000

test('a token makes a member whose chain leads to the root, with addresses from the plan', () => {
  const w = new CoordinatorWorld()
  const box = w.box('plc', ROLE_BRIDGE, AT)
  const proven = prove(w, w.enrol(box))
  expect(proven).toMatchObject({ ok: true, value: { leaf: { name: 'plc.ntm.example', roles: ROLE_BRIDGE } } })
  const { pair } = w.store.member(box.node)!
  expect(contains(w.settings.plan.nodes4, pair.vip4)).toBe(true)
  expect(contains(w.settings.plan.nodes6, pair.vip6)).toBe(true)
  expect(w.core.admits(box.node, box.staticKey)).toBe('yes')
  expect(w.core.admits(box.node, nodeCrypto.x25519Pair().public)).toBe('unknown')
  expect(w.events()).toMatchObject([{ event: 'enrolled', name: 'plc.ntm.example' }])
})

test('attack 10: replayed, raced by two boxes, answer lost: one identity, and the retry succeeds', () => {
  const w = new CoordinatorWorld()
  const [mine, thief] = [w.box('plc', ROLE_BRIDGE, AT), w.box('other', ROLE_BRIDGE, '192.0.2.8:4330')]
  // Both have opened a session with the same token before either asks.
  w.hello(mine, mine.token.id)
  w.hello(thief, mine.token.id)
  const first = w.ask(mine, { kind: 'cert-renew', chain: [] })
  const second = w.ask(thief, { kind: 'cert-renew', chain: [] })
  expect(first.kind).toBe('cert-renew-response')
  expect(second).toMatchObject({ kind: 'refusal', code: 'unknown-token' })
  // The answer was lost: the box starts over, also after a restart of the coordinator, and gets the same membership.
  expect(w.enrol(mine)).toEqual(first)
  w.restart()
  expect(w.enrol(mine)).toEqual(first)
  expect(w.enrol(thief, mine.token)).toMatchObject({ code: 'unknown-token' })
  expect(w.store.members().map((m) => nodeKey(m.node))).toEqual([nodeKey(mine.node)])
  expect(w.logged.some((l) => l.event === 'enrol.token-reused')).toBe(true)
  // A day later the token is good for nobody.
  w.wall = wallTime(w.wall + 24 * HOURS)
  expect(w.core.tokenPsk(mine.token.id)).toBeNull()
  expect(w.ask(mine, { kind: 'cert-renew', chain: [] })).toMatchObject({ kind: 'refusal', code: 'unknown-token' })
})

test('attack 10, at every interleaving of two boxes, repeats and restarts: exactly one identity', () => {
  const step = fc.constantFrom('hello mine', 'hello thief', 'ask mine', 'ask thief', 'restart')
  fc.assert(
    fc.property(fc.array(step, { maxLength: 14 }), (steps) => {
      const w = new CoordinatorWorld()
      const boxes: Record<string, Box> = {
        mine: w.box('plc', ROLE_BRIDGE, AT),
        thief: w.box('other', ROLE_BRIDGE, '192.0.2.8:4330'),
      }
      const token = boxes['mine']!.token
      const open = new Set<string>()
      const won = new Map<string, Response>()
      for (const s of steps) {
        const [what, who = ''] = s.split(' ')
        const box = boxes[who]!
        if (what === 'restart') {
          w.restart()
          open.clear()
        } else if (what === 'hello' && w.core.tokenPsk(token.id) !== null) {
          w.hello(box, token.id)
          open.add(who)
        } else if (what === 'ask' && open.has(who)) {
          const answer = w.ask(box, { kind: 'cert-renew', chain: [] })
          if (answer.kind === 'refusal') continue
          expect(won.get(who) ?? answer).toEqual(answer)
          won.set(who, answer)
        }
      }
      expect(won.size).toBeLessThanOrEqual(1)
      expect(w.store.members().length).toBe(won.size)
    }),
    { numRuns: 60 },
  )
})

test('five refused tries end a token', () => {
  const w = new CoordinatorWorld()
  const [mine, thief] = [w.box('plc', ROLE_BRIDGE, AT), w.box('other', ROLE_BRIDGE, AT)]
  w.enrol(mine)
  for (let i = 0; i < 5; i++) {
    expect(w.core.tokenPsk(mine.token.id)).not.toBeNull()
    expect(w.enrol(thief, mine.token)).toMatchObject({ code: 'unknown-token' })
  }
  expect(w.core.tokenPsk(mine.token.id)).toBeNull()
  expect(w.core.admits(mine.node, mine.staticKey)).toBe('yes')
})

test('an expired token, an unknown token', () => {
  const w = new CoordinatorWorld()
  const box = w.box('plc', ROLE_BRIDGE, AT)
  w.hello(box, box.token.id)
  w.wall = wallTime(w.wall + 2 * HOURS)
  expect(w.core.tokenPsk(box.token.id)).toBeNull()
  expect(w.ask(box, { kind: 'cert-renew', chain: [] })).toMatchObject({ kind: 'refusal', code: 'expired' })
  expect(w.core.tokenPsk(nodeCrypto.random(8))).toBeNull()
  expect(w.store.members()).toEqual([])
})

test('a name belongs to the box it was first given to, with an alarm in the log', () => {
  const w = new CoordinatorWorld()
  w.member('plc', ROLE_BRIDGE, AT)
  const second = w.box('plc', ROLE_BRIDGE, '192.0.2.8:4330')
  expect(w.enrol(second)).toMatchObject({ kind: 'refusal', code: 'duplicate-name' })
  expect(w.logged.find((l) => l.event === 'enrol.duplicate-name')?.fields).toMatchObject({ name: 'plc.ntm.example' })
  expect(w.store.member(second.node)).toBeNull()
  expect(w.store.token(second.token.id)).toMatchObject({ usedBy: null, failures: 1 })
})

test('a terminator signs its own membership with the grant of its token; nobody else can', () => {
  const w = new CoordinatorWorld()
  const tt = w.box('tt1', ROLE_TT, '198.51.100.9:4330')
  const other = w.box('tt2', ROLE_TT, '198.51.100.10:4330')
  w.hello(tt, tt.token.id)
  expect(w.ask(tt, { kind: 'cert-renew', chain: [] })).toMatchObject({ code: 'forbidden' })
  expect(w.ask(tt, { kind: 'cert-renew', chain: w.granted(other) })).toMatchObject({ code: 'forbidden' })
  expect(w.ask(tt, { kind: 'cert-renew', chain: w.granted({ ...tt, staticKey: other.staticKey }) })).toMatchObject({
    code: 'forbidden',
  })
  const [leaf, grant] = w.granted(tt)
  const forged = leaf!.slice()
  forged[40]! ^= 1
  expect(w.ask(tt, { kind: 'cert-renew', chain: [forged, grant!] })).toMatchObject({ kind: 'refusal' })
  expect(w.store.member(tt.node)).toBeNull()
  expect(prove(w, w.ask(tt, { kind: 'cert-renew', chain: w.granted(tt) }))).toMatchObject({ ok: true })
  expect(w.store.member(tt.node)).toMatchObject({ name: 'tt1.ntm.example', roles: ROLE_TT })
})

test('the grant of another token is no good, even for the same name: its holder may be somebody else', () => {
  const w = new CoordinatorWorld()
  const [tt, spare] = [w.box('tt1', ROLE_TT, AT), w.box('tt1', ROLE_TT, AT)]
  w.hello(tt, tt.token.id)
  const chain = w.granted({ ...tt, grant: spare.grant })
  expect(w.ask(tt, { kind: 'cert-renew', chain })).toMatchObject({ code: 'forbidden' })
})

test('renewal: fresh gives the same, in the last third a new one, expired still works, revoked never', () => {
  const w = new CoordinatorWorld()
  const box = w.member('plc', ROLE_BRIDGE, AT)
  const renew = (): Response => {
    w.hello(box)
    return w.ask(box, { kind: 'cert-renew', chain: [] })
  }
  const first = renew()
  expect(first).toMatchObject({ chain: w.store.member(box.node)!.chain })
  w.wall = wallTime(w.wall + 61 * 24 * HOURS)
  const second = renew()
  expect(second).not.toEqual(first)
  expect(prove(w, second)).toMatchObject({ ok: true })
  w.wall = wallTime(w.wall + 120 * 24 * HOURS)
  // Expired: it may say hello and renew, and nothing else.
  expect(prove(w, second)).toMatchObject({ ok: false, fault: 'expired' })
  expect(w.core.admits(box.node, box.staticKey)).toBe('yes')
  w.hello(box)
  expect(w.ask(box, w.registration(box))).toMatchObject({ kind: 'refusal', code: 'expired' })
  expect(prove(w, renew())).toMatchObject({ ok: true })
  expect(w.register(box).kind).toBe('registration-response')
  w.core.revoke(box.node, w.now)
  expect(w.core.admits(box.node, box.staticKey)).toBe('revoked')
  expect(renew()).toMatchObject({ kind: 'refusal', code: 'revoked' })
})

test('an enrolment session may ask for nothing but the membership', () => {
  const w = new CoordinatorWorld()
  const box = w.box('plc', ROLE_BRIDGE, AT)
  w.hello(box, box.token.id)
  expect(w.ask(box, w.registration(box))).toMatchObject({ kind: 'refusal', code: 'forbidden' })
  expect(w.answers.get(w.direct(box, 'v6only.example'))).toMatchObject({ kind: 'refusal', code: 'forbidden' })
})

test('no virtual address left for nodes', () => {
  const w = new CoordinatorWorld(undefined, { plan: { nodes4: { ...DEFAULT_NODES4, bits: 30 } } })
  w.member('a', ROLE_NODE, AT)
  w.member('b', ROLE_NODE, AT)
  expect(w.enrol(w.box('c', ROLE_NODE, AT))).toMatchObject({ code: 'pool-exhausted' })
  expect(w.store.members().length).toBe(2)
})

function prove(w: CoordinatorWorld, answer: Response): ReturnType<typeof verifyChain> {
  if (answer.kind !== 'cert-renew-response') throw new RangeError(JSON.stringify(answer))
  return verifyChain({
    suite: nodeCrypto,
    chain: answer.chain,
    rootPublicKey: w.network.root.public,
    now: w.wall,
    floor: wallTime(0),
    revoked: () => false,
  })
}
