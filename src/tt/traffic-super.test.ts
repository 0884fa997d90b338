import { describe, expect, test } from 'vitest'
import { checksumsHold, tcp, udp, viewOf } from '#ntm-lib/packet/build.ts'
import { TCP, UDP } from '#ntm-lib/packet/protocol.ts'
import { CSUM_MISSING } from '#ntm-lib/ports/packet-port.ts'
import { ends } from '#test/support/packet-text.ts'
import { segmentsOf } from '#test/support/segments.ts'
import { type Box, packet, TrafficBench } from '#test/support/traffic-bench.ts'

const HOST = { 4: '198.18.0.5', 6: 'fd00:1:2::5' } as const
const VIRTUAL = { 4: '198.19.0.7', 6: 'fd00:1:3::7' } as const
const REAL = { 4: '192.0.2.80', 6: '2001:db8:6::80' } as const
const bytes = (n: number): Uint8Array => Uint8Array.from({ length: n }, (_, i) => (i * 7 + (i >> 8)) & 255)
type F = 4 | 6

function build(outside: F): { bench: TrafficBench; box: Box } {
  const bench = new TrafficBench()
  const box = bench.box('a', [HOST[4], HOST[6]])
  bench.server(box, 'web.example', VIRTUAL[4], VIRTUAL[6], REAL[outside])
  return { bench, box }
}
/** As it is handed over: its checksum is still to be made. */
function unfinished(p: Uint8Array, protocol: number): Uint8Array {
  const at = ((p[0] ?? 0) >> 4 === 4 ? 20 : 40) + (protocol === TCP ? 16 : 6)
  viewOf(p).setUint16(at, 0)
  return p
}
const out = (f: F, payload: Uint8Array, protocol = TCP): Uint8Array =>
  unfinished(packet({ from: HOST[f], to: VIRTUAL[f] }, protocol, payload, { dontFragment: true }), protocol)
const back = (f: F, payload: Uint8Array, protocol = TCP): Uint8Array =>
  unfinished(packet({ from: REAL[f], to: HOST[f] }, protocol, payload, { dontFragment: true }), protocol)

describe.each([
  [4, 4],
  [4, 6],
  [6, 4],
  [6, 6],
] as const)('super-packets of a host speaking IPv%i and a server in IPv%i', (inside, outside) => {
  test('cross whole, and their segments are what single packets would have become', () => {
    const [{ bench, box }, single] = [build(outside), build(outside)]
    const there = out(inside, tcp(5000, 80, 0x18, bytes(40_000)))
    const went = bench.outward(box, there, 1300)
    expect([went.verdict, went.gso]).toEqual(['forward', 1300])
    const each = segmentsOf(there, 1300).map((p) => single.bench.outward(single.box, p).packets[0]!)
    const segments = segmentsOf(went.packets[0]!, 1300)
    expect(segments.every(checksumsHold)).toBe(true)
    expect(segments.map(body)).toEqual(each.map(body))
    expect(segments.map(ends)).toEqual(each.map(ends))

    const answer = back(outside, tcp(80, 5000, 0x18, bytes(50_000)))
    const heard = bench.inward(answer, 1300)
    expect([heard.verdict, heard.gso, heard.node]).toEqual(['forward', 1300, 'a'])
    const eachBack = segmentsOf(answer, 1300).map((p) => single.bench.inward(p).packets[0]!)
    const segmentsBack = segmentsOf(heard.packets[0]!, 1300)
    expect(segmentsBack.every(checksumsHold)).toBe(true)
    expect(segmentsBack.map(body)).toEqual(eachBack.map(body))
    expect(segmentsBack.map(ends)).toEqual(eachBack.map(ends))
  })

  test('TCP segments that the next hop does not take are made smaller; nobody has to hear of it', () => {
    const { bench, box } = build(outside)
    bench.out.mtu4 = bench.out.mtu6 = 1300
    bench.innerMtu = 1280
    const went = bench.outward(box, out(inside, tcp(5000, 80, 0x18, bytes(9000))), 1440)
    expect([went.verdict, went.gso]).toEqual(['forward', 1300 - (outside === 4 ? 40 : 60)])
    const heard = bench.inward(back(outside, tcp(80, 5000, 0x18, bytes(9000))), 1440)
    expect([heard.verdict, heard.gso, heard.reply]).toEqual(['forward', 1280 - (inside === 4 ? 40 : 60), null])
  })

  test('UDP datagrams that do not fit are cut first, and each one is answered as it would have been alone', () => {
    const { bench, box } = build(outside)
    bench.outward(box, packet({ from: HOST[inside], to: VIRTUAL[inside] }, UDP, udp(5000, 80, bytes(4))))
    bench.innerMtu = 1300
    const big = back(outside, udp(80, 5000, bytes(5600)), UDP)
    const kept = big.slice()
    expect(bench.inward(big, 1400).verdict).toBe('cut')
    expect(big).toEqual(kept)
    const [first] = segmentsOf(big, 1400)
    expect(bench.inward(first!)).toMatchObject({ verdict: 'reply', reason: 'too-big' })
    expect(bench.inward(back(outside, udp(80, 5000, bytes(5000)), UDP), 1200).verdict).toBe('forward')

    bench.out.mtu4 = bench.out.mtu6 = 1300
    const wide = out(inside, udp(5000, 80, bytes(5600)), UDP)
    const keptOut = wide.slice()
    expect(bench.outward(box, wide, 1400).verdict).toBe('cut')
    expect(wide).toEqual(keptOut)
    expect(bench.outward(box, segmentsOf(wide, 1400)[0]!)).toMatchObject({ verdict: 'reply', reason: 'too-big' })
  })

  test('a plain packet without its checksum goes on without it', () => {
    const { bench, box } = build(outside)
    const went = bench.outward(box, out(inside, udp(5000, 80, bytes(33)), UDP), CSUM_MISSING)
    expect([went.verdict, went.gso]).toEqual(['forward', CSUM_MISSING])
    const alone = build(outside)
    const plain = packet({ from: HOST[inside], to: VIRTUAL[inside] }, UDP, udp(5000, 80, bytes(33)), {
      dontFragment: true,
    })
    const want = alone.bench.outward(alone.box, plain)
    expect(segmentsOf(went.packets[0]!, 2000).map(body)).toEqual(want.packets.map(body))
  })
})

test('a missing checksum is made before the packet is cut into fragments', () => {
  const { bench, box } = build(4)
  bench.out.mtu4 = 700
  const ends = { from: HOST[4], to: VIRTUAL[4] }
  const plain = packet(ends, UDP, udp(5000, 80, bytes(1200)))
  const want = bench.outward(box, plain.slice()).packets
  expect(want.length).toBe(2)
  expect(bench.outward(box, unfinished(plain, UDP), CSUM_MISSING).packets).toEqual(want)
})

test('fragments, ICMP and other protocols are never super-packets', () => {
  const { bench, box } = build(4)
  const fragment = packet({ from: HOST[4], to: VIRTUAL[4] }, UDP, udp(5000, 80, bytes(64)))
  viewOf(fragment).setUint16(6, 0x2000)
  const ping = packet({ from: HOST[4], to: VIRTUAL[4] }, 1, bytes(64))
  for (const p of [fragment, ping]) {
    for (const gso of [8, CSUM_MISSING]) expect(bench.outward(box, p, gso).reason).toBe('bad-length')
  }
})

/** Everything behind the IP header. */
const body = (p: Uint8Array): Uint8Array => p.slice((p[0] ?? 0) >> 4 === 4 ? 20 : 40)
