import { expect, test } from 'vitest'
import { parseIp } from '#ntm-lib/addr/ip.ts'
import { parseIp4 } from '#ntm-lib/addr/ip4.ts'
import { parseIp6 } from '#ntm-lib/addr/ip6.ts'
import { instant } from '#ntm-lib/base/time.ts'
import { icmp, packet4, packet6, tcp, udp, viewOf } from '#ntm-lib/packet/build.ts'
import { type FiveTuple, newFiveTuple, readTuple } from '#ntm-lib/packet/five-tuple.ts'
import { ICMP6, TCP, UDP } from '#ntm-lib/packet/protocol.ts'
import { newFlowNode } from './flow-node.ts'
import { type FlowSide, flowSide } from './flow-side.ts'
import { type Flow, FlowTable, reverse } from './flows.ts'
import { candidates, type ServerEntry } from './server-entry.ts'

const HOST4 = parseIp4('198.18.0.5')!
const HOST6 = parseIp6('fd00:1:2::5')!
const REAL = parseIp6('2001:db8::80')!
const [ONE, TWO] = [parseIp4('198.19.0.1')!, parseIp4('198.19.0.2')!]
const at = (s: number) => instant(s * 1000)
const LIMITS = { total: 1000, perNode: 100 }
const entry = (name: string): ServerEntry => ({
  node: 'a',
  name,
  pair: { vip4: ONE, vip6: REAL },
  addresses: [REAL],
  expires: at(60),
  resolveAt: at(48),
  resolving: false,
  lastUsed: at(0),
  flows: 0,
  avoid: new Map(),
})
const side4 = (to: typeof ONE, port: number, protocol = TCP): FlowSide => flowSide(protocol, HOST4, port, to, 80)
const side6 = (port: number, protocol = TCP, to = REAL): FlowSide => flowSide(protocol, HOST6, port, to, 80)
const read = (p: Uint8Array): [DataView, FiveTuple, number] => {
  const t = newFiveTuple()
  readTuple(viewOf(p), 0, p.length, t)
  return [viewOf(p), t, p.length]
}
const opened = (f: Flow | string): Flow => {
  if (typeof f === 'string') throw new Error(f)
  return f
}

test('a flow is found from the tunnel, from the edge, and from the packet inside an error', () => {
  const table = new FlowTable(LIMITS, 77)
  const node = newFlowNode('a')
  const flow = opened(table.open(node, entry('one'), side4(ONE, 1000), side6(1000), at(0)))
  const out = read(packet4({ source: HOST4, destination: ONE, protocol: TCP, payload: tcp(1000, 80, 2) }))
  expect(table.findInner(out[0], out[1], node)).toBe(flow)
  expect(table.findInner(out[0], out[1], newFlowNode('b'))).toBe(null)
  const back = read(packet6({ source: REAL, destination: HOST6, protocol: TCP, payload: tcp(80, 1000, 0x12) }))
  expect(table.findEdge(back[0], back[1])).toBe(null)
  reverse(back[1])
  expect(table.findEdge(back[0], back[1])).toBe(flow)
  const about = packet6({ source: HOST6, destination: REAL, protocol: TCP, payload: tcp(1000, 80, 2) }).slice(0, 48)
  const error = packet6({ source: REAL, destination: HOST6, protocol: ICMP6, payload: icmp(1, 4, 0, about) })
  const t = newFiveTuple()
  readTuple(viewOf(error), 48, error.length - 48, t)
  expect(table.findEdge(viewOf(error), t)).toBe(flow)
})

test('two names with one real address: each reply goes to the name its flow used', () => {
  const table = new FlowTable(LIMITS, 1)
  const node = newFlowNode('a')
  const [one, two] = [entry('one'), entry('two')]
  table.open(node, one, side4(ONE, 1000), side6(1000), at(0))
  table.open(node, two, side4(TWO, 2000), side6(2000), at(0))
  for (const [port, name] of [
    [1000, 'one'],
    [2000, 'two'],
  ] as const) {
    const r = read(packet6({ source: REAL, destination: HOST6, protocol: TCP, payload: tcp(80, port, 0x12) }))
    reverse(r[1])
    expect(table.findEdge(r[0], r[1])?.entry.name).toBe(name)
  }
})

test('the same ports to one real address: an open TCP flow keeps its replies, UDP gives them to the newest', () => {
  const table = new FlowTable(LIMITS, 1)
  const node = newFlowNode('a')
  const tcpFlow = opened(table.open(node, entry('one'), side4(ONE, 1000), side6(1000), at(0)))
  expect(table.open(node, entry('two'), side4(TWO, 1000), side6(1000), at(1))).toBe('flow-conflict')
  const other = parseIp6('2001:db8::81')!
  expect(typeof table.open(node, entry('two'), side4(TWO, 1000), side6(1000, TCP, other), at(1))).toBe('object')
  tcpFlow.seen = 16
  expect(typeof table.open(node, entry('three'), side4(TWO, 1001), side6(1000), at(2))).toBe('object')
  const a = opened(table.open(node, entry('ntp1'), side4(ONE, 123, UDP), side6(123, UDP), at(3)))
  const b = opened(table.open(node, entry('ntp2'), side4(TWO, 123, UDP), side6(123, UDP), at(4)))
  const r = read(packet6({ source: REAL, destination: HOST6, protocol: UDP, payload: udp(80, 123, new Uint8Array(4)) }))
  reverse(r[1])
  expect(table.findEdge(r[0], r[1])).toBe(b)
  expect(a.entry.flows).toBe(0)
})

test('RFC 6146 timers: UDP 5 min, TCP 4 min until open both ways, then 2 h 4 min, 4 min again after a reset, ICMP 60 s', () => {
  const table = new FlowTable(LIMITS, 1)
  const node = newFlowNode('a')
  const f = opened(table.open(node, entry('x'), side4(ONE, 1), side6(1), at(0)))
  const step = (flags: number, out: boolean, s: number): number => {
    const [v, t, end] = read(packet4({ source: HOST4, destination: ONE, protocol: TCP, payload: tcp(1, 80, flags) }))
    table.touch(f, v, t, end, out, at(s))
    return (f.until - at(s)) / 1000
  }
  expect(step(0x02, true, 1)).toBe(240)
  expect(step(0x12, false, 2)).toBe(7440)
  expect(step(0x10, true, 3)).toBe(7440)
  expect(step(0x11, true, 4)).toBe(7440)
  expect(step(0x11, false, 5)).toBe(240)
  expect(step(0x04, false, 6)).toBe(240)
  const u = opened(table.open(node, entry('x'), side4(ONE, 2, UDP), side6(2, UDP), at(0)))
  expect(u.until).toBe(at(300))
  const [v, t, end] = read(
    packet4({ source: HOST4, destination: ONE, protocol: UDP, payload: udp(2, 80, new Uint8Array(0)) }),
  )
  table.touch(u, v, t, end, false, at(100))
  expect(u.until).toBe(at(300))
  table.touch(u, v, t, end, true, at(100))
  expect(u.until).toBe(at(400))
  expect(opened(table.open(node, entry('x'), side4(ONE, 3, 1), side6(3, ICMP6), at(0))).until).toBe(at(60))
})

test('dead flows go, whatever bucket they share, and the counts come back to zero', () => {
  const table = new FlowTable({ total: 100_000, perNode: 100_000 }, 1)
  const node = newFlowNode('a', { burst: 100_000, perSecond: 0 })
  const e = entry('x')
  for (let i = 0; i < 3000; i++) table.open(node, e, side4(ONE, i, UDP), side6(i, UDP), at(i % 2))
  expect([table.size, node.flows, e.flows]).toEqual([3000, 3000, 3000])
  table.tick(at(300))
  expect(table.size).toBe(1500)
  expect(table.deadline()).toBe(at(310))
  table.tick(at(310))
  expect([table.size, node.flows, e.flows, table.deadline()]).toEqual([0, 0, 0, null])
})

test('flows are bounded per node and in number per second', () => {
  const table = new FlowTable({ total: 1000, perNode: 4 }, 1)
  const node = newFlowNode('a', { burst: 100, perSecond: 1 })
  const open = (i: number, n = node, s = 0) => table.open(n, entry('x'), side4(ONE, i, UDP), side6(i, UDP), at(s))
  for (let i = 0; i < 4; i++) expect(typeof open(i)).toBe('object')
  expect(open(5)).toBe('flow-limit')
  table.removeNode(node)
  expect(table.size).toBe(0)
  const slow = newFlowNode('b', { burst: 2, perSecond: 1 })
  expect([open(10, slow), open(11, slow)].map((f) => typeof f)).toEqual(['object', 'object'])
  expect(open(12, slow)).toBe('rate-limit')
  expect(typeof open(13, slow, 1)).toBe('object')
  expect(open(14, slow, 1)).toBe('rate-limit')
})

test('a flow keeps its address when the name’s addresses change', () => {
  const table = new FlowTable(LIMITS, 1)
  const e = entry('x')
  const flow = opened(table.open(newFlowNode('a'), e, side4(ONE, 1), side6(1), at(0)))
  e.addresses = [parseIp('2001:db8::99')!]
  expect(flow.edge.destination).toEqual(REAL)
})

test('flows that share a bucket are told apart and leave it one by one', () => {
  const table = new FlowTable(LIMITS, 1)
  const node = newFlowNode('a')
  // The same inner side four times (a flow moved to another real address): one bucket, the newest is found.
  const flows = [1, 2, 3, 4].map((n) => opened(table.open(node, entry('x'), side4(ONE, 7, UDP), side6(n, UDP), at(0))))
  const [v, t] = read(
    packet4({ source: HOST4, destination: ONE, protocol: UDP, payload: udp(7, 80, new Uint8Array(0)) }),
  )
  const found = (): number => flows.indexOf(table.findInner(v, t, node)!)
  expect(found()).toBe(3)
  table.remove(flows[1]!)
  table.remove(flows[3]!)
  expect(found()).toBe(2)
  table.remove(flows[2]!)
  expect(found()).toBe(0)
  table.remove(flows[0]!)
  expect([found(), node.flows]).toEqual([-1, 0])
})

test('a silent server is avoided after three SYNs, and the next SYN goes to another of its addresses', () => {
  const table = new FlowTable(LIMITS, 1)
  const node = newFlowNode('a')
  const e = entry('x')
  const other = parseIp6('2001:db8::81')!
  e.addresses = [REAL, other]
  const flow = opened(table.open(node, e, side4(ONE, 1), side6(1), at(0)))
  const [v, t, end] = read(packet4({ source: HOST4, destination: ONE, protocol: TCP, payload: tcp(1, 80, 2) }))
  for (const s of [0, 1]) table.touch(flow, v, t, end, true, at(s))
  expect(candidates(e, 6, at(2))).toEqual([REAL, other])
  expect(table.findInner(v, t, node)).toBe(flow)
  table.touch(flow, v, t, end, true, at(3))
  expect(candidates(e, 6, at(3))).toEqual([other, REAL])
  expect(table.findInner(v, t, node)).toBe(null)
  // With one address there is nowhere else to go, and a server that answered is not silent.
  const single = opened(table.open(node, entry('y'), side4(TWO, 1), side6(1), at(4)))
  for (let i = 0; i < 5; i++) table.touch(single, v, t, end, true, at(5 + i))
  expect(single.entry.avoid.size).toBe(1)
  expect(table.size).toBe(1)
  const answered = opened(table.open(node, e, side4(ONE, 9), side6(9), at(4)))
  for (const [out, s] of [
    [true, 5],
    [false, 6],
    [true, 7],
    [true, 8],
  ] as const)
    table.touch(answered, v, t, end, out, at(s))
  expect(table.size).toBe(2)
})

test('ports of a closed connection used again make a new one', () => {
  const table = new FlowTable(LIMITS, 1)
  const flow = opened(table.open(newFlowNode('a'), entry('x'), side4(ONE, 1), side6(1), at(0)))
  const step = (flags: number, out: boolean): void => {
    const [v, t, end] = read(packet4({ source: HOST4, destination: ONE, protocol: TCP, payload: tcp(1, 80, flags) }))
    table.touch(flow, v, t, end, out, at(1))
  }
  for (const [flags, out] of [
    [2, true],
    [0x12, false],
    [4, false],
  ] as const)
    step(flags, out)
  expect(flow.until).toBe(at(241))
  for (const [flags, out] of [
    [2, true],
    [0x12, false],
  ] as const)
    step(flags, out)
  expect(flow.until).toBe(at(7441))
})
