import { expect, test } from 'vitest'
import { nodeId, nodeKey } from '#ntm-lib/addr/ids.ts'
import { wallTime } from '#ntm-lib/base/time.ts'
import { ROLE_BRIDGE, ROLE_TT } from '#ntm-lib/wire/certificate.ts'
import { ep } from '#test/support/coordinator-world.ts'
import type { Presence } from './presence.ts'
import { chooseTerminator, decideRoute, reachability } from './route.ts'

const open = { 4: 'open', 6: 'none' } as const
const natted = { 4: 'natted', 6: 'none' } as const

test('SEED 002 §3.3: the end behind the NAT opens; two NATs or two families need a relay', () => {
  expect(decideRoute(open, open)).toBe('initiator')
  expect(decideRoute(natted, open)).toBe('initiator')
  expect(decideRoute(open, natted)).toBe('correspondent')
  expect(decideRoute(natted, natted)).toBeNull()
  expect(decideRoute(open, { 4: 'none', 6: 'open' })).toBeNull()
  // Two NATs in IPv4, but one end reachable in IPv6.
  expect(decideRoute({ 4: 'natted', 6: 'natted' }, { 4: 'natted', 6: 'open' })).toBe('initiator')
  expect(decideRoute({ 4: 'open', 6: 'none' }, { 4: 'natted', 6: 'natted' })).toBe('correspondent')
})

test('an address in a registration is reachable when proven, or when a terminator names it', () => {
  expect(reachability(box(1, ROLE_BRIDGE))).toEqual({ 4: 'natted', 6: 'none' })
  expect(reachability(box(1, ROLE_TT))).toEqual({ 4: 'open', 6: 'none' })
  const proven = { ...box(1, ROLE_BRIDGE), confirmed: { 4: ep('192.0.2.1:4330'), 6: null } }
  expect(reachability(proven)).toEqual({ 4: 'open', 6: 'none' })
})

test('a node stays at its terminator until another has clearly less to do; a silent one is left', () => {
  const load = new Map([
    [2, 30],
    [3, 25],
    [4, 24],
  ])
  const ask = (last: number | null, suspect: number[] = [], tried: number[] = []): number | undefined =>
    chooseTerminator({
      initiator: box(1, ROLE_BRIDGE),
      present: [1, 2, 3, 4].map((n) => box(n, n === 1 ? ROLE_BRIDGE : ROLE_TT)),
      tried: new Set(tried.map(key)),
      suspect: (k) => suspect.map(key).includes(k),
      last: last === null ? null : key(last),
      load: (node) => load.get(node[0]!) ?? 0,
      today: wallTime(0),
    })?.node[0]
  expect(ask(null)).toBe(4)
  expect(ask(2)).toBe(2)
  load.set(2, 60)
  expect(ask(2)).toBe(4)
  expect(ask(4, [4])).toBe(3)
  expect(ask(null, [], [4])).toBe(3)
  // All silent: better a doubtful one than none.
  expect(ask(3, [2, 3, 4])).toBe(3)
  expect(ask(null, [], [2, 3, 4])).toBeUndefined()
})

function box(n: number, roles: number): Presence {
  return {
    node: nodeId(new Uint8Array(16).fill(n)),
    roles,
    bootId: new Uint8Array(8),
    locationVersion: 1,
    changes: 0,
    expires: 1,
    loadPercent: 0,
    relays: [],
    hosts: new Set(),
    candidates: [{ type: 'local', endpoint: ep(`192.0.2.${n}:4330`), priority: 1 }],
    observed: ep(`192.0.2.${n}:4330`),
    confirmed: { 4: null, 6: null },
  }
}
function key(n: number): string {
  return nodeKey(nodeId(new Uint8Array(16).fill(n)))
}
