import { expect, test } from 'vitest'
import { ROLE_NODE } from '#ntm-lib/wire/certificate.ts'
import { CoordinatorWorld } from '#test/support/coordinator-world.ts'
import { putRevoked } from './revocation.ts'

test('another program writes a revocation into the store: paths, session and presence end, once', () => {
  const { w, a, b, relay } = scene()
  w.core.followRevocations(w.now)
  expect(w.asked).toEqual([])
  putRevoked(w.store, w.store.member(a.node)!)
  w.core.followRevocations(w.now)
  expect([w.asks(b), w.asks(relay)]).toEqual([['path-close'], ['relay-release']])
  expect(w.sessions.peer(a.node)).toBeNull()
  expect(w.core.presences.get(a.node)).toBeNull()
  expect(w.store.contractsOf(b.node)).toEqual([])
  expect(w.core.admits(a.node, a.staticKey)).toBe('revoked')
  w.asked.length = 0
  w.core.followRevocations(w.now)
  expect(w.core.revoke(b.node, w.now)).toBe(true)
  expect(
    w
      .events()
      .filter((e) => e.event === 'revoked')
      .map((e) => ('name' in e ? e.name : '')),
  ).toEqual([a.name, b.name])
  expect(w.store.number('revocation-version')).toBe(2)
})

test('revoked while the coordinator was down: nothing of the box is left when it is up', () => {
  const { w, a, b } = scene()
  putRevoked(w.store, w.store.member(a.node)!)
  w.restart()
  w.register(b)
  w.core.followRevocations(w.now)
  expect(w.asks(b)).toEqual(['path-close'])
  expect(w.store.contractsOf(b.node)).toEqual([])
})

function scene() {
  const w = new CoordinatorWorld()
  const a = w.member('a', ROLE_NODE, '203.0.113.5:61001', ['10.0.0.2:4330'])
  const b = w.member('b', ROLE_NODE, '203.0.113.6:61002', ['10.0.0.3:4330'])
  const relay = w.relay('relay1', '198.51.100.20:4330')
  w.direct(a, b.name)
  w.relayed(relay)
  w.accept(b)
  w.asked.length = 0
  return { w, a, b, relay }
}
