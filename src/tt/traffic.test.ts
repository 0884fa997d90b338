import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { ipText } from '#ntm-lib/addr/ip.ts'
import { ip4Text } from '#ntm-lib/addr/ip4.ts'
import { parsePrefix } from '#ntm-lib/addr/prefix.ts'
import { instant, seconds } from '#ntm-lib/base/time.ts'
import { checksumsHold, icmp, packet4, tcp, udp, viewOf } from '#ntm-lib/packet/build.ts'
import { sum } from '#ntm-lib/packet/checksum.ts'
import { ICMP4, ICMP6, TCP, UDP } from '#ntm-lib/packet/protocol.ts'
import { type Box, type Ends, packet, TrafficBench } from '#test/support/traffic-bench.ts'

const HOST = { 4: '198.18.0.5', 6: 'fd00:1:2::5' } as const
const VIRTUAL = { 4: '198.19.0.7', 6: 'fd00:1:3::7' } as const
const REAL = { 4: '192.0.2.80', 6: '2001:db8:6::80' } as const
const bytes = (n: number): Uint8Array => Uint8Array.from({ length: n }, (_, i) => (i * 7) & 255)

const FAMILIES = [
  [4, 4],
  [4, 6],
  [6, 4],
  [6, 6],
] as const
type F = 4 | 6

/** A host behind box `a` with one server, real in family `outside`. */
function build(outside: F): { bench: TrafficBench; box: Box } {
  const bench = new TrafficBench()
  const box = bench.box('a', [HOST[4], HOST[6]])
  bench.server(box, 'web.example', VIRTUAL[4], VIRTUAL[6], REAL[outside])
  return { bench, box }
}
const toServer = (f: F): Ends => ({ from: HOST[f], to: VIRTUAL[f] })
const outside = (f: F): Ends => ({ from: HOST[f], to: REAL[f] })
const back = ({ from, to }: Ends): Ends => ({ from: to, to: from })
/** Source, destination, protocol and what follows the header. */
function parts(p: Uint8Array): { from: string; to: string; protocol: number; payload: Uint8Array } {
  const four = (p[0] ?? 0) >> 4 === 4
  const at = (from: number, n: number): string => addressText(p.subarray(from, from + n))
  return four
    ? { from: at(12, 4), to: at(16, 4), protocol: p[9] ?? 0, payload: p.subarray(20) }
    : { from: at(8, 16), to: at(24, 16), protocol: p[6] ?? 0, payload: p.subarray(40) }
}
const addressText = (b: Uint8Array): string =>
  b.length === 4 ? ip4Text(viewOf(b).getUint32(0) as never) : ipText(b.slice() as never)

describe.each(FAMILIES)('a host speaking IPv%i and a server in IPv%i', (inside, out) => {
  const echo = (reply: boolean, f: F): number => (f === 4 ? (reply ? 0 : 8) : reply ? 129 : 128)
  const icmpOf = (f: F): number => (f === 4 ? ICMP4 : ICMP6)
  const payload = (protocol: string, reply: boolean, f: F): [number, Uint8Array] =>
    protocol === 'TCP'
      ? [TCP, reply ? tcp(80, 5000, 0x12, bytes(9)) : tcp(5000, 80, 2, bytes(9))]
      : protocol === 'UDP'
        ? [UDP, reply ? udp(80, 5000, bytes(31)) : udp(5000, 80, bytes(31))]
        : [icmpOf(f), icmp(echo(reply, f), 0, 0x77770001, bytes(56))]

  test.each(['TCP', 'UDP', 'ping'])('%s goes to the real address and its answer comes back virtual', (protocol) => {
    const { bench, box } = build(out)
    const there = bench.outward(box, packet(toServer(inside), ...payload(protocol, false, inside)))
    expect(there.verdict).toBe('forward')
    expect(checksumsHold(there.packets[0]!)).toBe(true)
    // Exactly the packet an ordinary host with the node's virtual address would have sent.
    const want = packet(outside(out), ...payload(protocol, false, out))
    expect(parts(there.packets[0]!)).toEqual(parts(want))
    const answer = bench.inward(packet(back(outside(out)), ...payload(protocol, true, out)))
    expect([answer.verdict, answer.node]).toEqual(['forward', 'a'])
    expect(checksumsHold(answer.packets[0]!)).toBe(true)
    const heard = packet(back(toServer(inside)), ...payload(protocol, true, inside))
    expect(parts(answer.packets[0]!)).toEqual(parts(heard))
  })

  test('a hop limit that ends here is answered in the host’s family, as a router of the pool', () => {
    const { bench, box } = build(out)
    const p = packet(toServer(inside), UDP, udp(5000, 80, bytes(4)), { hops: 1 })
    const { verdict, reason, reply } = bench.outward(box, p)
    expect([verdict, reason]).toEqual(['reply', 'ttl-expired'])
    expect(checksumsHold(reply!)).toBe(true)
    const { router4, router6 } = bench.standIns
    expect(parts(reply!)).toMatchObject({ from: ipText(inside === 4 ? router4 : router6), to: HOST[inside] })
    expect(parts(reply!).payload[0]).toBe(inside === 4 ? 11 : 3)
    expect(bench.counters.get('tt.drop.ttl-expired')).toBe(1)
  })

  test('what the tunnel cannot take is answered towards the server, from the host’s virtual address', () => {
    const { bench, box } = build(out)
    bench.innerMtu = 1300
    bench.outward(box, packet(toServer(inside), UDP, udp(5000, 80, bytes(4))))
    const big = packet(back(outside(out)), UDP, udp(80, 5000, bytes(1390)), { dontFragment: true })
    const { verdict, reason, reply } = bench.inward(big)
    expect([verdict, reason]).toEqual(['reply', 'too-big'])
    expect(checksumsHold(reply!)).toBe(true)
    expect(parts(reply!)).toMatchObject({ from: HOST[out], to: REAL[out] })
    // RFC 7915 §4.2, §5.2: 20 bytes of difference between the headers.
    const mtu = inside === out ? 1300 : out === 4 ? 1280 : 1320
    const [type, code, , , ...rest] = parts(reply!).payload.subarray(0, 8)
    expect([type, code]).toEqual(out === 4 ? [3, 4] : [2, 0])
    expect(viewOf(Uint8Array.from(rest)).getUint32(0)).toBe(mtu)
    // The quoted packet is the one the server sent, byte for byte.
    expect(parts(reply!).payload.subarray(8, 500)).toEqual(big.subarray(0, 492))
  })
})

test('IPv4 that may be cut is cut to what the tunnel takes, towards a host and towards a narrow uplink', () => {
  const { bench, box } = build(4)
  bench.outward(box, packet(toServer(4), UDP, udp(5000, 80, bytes(4))))
  bench.innerMtu = 1280
  const big = packet(back(outside(4)), UDP, udp(80, 5000, bytes(1400)))
  const inward = bench.inward(big)
  expect(inward.verdict).toBe('split')
  expect(inward.packets.map((p) => p.length)).toEqual([1276, 172])
  expect(inward.packets.every((p) => sum(viewOf(p), 0, 20) % 0xffff === 0 && parts(p).from === VIRTUAL[4])).toBe(true)
  const payload = inward.packets.flatMap((p) => [...p.subarray(20)])
  expect(payload.length).toBe(1408)
  const whole = packet4(
    { source: 0xc6130007, destination: 0xc6120005, protocol: UDP, payload: Uint8Array.from(payload) },
    false,
  )
  expect(checksumsHold(whole)).toBe(true)
  bench.out.mtu4 = 700
  const outward = bench.outward(box, packet(toServer(4), UDP, udp(5000, 80, bytes(1200))))
  expect(outward.packets.map((p) => p.length)).toEqual([700, 548])
  const { reply } = bench.outward(box, packet(toServer(4), UDP, udp(5000, 80, bytes(1200)), { dontFragment: true }))
  expect([...parts(reply!).payload.subarray(0, 8)].slice(0, 2)).toEqual([3, 4])
  expect(viewOf(parts(reply!).payload.slice(0, 8)).getUint16(6)).toBe(700)
})

test('an unknown virtual address is answered with unreachable, in both families', () => {
  const { bench, box } = build(6)
  const one = bench.outward(box, packet({ from: HOST[4], to: '198.19.9.9' }, TCP, tcp(1, 2, 2)))
  expect([one.verdict, one.reason, ...parts(one.reply!).payload.subarray(0, 2)]).toEqual(['reply', 'no-address', 3, 1])
  const two = bench.outward(box, packet({ from: HOST[6], to: 'fd00:1:3::9999' }, TCP, tcp(1, 2, 2)))
  expect([two.verdict, two.reason, ...parts(two.reply!).payload.subarray(0, 2)]).toEqual(['reply', 'no-address', 1, 3])
  expect(bench.flows.size).toBe(0)
})

describe('attack 6: sources and servers that are not the sender’s', () => {
  const { bench, box } = build(6)
  const other = bench.box('b', ['198.18.0.6', 'fd00:1:2::6'])
  bench.server(other, 'theirs.example', '198.19.0.8', 'fd00:1:3::8', '2001:db8:7::80')
  bench.outward(other, packet({ from: '198.18.0.6', to: '198.19.0.8' }, UDP, udp(7, 7, bytes(4))))

  test.each([
    ['another node’s host', '198.18.0.6'],
    ['a server', '198.19.0.7'],
    ['the terminator’s stand-in', '198.19.255.254'],
    ['the terminator itself', '192.0.2.1'],
  ])('source of %s: dropped and counted, no answer', (_, from) => {
    const before = bench.counters.get('tt.drop.bad-source')
    const went = bench.outward(box, packet({ from, to: VIRTUAL[4] }, UDP, udp(7, 7, bytes(4))))
    expect([went.verdict, went.reason, went.reply]).toEqual(['drop', 'bad-source', null])
    expect(bench.counters.get('tt.drop.bad-source')).toBe(before + 1)
  })

  test('another node’s server is unreachable, also on a flow that node has open', () => {
    const went = bench.outward(box, packet({ from: HOST[4], to: '198.19.0.8' }, UDP, udp(7, 7, bytes(4))))
    expect([went.verdict, went.reason]).toEqual(['reply', 'no-address'])
    // Even with that host's very own addresses and ports.
    const spoofed = bench.outward(box, packet({ from: '198.18.0.6', to: '198.19.0.8' }, UDP, udp(7, 7, bytes(4))))
    expect([spoofed.verdict, spoofed.reason]).toEqual(['drop', 'bad-source'])
  })

  test('a later fragment never joins another node’s packet, nor waits in its place', () => {
    const fragment = (offset: number, more: boolean): Uint8Array => {
      const payload = offset === 0 ? udp(7, 7, bytes(24)) : bytes(16)
      // Any checksum but none: a fragment of a datagram without one cannot cross.
      if (offset === 0) payload[6] = 1
      const [source, destination] = [0xc6120006, 0xc6130008]
      return packet4({ source, destination, protocol: UDP, payload, id: 99, moreFragments: more, offset }, false)
    }
    expect(bench.outward(other, fragment(0, true)).verdict).toBe('forward')
    expect(bench.outward(box, fragment(4, false)).verdict).toBe('wait')
    expect(bench.outward(other, fragment(4, false)).verdict).toBe('forward')
    // The stranger's waiting one is not released by the node's next first fragment either.
    expect(bench.outward(other, fragment(0, true)).verdict).toBe('forward')
    expect(bench.traffic.released()).toBe(null)
  })
})

describe('attack 13: egress is refused whatever DNS said', () => {
  test.each(['::1', '::ffff:10.0.0.1', '64:ff9b::7f00:1', '169.254.169.254', 'fd00:ec2::254', '10.0.0.1', '192.0.2.1'])(
    '%s gets no packet, even if it stands in the table',
    (bad) => {
      const { bench, box } = build(6)
      bench.server(box, 'web.example', VIRTUAL[4], VIRTUAL[6], bad)
      for (const f of [4, 6] as const) {
        const went = bench.outward(box, packet(toServer(f), TCP, tcp(5000, 80, 2)))
        expect([went.verdict, went.reason, went.packets]).toEqual(['drop', 'egress-refused', []])
      }
      expect(bench.flows.size).toBe(0)
    },
  )

  test('an open flow ends when its address becomes this machine’s own', () => {
    const { bench, box } = build(6)
    const p = packet(toServer(4), UDP, udp(5000, 80, bytes(4)))
    expect(bench.outward(box, p).verdict).toBe('forward')
    bench.egress.update({ own: [parsePrefix('2001:db8:6::80/128')!] })
    expect(bench.outward(box, p).reason).toBe('egress-refused')
    expect(bench.flows.size).toBe(0)
    expect(bench.counters.get('tt.egress.own')).toBeGreaterThan(0)
  })
})

describe('several addresses of a name', () => {
  const two = (): { bench: TrafficBench; box: Box } => {
    const bench = new TrafficBench()
    const box = bench.box('a', [HOST[4], HOST[6]])
    bench.server(box, 'web.example', VIRTUAL[4], VIRTUAL[6], '2001:db8:6::80', '2001:db8:6::81')
    return { bench, box }
  }
  const syn = packet(toServer(4), TCP, tcp(5000, 80, 2))
  const target = (bench: TrafficBench, box: Box, p = syn): string => parts(bench.outward(box, p).packets[0]!).to

  test('three SYNs without an answer, then the other address', () => {
    const { bench, box } = two()
    const tried = [0, 1, 3, 7].map((s) => {
      bench.now = instant(1000 + s * 1000)
      return target(bench, box)
    })
    expect(tried.slice(0, 3)).toEqual([tried[0], tried[0], tried[0]])
    expect(tried[3]).not.toBe(tried[0])
  })

  test('unreachable: the host hears nothing and its next SYN goes to the other address; with no other it is told', () => {
    const { bench, box } = two()
    const first = target(bench, box)
    const unreachable = (to: string): Uint8Array => {
      const about = packet({ from: HOST[6], to }, TCP, tcp(5000, 80, 2))
      return packet({ from: '2001:db8:6::1', to: HOST[6] }, ICMP6, icmp(1, 3, 0, about))
    }
    const heard = bench.inward(unreachable(first))
    expect([heard.verdict, heard.reason, heard.node]).toEqual(['drop', 'failed-over', null])
    const second = target(bench, box)
    expect(second).not.toBe(first)
    expect(bench.inward(unreachable(second)).verdict).toBe('forward')
    bench.now = instant(1000 + 61_000)
    expect(target(bench, box, packet(toServer(4), TCP, tcp(5001, 80, 2)))).toBe(first)
  })

  test('a standing connection believes no forged error and keeps its address when DNS changes', () => {
    const { bench, box } = two()
    const first = target(bench, box)
    expect(bench.inward(packet({ from: first, to: HOST[6] }, TCP, tcp(80, 5000, 0x12))).verdict).toBe('forward')
    const about = packet({ from: HOST[6], to: first }, TCP, tcp(5000, 80, 2))
    const told = bench.inward(packet({ from: '2001:db8:6::1', to: HOST[6] }, ICMP6, icmp(1, 0, 0, about)))
    expect(told.verdict).toBe('forward')
    expect(target(bench, box, packet(toServer(4), TCP, tcp(5001, 80, 2)))).toBe(first)
    const entry = bench.table.byName('a', 'web.example')!
    bench.table.refresh(entry, [], seconds(0), bench.now)
    bench.server(box, 'web.example', VIRTUAL[4], VIRTUAL[6], '2001:db8:9::1')
    expect(target(bench, box, packet(toServer(4), TCP, tcp(5000, 80, 0x10)))).toBe(first)
    expect(target(bench, box, packet(toServer(4), TCP, tcp(5002, 80, 2)))).toBe('2001:db8:9::1')
  })

  test('two names with one address and the same ports: the second takes another address', () => {
    const { bench, box } = two()
    const first = target(bench, box)
    bench.server(box, 'same.example', '198.19.0.8', 'fd00:1:3::8', first, '2001:db8:9::1')
    const p = packet({ from: HOST[4], to: '198.19.0.8' }, TCP, tcp(5000, 80, 2))
    expect(target(bench, box, p)).toBe('2001:db8:9::1')
    bench.server(box, 'only.example', '198.19.0.9', 'fd00:1:3::9', first)
    const only = bench.outward(box, packet({ from: HOST[4], to: '198.19.0.9' }, TCP, tcp(5000, 80, 2)))
    expect([only.verdict, only.reason]).toEqual(['drop', 'flow-conflict'])
  })
})

describe('what no flow asked for', () => {
  test('a packet from the edge without a flow, a redirect, neighbour discovery: dropped and counted', () => {
    const { bench, box } = build(6)
    bench.outward(box, packet(toServer(6), UDP, udp(5000, 80, bytes(4))))
    const stranger = { from: '2001:db8:9::9', to: HOST[6] }
    expect(bench.inward(packet(stranger, UDP, udp(80, 5000, bytes(4)))).reason).toBe('unknown-flow')
    expect(bench.inward(packet(stranger, ICMP6, icmp(137, 0, 0, bytes(40)))).reason).toBe('icmp-type')
    for (const type of [133, 134, 135, 136, 137, 5])
      expect(bench.outward(box, packet(toServer(6), ICMP6, icmp(type, 0, 0, bytes(40)))).reason).toBe('icmp-type')
    for (const type of [4, 5, 9, 13, 17])
      expect(bench.outward(box, packet(toServer(4), ICMP4, icmp(type, 0, 0, bytes(40)))).reason).toBe('icmp-type')
    expect(bench.outward(box, packet(toServer(4), ICMP6, icmp(128, 0, 0, bytes(40)))).reason).toBe('icmp-type')
  })

  test('any bytes from either side: no exception, nothing written outside, every drop has its counter', () => {
    const { bench, box } = build(6)
    bench.outward(box, packet(toServer(4), UDP, udp(5000, 80, bytes(4))))
    const good = [
      packet(toServer(4), UDP, udp(5000, 80, bytes(60))),
      packet(toServer(6), TCP, tcp(5000, 80, 2, bytes(60))),
      packet(back(outside(6)), UDP, udp(80, 5000, bytes(60))),
    ]
    fc.assert(
      fc.property(
        fc.constantFrom(...good),
        fc.array(fc.tuple(fc.nat(90), fc.nat(255)), { maxLength: 6 }),
        fc.nat(100),
        fc.boolean(),
        fc.constantFrom(0, 0, 1, 8, 1400, 0xffff),
        (whole, damage, length, outward, gso) => {
          const p = whole.slice(0, length % 4 === 0 ? length : whole.length)
          for (const [at, value] of damage) if (at < p.length) p[at] = value
          const drops = (): number =>
            [...bench.counters.values].reduce((n, [name, by]) => n + (name.startsWith('tt.drop.') ? by : 0), 0)
          const before = drops()
          const went = outward ? bench.outward(box, p, gso) : bench.inward(p, gso)
          if (went.verdict === 'cut') expect(drops()).toBe(before)
          if (went.verdict === 'drop' || went.verdict === 'reply') expect(drops()).toBe(before + 1)
          for (const q of went.packets) expect(q.length).toBeLessThanOrEqual(p.length + 28)
        },
      ),
      { numRuns: 2000 },
    )
  })
})
