import { expect, test } from 'vitest'
import { parseIp } from '#ntm-lib/addr/ip.ts'
import type { MirrorCommand } from '#ntm-lib/negotiate/mirror.ts'
import { innerPacket } from '#test/support/inner.ts'
import { prefixOf } from '#test/support/network.ts'
import { TunRoutes } from './tun-routes.ts'

const A = '198.18.0.1'
const A6 = 'fd12::1'

test('a packet takes the path that leads to its destination, the longest prefix first', () => {
  const routes = new TunRoutes()
  routes.mirrored(path(1, ['198.18.0.0/16', 'fd12::/48']))
  routes.mirrored(path(2, ['198.18.0.7/32', 'fd12::7/128']))
  expect(row(routes, A, '198.18.9.9')).toBe(1)
  expect(row(routes, A, '198.18.0.7')).toBe(2)
  expect(row(routes, A6, 'fd12::9')).toBe(1)
  expect(row(routes, A6, 'fd12::7')).toBe(2)
  expect(row(routes, A, '192.0.2.1')).toBe(0)
})

test('nothing leads into a path that does not lead, or has gone', () => {
  const routes = new TunRoutes()
  routes.mirrored(path(1, ['198.18.0.7/32'], false))
  expect(row(routes, A, '198.18.0.7')).toBe(0)
  routes.mirrored(path(1, ['198.18.0.7/32']))
  routes.mirrored(path(1, ['198.18.0.7/32']))
  expect(row(routes, A, '198.18.0.7')).toBe(1)
  routes.mirrored(path(1, ['198.18.0.7/32'], false))
  expect(row(routes, A, '198.18.0.7')).toBe(0)
  routes.mirrored(path(2, ['198.18.0.7/32']))
  routes.mirrored({ mirror: 'gone', row: 1 })
  expect(row(routes, A, '198.18.0.7')).toBe(2)
  routes.mirrored({ mirror: 'gone', row: 2 })
  expect(row(routes, A, '198.18.0.7')).toBe(0)
})

test('an address that was given to a box goes there by whatever path leads to it, and nowhere without one', () => {
  const routes = new TunRoutes(true)
  const pool = ['198.19.0.0/16', 'fd13::/64']
  routes.mirrored(path(1, pool, true, 'tt1'))
  routes.mirrored(path(2, pool, true, 'tt2'))
  // Two terminators have one pool: which of them serves an address is not in any prefix.
  expect(row(routes, A, '198.19.0.7')).toBe(0)
  routes.give(parseIp('198.19.0.7')!, 1)
  routes.give(parseIp('fd13::7')!, 1)
  expect(row(routes, A, '198.19.0.7')).toBe(1)
  expect(row(routes, A6, 'fd13::7')).toBe(1)
  expect(row(routes, A, '198.19.0.8')).toBe(0)
  // A newer path with the same box takes its place.
  routes.mirrored(path(3, pool, true, 'tt1'))
  routes.mirrored(path(1, pool, false, 'tt1'))
  routes.mirrored({ mirror: 'gone', row: 1 })
  expect(row(routes, A, '198.19.0.7')).toBe(3)
  routes.mirrored({ mirror: 'gone', row: 3 })
  expect(row(routes, A, '198.19.0.7')).toBe(0)
  routes.give(parseIp('198.19.0.7')!, 2)
  expect(row(routes, A, '198.19.0.7')).toBe(2)
  expect(routes.rowFor(parseIp('198.19.0.7')!)).toBe(2)
})

test('hosts lead by their prefixes also where pools do not', () => {
  const routes = new TunRoutes(true)
  routes.mirrored(path(1, ['198.18.0.7/32', 'fd12::7/128', '198.18.0.0/24']))
  expect(row(routes, A, '198.18.0.7')).toBe(1)
  expect(row(routes, A6, 'fd12::7')).toBe(1)
  expect(row(routes, A, '198.18.0.8')).toBe(0)
})

test('what is no IP packet goes nowhere; TCP is clamped to what travels whole', () => {
  const routes = new TunRoutes()
  routes.mirrored(path(1, ['0.0.0.0/0', '::/0']))
  const bytes = innerPacket(A, '198.18.0.7', 60)
  expect(routes.rowTo(viewOf(bytes), 0, 19)).toBe(0)
  expect(routes.rowTo(viewOf(innerPacket(A6, A6, 60)), 0, 39)).toBe(0)
  expect(routes.rowTo(viewOf(Uint8Array.from(bytes, (b, i) => (i === 0 ? 0x15 : b))), 0, 60)).toBe(0)
  expect([routes.mss(1, 4), routes.mss(1, 6)]).toEqual([1400, 1380])
})

const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
const row = (routes: TunRoutes, from: string, to: string): number =>
  routes.rowTo(viewOf(innerPacket(from, to, 60)), 0, 60)

function path(row: number, prefixes: readonly string[], leads = true, peer = 'x'): MirrorCommand {
  return {
    mirror: 'path',
    path: {
      row,
      peer,
      ids: [row],
      id: row,
      direction: 0,
      to: null,
      wholeBytes: 1440,
      innerBytes: 1440,
      clampBytes: 1440,
      leads,
      ownAllowed: [],
      peerAllowed: prefixes.map(prefixOf),
      epochs: [],
      seals: null,
      tell: false,
      via: null,
      ahead: null,
    },
  }
}
