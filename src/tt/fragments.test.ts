import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { parseIp4 } from '#ntm-lib/addr/ip4.ts'
import { parseIp6 } from '#ntm-lib/addr/ip6.ts'
import { instant } from '#ntm-lib/base/time.ts'
import { packet4, packet6, udp, viewOf } from '#ntm-lib/packet/build.ts'
import { checkOf, pseudo4, pseudo6, sum } from '#ntm-lib/packet/checksum.ts'
import { newFiveTuple, readTuple } from '#ntm-lib/packet/five-tuple.ts'
import { UDP } from '#ntm-lib/packet/protocol.ts'
import { type Box, TrafficBench } from '#test/support/traffic-bench.ts'
import { newFlowNode } from './flow-node.ts'
import { flowSide } from './flow-side.ts'
import { type Flow, FlowTable } from './flows.ts'
import { Fragments } from './fragments.ts'
import type { ServerEntry } from './server-entry.ts'

const HOST = { 4: '198.18.0.5', 6: 'fd00:1:2::5' } as const
const VIRTUAL = { 4: '198.19.0.7', 6: 'fd00:1:3::7' } as const
const REAL = { 4: '192.0.2.80', 6: '2001:db8:6::80' } as const
const bytes = (n: number): Uint8Array => Uint8Array.from({ length: n }, (_, i) => (i * 7) & 255)
type F = 4 | 6

/** A UDP datagram with a right checksum, cut behind its UDP header and `cuts` × 8 bytes each. */
function fragments(f: F, from: string, to: string, ports: [number, number], size: number, id = 77): Uint8Array[] {
  const payload = udp(...ports, bytes(size))
  const [s4, d4] = [parseIp4(from), parseIp4(to)]
  const whole =
    f === 4
      ? packet4({ source: s4!, destination: d4!, protocol: UDP, payload })
      : packet6({ source: parseIp6(from)!, destination: parseIp6(to)!, protocol: UDP, payload })
  const sealed = whole.slice(f === 4 ? 20 : 40)
  return Array.from({ length: Math.ceil(sealed.length / 480) }, (_, i) => {
    const piece = sealed.slice(i * 480, i * 480 + 480)
    const more = (i + 1) * 480 < sealed.length
    return f === 4
      ? packet4(
          { source: s4!, destination: d4!, protocol: UDP, payload: piece, id, moreFragments: more, offset: i * 60 },
          false,
        )
      : packet6({
          source: parseIp6(from)!,
          destination: parseIp6(to)!,
          protocol: UDP,
          payload: piece,
          fragment: { offset: i * 60, more, id },
        })
  })
}

/** The datagram that these fragments make, checked. */
function joined(pieces: readonly Uint8Array[]): number[] {
  const four = (pieces[0]![0] ?? 0) >> 4 === 4
  const parts = pieces.map((p) => {
    const v = viewOf(p)
    return four
      ? {
          offset: v.getUint16(6) & 0x1fff,
          more: (v.getUint16(6) & 0x2000) !== 0,
          id: v.getUint16(4),
          data: p.slice(20),
        }
      : { offset: v.getUint16(42) >> 3, more: (v.getUint16(42) & 1) !== 0, id: v.getUint32(44), data: p.slice(48) }
  })
  parts.sort((a, b) => a.offset - b.offset)
  expect(new Set(parts.map((p) => p.id)).size).toBe(1)
  expect(parts.map((p) => p.more)).toEqual(parts.map((_, i) => i < parts.length - 1))
  const data: number[] = []
  for (const p of parts) {
    expect(p.offset * 8).toBe(data.length)
    data.push(...p.data)
  }
  const v = viewOf(Uint8Array.from([...pieces[0]!.subarray(0, 40), ...data]))
  const pseudo = four ? pseudo4(v, 0, UDP, data.length) : pseudo6(v, 0, UDP, data.length)
  expect(checkOf(pseudo + sum(v, 40, data.length))).toBe(0)
  return data.slice(8)
}

const outwardAll = (bench: TrafficBench, box: Box, pieces: readonly Uint8Array[]): Uint8Array[] =>
  pieces.flatMap((first) => {
    const out: Uint8Array[] = []
    for (let p: Uint8Array | null = first; p !== null; p = bench.traffic.released())
      out.push(...bench.outward(box, p).packets)
    return out
  })

describe.each([
  [4, 4],
  [4, 6],
  [6, 4],
  [6, 6],
] as const)('fragments between an IPv%i host and an IPv%i server', (inside, out) => {
  const build = (): { bench: TrafficBench; box: Box } => {
    const bench = new TrafficBench()
    const box = bench.box('a', [HOST[4], HOST[6]])
    bench.server(box, 'web.example', VIRTUAL[4], VIRTUAL[6], REAL[out])
    return { bench, box }
  }

  test('cross both ways and join to what was sent', () => {
    const { bench, box } = build()
    const there = outwardAll(bench, box, fragments(inside, HOST[inside], VIRTUAL[inside], [5000, 80], 1300))
    expect(there.length).toBe(3)
    expect(joined(there)).toEqual([...bytes(1300)])
    const back = fragments(out, REAL[out], HOST[out], [80, 5000], 1500).flatMap((p) => {
      const went = bench.inward(p)
      expect(went.node).toBe('a')
      return went.packets
    })
    expect(joined(back)).toEqual([...bytes(1500)])
  })

  test('in any order from a tunnel; after two seconds nobody waits any more', () => {
    const { bench, box } = build()
    const sent = fragments(inside, HOST[inside], VIRTUAL[inside], [5000, 80], 1800)
    const [a, b, c, d] = sent as [Uint8Array, Uint8Array, Uint8Array, Uint8Array]
    expect(joined(outwardAll(bench, box, [c, d, a, b]))).toEqual([...bytes(1800)])
    const late = fragments(inside, HOST[inside], VIRTUAL[inside], [5000, 80], 600, 78)
    expect(bench.outward(box, late[1]!).verdict).toBe('wait')
    bench.now = instant(4000)
    bench.traffic.tick(bench.now)
    expect(outwardAll(bench, box, [late[0]!]).length).toBe(1)
    expect(box.node.parked).toBe(0)
  })

  test('without their first one they go nowhere', () => {
    const { bench, box } = build()
    outwardAll(bench, box, fragments(inside, HOST[inside], VIRTUAL[inside], [5000, 80], 600))
    const [, later] = fragments(out, REAL[out], HOST[out], [80, 5000], 600)
    expect(bench.inward(later!).reason).toBe('fragment-unknown')
  })
})

describe('the table of fragments', () => {
  const entry = { flows: 0, lastUsed: instant(0) } as ServerEntry
  const node = newFlowNode('a')
  const flow = new FlowTable({ total: 9, perNode: 9 }, 1).open(
    node,
    entry,
    flowSide(UDP, parseIp4(HOST[4])!, 1, parseIp4(VIRTUAL[4])!, 2),
    flowSide(UDP, parseIp4(HOST[4])!, 1, parseIp4(REAL[4])!, 2),
    instant(0),
  ) as Flow
  const read = (source: number, destination: number, id: number, offset: number, protocol = UDP) => {
    const p = packet4({ source, destination, protocol, payload: bytes(16), id, moreFragments: true, offset }, false)
    const t = newFiveTuple()
    readTuple(viewOf(p), 0, p.length, t)
    return [viewOf(p), t, p.length] as const
  }

  test('only the same addresses, protocol, id and node find a row, whatever the hash says', () => {
    fc.assert(
      fc.property(fc.nat(), fc.tuple(fc.nat(3), fc.nat(3), fc.nat(3), fc.nat(1)), (seed, [s, d, id, p]) => {
        const table = new Fragments(seed)
        const [v, t] = read(100, 200, 7, 0)
        table.note(v, t, flow, instant(0))
        const [w, u] = read(100 + s, 200 + d, 7 + id, 3, UDP + p)
        const same = s + d + id + p === 0
        expect(table.find(w, u, node, instant(1)) !== null).toBe(same)
        expect(table.find(w, u, newFlowNode('a'), instant(1))).toBe(null)
        expect(table.find(w, u, null, instant(1)) !== null).toBe(same)
        expect(table.find(w, u, null, instant(30_000))).toBe(null)
      }),
    )
  })

  test('an equal hash is not enough: four million strangers find none of a thousand rows', () => {
    const table = new Fragments(5)
    for (let i = 0; i < 1000; i++) {
      const [w, u] = read(100, 200, i, 0)
      table.note(w, u, flow, instant(0))
    }
    const [v, t] = read(100, 200, 7, 3)
    let found = 0
    for (let i = 1000; i < 4_000_000; i++) {
      v.setUint32(t.sourceAt, i)
      if (table.find(v, t, null, instant(1)) !== null) found++
    }
    expect(found).toBe(0)
  })

  test('one node’s flood pushes out its own rows only, and waiting ones are bounded', () => {
    const table = new Fragments(5)
    const victim = { ...flow, node: newFlowNode('b') }
    const [v, t] = read(1, 2, 3, 0)
    table.note(v, t, victim, instant(0))
    for (let i = 0; i < 5000; i++) {
      const [w, u] = read(100, 200, i & 0xffff, 0)
      table.note(w, u, flow, instant(0))
    }
    expect(table.find(...([...read(1, 2, 3, 9)].slice(0, 2) as [DataView, typeof t]), victim.node, instant(1))).toBe(
      victim,
    )
    expect(table.size).toBe(1025)
    let waiting = 0
    for (let i = 0; i < 1000; i++) {
      const [w, u, len] = read(7, 8, i, 3)
      if (table.park(w, u, 0, len, node, instant(0))) waiting++
    }
    expect([waiting, node.parked]).toEqual([96, 96])
    table.tick(instant(2000))
    expect(node.parked).toBe(0)
  })
})
