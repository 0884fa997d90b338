import { expect, test } from 'vitest'
import { endpointText } from '#ntm-lib/addr/endpoint.ts'
import { nodeId, nodeKey } from '#ntm-lib/addr/ids.ts'
import { wallTime } from '#ntm-lib/base/time.ts'
import { ROLE_BRIDGE, ROLE_TT } from '#ntm-lib/wire/certificate.ts'
import { ep } from '#test/support/coordinator-world.ts'
import { placesOf } from './locate.ts'
import type { Presence } from './presence.ts'
import { chooseTerminator, decideBetween, decideRoute, reachability } from './route.ts'

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

test('between nodes: every kind of place with every other, as the seeds say; a relay where neither can be reached', () => {
  const kinds = {
    open: at('192.0.2.1:1', '192.0.2.1:1'),
    nat: at('10.0.0.1:1', '203.0.113.1:9'),
    nat2: at('10.0.0.1:1', '203.0.113.2:9'),
    twin: at('10.0.0.2:1', '203.0.113.1:8'),
    v6: at('[2001:db8::1]:1', '[2001:db8::1]:1'),
    // Its IPv6 address is its own word: it speaks to us over IPv4.
    dual: at(['10.0.0.3:1', '[2001:db8::3]:1'], '203.0.113.3:9'),
    nat66: at('[2001:db8::4]:1', '[2001:db8::ff]:9'),
  }
  type Kind = keyof typeof kinds
  const table: readonly (readonly [Kind, Kind, string])[] = [
    ['open', 'open', 'direct correspondent'],
    ['open', 'nat', 'direct correspondent'],
    ['nat', 'open', 'direct initiator'],
    ['nat', 'nat2', 'relay correspondent'],
    ['nat', 'twin', 'direct correspondent'],
    ['open', 'v6', 'relay correspondent'],
    ['nat', 'v6', 'relay correspondent'],
    ['v6', 'v6', 'direct correspondent'],
    ['dual', 'v6', 'direct initiator'],
    ['v6', 'dual', 'direct correspondent'],
    ['dual', 'dual', 'direct correspondent'],
    ['dual', 'nat', 'relay correspondent'],
    ['dual', 'open', 'direct initiator'],
    ['nat66', 'dual', 'direct initiator'],
    ['dual', 'nat66', 'direct correspondent'],
    ['nat66', 'nat66', 'relay correspondent'],
  ]
  for (const [from, to, expected] of table) {
    for (const optimise of ['seed', 'ice'] as const) {
      const d = decideBetween(kinds[from], kinds[to], optimise)
      expect(`${d.way} ${d.opener}`, `${from} to ${to}`).toBe(expected)
      const sameFamily = !['open v6', 'nat v6'].includes(`${from} ${to}`)
      expect(d.alone, `${from} to ${to}`).toBe(d.way === 'direct' || (optimise === 'ice' && sameFamily))
    }
  }
})

test('what a peer is told: proven places, then global IPv6, then private ones where that helps; never more than eight', () => {
  const dual = at(['10.0.0.3:1', '[2001:db8::3]:1'], '203.0.113.3:9')
  const texts = (local: boolean) => placesOf(dual, local).map((c) => endpointText(c.endpoint))
  expect(texts(false)).toEqual(['203.0.113.3:9', '[2001:db8::3]:1'])
  expect(texts(true)).toEqual(['203.0.113.3:9', '[2001:db8::3]:1', '10.0.0.3:1'])
  const many = at(
    Array.from({ length: 12 }, (_, i) => (i < 8 ? `[2001:db8::${i}]:1` : `10.0.0.${i}:1`)),
    '203.0.113.3:9',
  )
  expect(placesOf(many, true).length).toBe(8)
  expect(placesOf(many, true).filter((c) => typeof c.endpoint.ip === 'number').length).toBe(4)
  const priorities = placesOf(many, true).map((c) => c.priority)
  expect(priorities).toEqual(priorities.toSorted((a, b) => b - a))
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
/** A box with these addresses of its own, proven to be where the coordinator sees it. */
function at(own: string | readonly string[], seen: string): Presence {
  const observed = ep(seen)
  const candidates = [own].flat().map((text) => ({ type: 'local' as const, endpoint: ep(text), priority: 1 }))
  const v4 = typeof observed.ip === 'number'
  return {
    ...box(1, ROLE_BRIDGE),
    candidates,
    observed,
    confirmed: { 4: v4 ? observed : null, 6: v4 ? null : observed },
  }
}
function key(n: number): string {
  return nodeKey(nodeId(new Uint8Array(16).fill(n)))
}
