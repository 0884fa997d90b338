import { expect, test } from 'vitest'
import { endpointOf } from '#test/support/route.ts'
import type { PacketOrder } from '../worker/words.ts'
import { Orders } from './packet-host.ts'
import { workersFor } from './thread-host.ts'

class Host extends Orders<string, never> {
  readonly posts: (readonly PacketOrder[])[] = []
  protected override post(orders: readonly PacketOrder[]): void {
    this.posts.push(orders)
  }
}

test('what is told in one turn leaves together and in order, without being asked to', async () => {
  const host = new Host(() => {})
  host.apply({ mirror: 'gone', row: 1 })
  host.send(endpointOf('192.0.2.1:1'), Uint8Array.of(1))
  host.tell('hello')
  expect(host.posts).toEqual([])
  await null
  expect(host.posts.map((p) => p.map((o) => o.order))).toEqual([['mirror', 'send', 'role']])
  host.tell('again')
  host.flush()
  await null
  expect(host.posts).toHaveLength(2)
})

test('a datagram takes only its own bytes along', () => {
  const host = new Host(() => {})
  const large = new Uint8Array(65_536)
  host.send(endpointOf('192.0.2.1:1'), large.subarray(10, 20))
  host.flush()
  const [order] = host.posts[0] ?? []
  expect(order?.order === 'send' ? order.bytes.buffer.byteLength : 0).toBe(10)
})

test('as many workers as there are cores to spare and lanes; a terminator has several only when told to', () => {
  expect([1, 2, 3, 4, 64].map((cores) => workersFor('tun', cores))).toEqual([1, 1, 2, 3, 3])
  expect([2, 64].map((cores) => workersFor('bridge', cores))).toEqual([1, 3])
  expect([2, 64].map((cores) => workersFor('tt', cores))).toEqual([1, 1])
})
