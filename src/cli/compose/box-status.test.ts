import { expect, test } from 'vitest'
import { parseEndpoint } from '#ntm-lib/addr/endpoint.ts'
import { nodeId } from '#ntm-lib/addr/ids.ts'
import { instant } from '#ntm-lib/base/time.ts'
import { CounterMap } from '#ntm-lib/ports/counters.ts'
import { BoxStatus, countsBelow } from './box-status.ts'

const HASH = new Uint8Array(32)
const PEER = nodeId(new Uint8Array(16).fill(7))

/** A box with one path, or none. */
function box(paths: readonly object[] = []) {
  const made = {
    name: 'box.ntm.example',
    node: {
      state: 'registered',
      tunnels: { list: () => paths, byContract: () => ({ peer: { node: PEER, name: 'plc-7.ntm.example' } }) },
    },
  }
  return new BoxStatus(made as never, { endpoints: [parseEndpoint('192.0.2.1:4330') ?? expect.fail()] })
}

test('the coordinator: why it does not serve us, until it does again', () => {
  const b = box()
  const error = (): unknown => (b.head()['coordinator'] as { lastError: unknown }).lastError
  expect(b.head()).toEqual({
    name: 'box.ntm.example',
    virtual: [],
    coordinator: { state: 'registered', at: ['192.0.2.1:4330'], lastError: null },
  })
  b.onEvent({ event: 'offline' }, instant(0))
  expect(error()).toBe('does not answer')
  b.onEvent({ event: 'refused', code: 'duplicate-name', text: 'taken' }, instant(1))
  expect(error()).toBe('duplicate-name: taken')
  b.onEvent(
    { event: 'registered', answer: { vip4: 0xc6120002, vip6: new Uint8Array(16) }, first: true } as never,
    instant(2),
  )
  expect(error()).toBeNull()
  expect(b.head()['virtual']).toEqual(['198.18.0.2', '::'])
})

test('troubles are told by the name that was asked for, and by the name of a peer that is gone, for an hour', () => {
  const b = box()
  b.asked('1', { by: 'name', name: 'nobody.ntm.example' })
  b.onEvent({ event: 'directed', tag: '1', result: { ok: false, code: 'no-route', text: 'none' } }, instant(0))
  b.asked('2', { by: 'name', name: 'fine.ntm.example' })
  b.onEvent({ event: 'directed', tag: '2', result: { ok: true, contractHash: HASH, row: 1, target: null } }, instant(0))
  b.onEvent({ event: 'path-open', contractHash: HASH, row: 1 }, instant(1000))
  b.onEvent({ event: 'path-gone', contractHash: HASH, row: 1, peer: PEER, why: 'silent' }, instant(2000))
  expect(b.tail(instant(5000))['troubles']).toEqual([
    { about: 'nobody.ntm.example', what: 'no-route: none', agoSeconds: 5 },
    { about: 'plc-7.ntm.example', what: 'silent', agoSeconds: 3 },
  ])
  expect(b.tail(instant(3_601_000))['troubles']).toHaveLength(1)
  expect(b.tail(instant(3_603_000))['troubles']).toEqual([])
})

test('a path has its last error, and says when nothing comes', () => {
  const path = {
    peerName: 'plc-7.ntm.example',
    peer: '07',
    way: 'relay',
    why: 'seed',
    rtt: 12.34,
    openFor: 61_900,
    silent: true,
  }
  const b = box([
    { ...path, state: 'open', at: null, rounds: 2, innerBytesIn: 1, innerBytesOut: 2, innerMtuBytes: 1400 },
  ])
  b.troubles.note('plc-7.ntm.example', 'bad-key', instant(0))
  const shown = {
    state: 'silent',
    way: 'relay',
    why: 'seed',
    rttMs: 12.3,
    ageSeconds: 61,
    lookedFor: 2,
    lastError: 'bad-key',
  }
  expect(b.tail(instant(1))['paths']).toMatchObject([shown])
})

test('counters below a prefix, by the rest of their names', () => {
  const counters = new CounterMap()
  for (const name of ['relay.drop.limit', 'relay.drop.unbound', 'relay.drop.limit', 'relay.bound']) counters.count(name)
  counters.count('relay.drop.nothing', 0)
  expect(countsBelow(counters, 'relay.drop.')).toEqual({ limit: 2, unbound: 1 })
})
