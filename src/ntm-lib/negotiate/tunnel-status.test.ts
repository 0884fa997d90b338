import { expect, test } from 'vitest'
import { parseEndpoint } from '../addr/endpoint.ts'
import type { Via } from '../addr/via.ts'
import type { Whereabouts } from '../wire/messages/direction.ts'
import { whyRelayed } from './tunnel-status.ts'
import { onWay } from './ways.ts'

const at = (text: string) => parseEndpoint(text) ?? expect.fail(text)
const via = (text: string): Via => ({ ip: at(text).ip, ifindex: 2 })
const RELAY = at('192.0.2.9:4330')
const FOUR = at('203.0.113.5:4330')
const SIX = at('[2001:db8::5]:4330')
const relayed = onWay({ via: null, to: RELAY, kind: 'relay', rank: 1000 }, true)
const where = (change: Partial<Whereabouts>): Whereabouts => ({
  ...{ peerCandidates: [], peerLocationVersion: 1, way: 'relay', optimise: 'ice', relay: null },
  ...change,
})
const why = (change: Partial<Whereabouts>, candidates = [FOUR], vias = [via('192.168.1.2:4330')]) =>
  whyRelayed({ ways: relayed, whereabouts: where(change), candidates }, vias)

test('a path that goes directly needs no reason, nor one that is not open', () => {
  const direct = onWay({ via: null, to: FOUR, kind: 'direct', rank: 0 }, true)
  expect(whyRelayed({ ways: direct, whereabouts: where({}), candidates: [FOUR] }, [])).toBeNull()
  expect(whyRelayed({ ways: null, whereabouts: where({}), candidates: [FOUR] }, [])).toBeNull()
})

test('why a path is relayed', () => {
  expect(why({ optimise: 'seed' })).toBe('seed')
  // The coordinator has changed its mind: nothing forbids the direct way.
  expect(why({ optimise: 'seed', way: 'direct' })).toBe('unanswered')
  expect(why({}, [])).toBe('no-address')
  expect(why({}, [SIX])).toBe('no-common-family')
  expect(why({}, [SIX, FOUR])).toBe('both-natted')
  expect(why({ way: 'direct' })).toBe('unanswered')
})

test('without ways of our own to look at, no family is ruled out', () => {
  expect(why({}, [SIX], [])).toBe('both-natted')
})
