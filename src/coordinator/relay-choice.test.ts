import fc from 'fast-check'
import { expect, test } from 'vitest'
import { nodeId, nodeKey } from '#ntm-lib/addr/ids.ts'
import { wallTime } from '#ntm-lib/base/time.ts'
import { ROLE_NODE, ROLE_RELAY } from '#ntm-lib/wire/certificate.ts'
import { ep } from '#test/support/coordinator-world.ts'
import type { Presence } from './presence.ts'
import { chooseRelay } from './relay-choice.ts'

const A = 101
const B = 102

test('the least round trip from end to end wins, then the least load', () => {
  const world = { loads: { 1: 0, 2: 80, 3: 10 }, a: { 1: 40, 2: 10, 3: 20 }, b: { 1: 5, 2: 10, 3: 30 } }
  expect(choose(world)).toBe(2)
  expect(choose({ ...world, b: { 1: 5, 2: 90, 3: 24 } })).toBe(3)
  expect(choose({ ...world, b: { 1: 5, 2: 90, 3: 25 } })).toBe(1)
})

test('unmeasured counts as far, unanswered as last but one, suspect as last, nearly full as doubtful', () => {
  expect(choose({ loads: { 1: 0, 2: 0 }, a: { 1: 30 }, b: { 1: 30 } })).toBe(1)
  expect(choose({ loads: { 1: 0, 2: 0 }, a: { 1: 150 }, b: { 1: 150 } })).toBe(2)
  expect(choose({ loads: { 1: 0, 2: 0 }, a: { 1: 65_535, 2: 900 }, b: { 1: 1, 2: 900 } })).toBe(2)
  expect(choose({ loads: { 1: 90, 2: 89 }, a: { 1: 1, 2: 400 }, b: { 1: 1, 2: 400 } })).toBe(2)
  const near = { loads: { 1: 0, 2: 95 }, a: { 1: 1, 2: 300 }, b: { 1: 1, 2: 65_535 } }
  expect(choose({ ...near, suspects: [1] })).toBe(2)
  expect(choose({ loads: { 1: 0, 2: 95 }, a: { 1: 65_535, 2: 300 }, b: { 1: 1, 2: 300 } })).toBe(2)
  // Better a doubtful one than none.
  expect(choose({ loads: { 1: 100 }, a: {}, b: {}, suspects: [1] })).toBe(1)
  expect(choose({ loads: { 1: 0 }, a: {}, b: {}, tried: [1] })).toBeUndefined()
})

test('a path leaves its relay for a fifth and 10 ms, not for one of them, and at once when the relay is in doubt', () => {
  const at = (mine: number, other: number, more = {}) =>
    choose({ loads: { 1: 0, 2: 0 }, a: { 1: mine, 2: other }, b: { 1: 0, 2: 0 }, current: 1, ...more })
  expect(at(100, 95)).toBe(1)
  expect(at(100, 85)).toBe(1)
  expect(at(100, 80)).toBe(2)
  expect(at(18, 9)).toBe(1)
  expect(at(20, 9)).toBe(2)
  expect(at(10, 500, { suspects: [1] })).toBe(2)
  expect(at(10, 500, { loads: { 1: 90, 2: 0 } })).toBe(2)
})

test('a relay must speak a family of each end, be in its time, and is no end itself', () => {
  const [v4, v6] = [relay(1, 0), relay(2, 0, ['[2001:db8::2]:4330'])]
  const [a, b] = [end(A, {}), end(B, {}, ['[2001:db8::b]:4330'])]
  const ask = (present: Presence[], today = 0) =>
    chooseRelay({
      ends: [a, b],
      present,
      today: wallTime(today),
      tried: new Set(),
      suspect: () => false,
      current: null,
    })
  expect(ask([v4, v6])).toBeNull()
  const both = relay(3, 0, ['198.51.100.3:4330', '[2001:db8::3]:4330'])
  expect(ask([v4, v6, both])?.node[0]).toBe(3)
  expect(ask([both], 2_000_000)).toBeNull()
  expect(ask([{ ...a, roles: ROLE_NODE | ROLE_RELAY }])).toBeNull()
})

test('whatever is read and said: the choice depends on nothing but that, is among the fit, and is stable', () => {
  const readings = fc.dictionary(fc.constantFrom('1', '2', '3', '4'), fc.nat(400))
  fc.assert(
    fc.property(
      fc.array(fc.nat(100), { minLength: 1, maxLength: 4 }),
      readings,
      readings,
      fc.array(fc.integer({ min: 1, max: 4 })),
      fc.integer({ min: 1, max: 4 }),
      (loads, a, b, tried, current) => {
        const world = { loads: Object.fromEntries(loads.map((l, i) => [i + 1, l])), a, b, tried }
        const got = choose({ ...world, current })
        const fit = loads.map((_, i) => i + 1).filter((n) => !tried.includes(n))
        expect(got === undefined).toBe(fit.length === 0)
        if (got === undefined) return
        expect(fit).toContain(got)
        // Once there, it stays there; and it stays wherever that is not clearly worse.
        expect(choose({ ...world, current: got })).toBe(got)
      },
    ),
  )
})

type World = {
  readonly loads: Readonly<Record<number, number>>
  readonly a: Readonly<Record<number, number>>
  readonly b: Readonly<Record<number, number>>
  readonly suspects?: readonly number[]
  readonly tried?: readonly number[]
  readonly current?: number
}

function choose(w: World): number | undefined {
  const chosen = chooseRelay({
    ends: [end(A, w.a), end(B, w.b)],
    present: [...Object.entries(w.loads).map(([n, load]) => relay(Number(n), load)), end(A, w.a)].toReversed(),
    today: wallTime(0),
    tried: new Set((w.tried ?? []).map(key)),
    suspect: (k) => (w.suspects ?? []).map(key).includes(k),
    current: w.current === undefined ? null : key(w.current),
  })
  return chosen?.node[0]
}

const relay = (n: number, loadPercent: number, own = [`198.51.100.${n}:4330`]): Presence => ({
  ...end(n, {}, own),
  roles: ROLE_RELAY,
  loadPercent,
})

function end(n: number, trips: Readonly<Record<number, number>>, own = [`192.0.2.${n}:4330`]): Presence {
  return {
    node: nodeId(new Uint8Array(16).fill(n)),
    roles: ROLE_NODE,
    bootId: new Uint8Array(8),
    locationVersion: 1,
    changes: 0,
    expires: 1000,
    loadPercent: 0,
    relays: Object.entries(trips).map(([r, rttMillis]) => ({
      relay: nodeId(new Uint8Array(16).fill(Number(r))),
      rttMillis,
    })),
    hosts: new Set(),
    candidates: own.map((text) => ({ type: 'local', endpoint: ep(text), priority: 1 })),
    observed: ep(own[0]!),
    confirmed: { 4: null, 6: null },
  }
}
function key(n: number): string {
  return nodeKey(nodeId(new Uint8Array(16).fill(n)))
}
