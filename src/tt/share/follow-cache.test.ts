import { expect, test } from 'vitest'
import { parseIp4 } from '#ntm-lib/addr/ip4.ts'
import { parseIp6 } from '#ntm-lib/addr/ip6.ts'
import { instant } from '#ntm-lib/base/time.ts'
import { packet4, packet6, udp, viewOf } from '#ntm-lib/packet/build.ts'
import { newFiveTuple, readTuple } from '#ntm-lib/packet/five-tuple.ts'
import { UDP } from '#ntm-lib/packet/protocol.ts'
import { newFlowNode } from '../flow-node.ts'
import type { FlowCopy } from './flow-copy.ts'
import { FollowCache, type Followed, type Held } from './follow-cache.ts'

const HOST4 = parseIp4('198.18.0.5')!
const HOST6 = parseIp6('fd00:1:2::5')!
const VIRTUAL = parseIp4('198.19.0.7')!
const REAL = parseIp6('2001:db8::80')!
const at = (s: number) => instant(s * 1000)
const copy = (id: number, port = 1000 + id): FlowCopy => ({
  id,
  peer: 'a',
  version: 0,
  inner: { protocol: UDP, source: HOST4, sourcePort: port, destination: VIRTUAL, destinationPort: 80 },
  edge: { protocol: UDP, source: HOST6, sourcePort: port, destination: REAL, destinationPort: 80 },
})
const packet = (n: number, size = 1): Uint8Array => new Uint8Array(size).fill(n)

class World {
  readonly handed: string[] = []
  readonly carried: string[] = []
  readonly node = newFlowNode('a')
  readonly cache = new FollowCache(7, (row, bytes, gso) => this.handed.push(`${row}:${bytes[0]}:${gso}`))

  offer(id: number, now = at(0), port?: number): Followed {
    this.cache.offer(copy(id, port), this.node, now)
    return this.find(port ?? 1000 + id)!
  }

  find(port: number, node = this.node): Followed | null {
    const p = packet4({ source: HOST4, destination: VIRTUAL, protocol: UDP, payload: udp(port, 80, packet(0)) })
    const t = newFiveTuple()
    readTuple(viewOf(p), 0, p.length, t)
    return this.cache.findInner(viewOf(p), t, node)
  }

  /** A packet of the flow: whether it went on at once. */
  meet(flow: Followed, outward: boolean, n: number, size = 1): boolean {
    if (this.cache.admits(flow, outward)) return true
    this.cache.hold(flow, outward, outward ? 3 : 0, packet(n, size), 0)
    return false
  }

  passed(fence: number | null): string[] {
    this.cache.passed(fence!, ({ row, bytes }: Held) => this.carried.push(`${row}:${bytes[0]}`))
    return this.carried.splice(0)
  }
}

test('an offered flow is found by either side, as the host or the edge names it', () => {
  const w = new World()
  const flow = w.offer(1)
  expect(flow.id).toBe(1)
  expect(flow.pairs).toEqual({ host4: HOST4, host6: HOST6, server4: VIRTUAL, server6: REAL })
  expect(w.find(1001, newFlowNode('b'))).toBe(null)
  const p = packet6({ source: HOST6, destination: REAL, protocol: UDP, payload: udp(1001, 80, packet(0)) })
  const t = newFiveTuple()
  readTuple(viewOf(p), 0, p.length, t)
  expect(w.cache.findEdge(viewOf(p), t)).toBe(flow)
})

test('each direction waits for a fence of its own, then its packets go in their order', () => {
  const w = new World()
  const [one, two] = [w.offer(1), w.offer(2)]
  expect(w.cache.fence()).toBe(null)
  expect([w.meet(one, true, 1), w.meet(two, true, 2), w.meet(one, true, 3)]).toEqual([false, false, false])
  const first = w.cache.fence()
  expect([first, w.cache.fence()]).toEqual([1, null])
  // These come while the lead is on its way to the fence; the other direction's fence is a later one.
  expect([w.meet(one, true, 4), w.meet(one, false, 5)]).toEqual([false, false])
  const second = w.cache.fence()
  expect(w.passed(first)).toEqual(['3:1', '3:3', '3:4', '3:2'])
  expect([w.meet(one, true, 6), w.meet(one, false, 7)]).toEqual([true, false])
  expect(w.passed(second)).toEqual(['0:5', '0:7'])
  expect(w.meet(one, false, 8)).toBe(true)
  expect([w.handed, w.cache.heldBytes]).toEqual([[], 0])
})

test('what is held of a flow that is void goes to the lead, in order, and nothing of it comes out of the fence', () => {
  const w = new World()
  const [one, two] = [w.offer(1), w.offer(2)]
  for (const n of [1, 2]) w.meet(one, true, n)
  w.meet(two, true, 3)
  w.cache.void(1)
  expect([w.handed, w.find(1001)]).toEqual([['3:1:0', '3:2:0'], null])
  expect(w.passed(w.cache.fence())).toEqual(['3:3'])
  expect(w.cache.heldBytes).toBe(0)
  w.cache.void(1)
})

test('a box that is gone leaves nothing, of another box nothing is missing', () => {
  const w = new World()
  const other = newFlowNode('b')
  w.meet(w.offer(1), true, 1)
  w.cache.offer(copy(2), other, at(0))
  w.cache.removeNode(w.node)
  expect([w.find(1001), w.find(1002, other)?.id, w.handed, w.cache.heldBytes]).toEqual([null, 2, [], 0])
})

test('more than may be held goes to the lead in its order, and so does all that follows', () => {
  const w = new World()
  const flow = w.offer(1)
  const size = 65_000
  let n = 0
  while (w.cache.size === 1) w.meet(flow, true, ++n, size)
  expect(n).toBe(33)
  expect(w.handed).toEqual(Array.from({ length: n }, (_, i) => `3:${i + 1}:0`))
  expect([w.find(1001), w.cache.heldBytes, w.passed(w.cache.fence())]).toEqual([null, 0, []])
})

test('all flows together hold no more than a limit', () => {
  const w = new World()
  for (let id = 1; id <= 20; id++) for (let n = 0; n < 8; n++) w.meet(w.find(1000 + id) ?? w.offer(id), true, n, 65_000)
  expect(w.cache.heldBytes).toBeLessThanOrEqual(8 * 1024 * 1024)
  expect(w.handed.length).toBeGreaterThan(0)
})

test('a flow that is not renewed dies; what was used is told once, by direction', () => {
  const w = new World()
  const [one, two] = [w.offer(1), w.offer(2)]
  w.meet(one, true, 1)
  w.meet(one, false, 1)
  w.meet(two, false, 1)
  expect([...w.cache.tick(at(1))!]).toEqual([32 + 3, 64 + 2])
  expect(w.cache.tick(at(2))).toBe(null)
  w.cache.renew(Float64Array.of(2, 77), at(5))
  w.cache.tick(at(9.9))
  expect(w.cache.size).toBe(2)
  w.cache.tick(at(10))
  expect([w.find(1001), w.find(1002)?.id, w.handed]).toEqual([null, 2, ['3:1:0', '0:1:0']])
  w.cache.tick(at(15))
  expect(w.cache.size).toBe(0)
})

test('another offer renews, and an older flow that looks the same gives way', () => {
  const w = new World()
  const flow = w.offer(1)
  w.meet(flow, true, 1)
  expect(w.passed(w.cache.fence())).toEqual(['3:1'])
  expect(w.offer(1, at(5))).toBe(flow)
  expect([flow.until, flow.out.state]).toEqual([at(15), 'direct'])
  expect(w.offer(9, at(5), 1001).id).toBe(9)
  expect(w.cache.size).toBe(1)
})

test('after a pause outwards answers wait for a fence again: the kernel may have sent them another way', () => {
  const w = new World()
  const flow = w.offer(1)
  for (const out of [true, false]) w.meet(flow, out, 1)
  w.passed(w.cache.fence())
  w.cache.tick(at(1))
  w.cache.tick(at(2))
  expect(w.meet(flow, false, 2)).toBe(true)
  w.cache.tick(at(3))
  expect([w.meet(flow, true, 3), w.meet(flow, false, 4)]).toEqual([true, false])
  expect(w.passed(w.cache.fence())).toEqual(['0:4'])
})

test('clearing hands over everything', () => {
  const w = new World()
  w.meet(w.offer(1), true, 1)
  w.meet(w.offer(2), false, 2)
  w.cache.clear()
  expect([w.cache.size, w.handed]).toEqual([0, ['3:1:0', '0:2:0']])
})
