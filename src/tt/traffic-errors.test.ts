import { describe, expect, test } from 'vitest'
import { ipText } from '#ntm-lib/addr/ip.ts'
import { checksumsHold, icmp, tcp, udp } from '#ntm-lib/packet/build.ts'
import { newFiveTuple, readTuple } from '#ntm-lib/packet/five-tuple.ts'
import { ICMP4, ICMP6, TCP, UDP } from '#ntm-lib/packet/protocol.ts'
import { ends, head } from '#test/support/packet-text.ts'
import { type Box, type Ends, error, packet, quoted, TrafficBench } from '#test/support/traffic-bench.ts'

// host HOST ── (tunnel) ── terminator ── ROUTER ── server REAL, which the host knows as VIRTUAL.

const HOST = { 4: '198.18.0.5', 6: 'fd00:1:2::5' } as const
const VIRTUAL = { 4: '198.19.0.7', 6: 'fd00:1:3::7' } as const
const REAL = { 4: '192.0.2.80', 6: '2001:db8:6::80' } as const
const ROUTER = { 4: '203.0.113.77', 6: '2001:db8:ffff::1' } as const
const bytes = (n: number): Uint8Array => Uint8Array.from({ length: n }, (_, i) => (i * 7) & 255)
type F = 4 | 6
const icmpOf = (f: F): number => (f === 4 ? ICMP4 : ICMP6)
/** Port unreachable, and time exceeded, as each family says them. */
const PORT: Readonly<Record<F, readonly [number, number]>> = { 4: [3, 3], 6: [1, 4] }
const EXPIRED: Readonly<Record<F, readonly [number, number]>> = { 4: [11, 0], 6: [3, 0] }

const CASES = ([4, 6] as const).flatMap((inside) =>
  ([4, 6] as const).flatMap((out) =>
    (['TCP', 'UDP', 'ping'] as const).flatMap((protocol) => [8, 64].map((n) => [inside, out, protocol, n] as const)),
  ),
)

describe.each(CASES)('IPv%i host, IPv%i server, %s, %i bytes quoted', (inside, out, protocol, n) => {
  const payload = (reply: boolean, f: F): [number, Uint8Array] => {
    if (protocol === 'TCP') return [TCP, reply ? tcp(80, 5000, 0x12, bytes(60)) : tcp(5000, 80, 2, bytes(60))]
    if (protocol === 'UDP') return [UDP, reply ? udp(80, 5000, bytes(80)) : udp(5000, 80, bytes(80))]
    return [icmpOf(f), icmp(f === 4 ? (reply ? 0 : 8) : reply ? 129 : 128, 0, 0x77770001, bytes(80))]
  }
  const build = (): { bench: TrafficBench; box: Box; sent: Uint8Array; heard: Uint8Array } => {
    const bench = new TrafficBench()
    const box = bench.box('a', [HOST[4], HOST[6]])
    bench.server(box, 'web.example', VIRTUAL[4], VIRTUAL[6], REAL[out])
    const [sent] = bench.outward(box, packet(toServer(inside), ...payload(false, inside))).packets
    const [heard] = bench.inward(packet({ from: REAL[out], to: HOST[out] }, ...payload(true, out))).packets
    return { bench, box, sent: sent!, heard: heard! }
  }
  const toServer = (f: F): Ends => ({ from: HOST[f], to: VIRTUAL[f] })

  test('an error of the server reaches the host as one of its virtual address', () => {
    const { bench, sent } = build()
    const went = bench.inward(error({ from: REAL[out], to: HOST[out] }, ...PORT[out], 0, quoted(sent, n)))
    expect([went.verdict, went.node]).toEqual(['forward', 'a'])
    const [p] = went.packets as [Uint8Array]
    expect(checksumsHold(p)).toBe(true)
    expect([ends(p), head(p)]).toEqual([{ from: VIRTUAL[inside], to: HOST[inside] }, [...PORT[inside]]])
    expect(aboutOf(p)).toEqual({ ...toServer(inside), ports: portsOf(protocol, false) })
  })

  test('an error of a router on the way comes from an address of the servers’ pool', () => {
    const { bench, sent } = build()
    const went = bench.inward(error({ from: ROUTER[out], to: HOST[out] }, ...EXPIRED[out], 0, quoted(sent, n)))
    expect(went.verdict).toBe('forward')
    const [p] = went.packets as [Uint8Array]
    expect(checksumsHold(p)).toBe(true)
    const { router4, router6 } = bench.standIns
    // RFC 6052: where a router's IPv4 address fits, it is told.
    const speaker = inside === 4 ? ipText(router4) : out === 4 ? 'fd00:1:3:0:ffff:ffff:cb00:714d' : ipText(router6)
    expect([ends(p), head(p)]).toEqual([{ from: speaker, to: HOST[inside] }, [...EXPIRED[inside]]])
    expect(aboutOf(p)).toEqual({ ...toServer(inside), ports: portsOf(protocol, false) })
  })

  test('an error of the host reaches the server, about the packet the server sent', () => {
    const { bench, box, heard } = build()
    const went = bench.outward(box, error(toServer(inside), ...PORT[inside], 0, quoted(heard, n)))
    expect(went.verdict).toBe('forward')
    const [p] = went.packets as [Uint8Array]
    expect(checksumsHold(p)).toBe(true)
    expect([ends(p), head(p)]).toEqual([{ from: HOST[out], to: REAL[out] }, [...PORT[out]]])
    expect(aboutOf(p)).toEqual({ from: REAL[out], to: HOST[out], ports: portsOf(protocol, true) })
  })

  test('errors about what nobody sent, for another server, or about errors go nowhere', () => {
    const { bench, box, sent, heard } = build()
    const [server, host] = [{ from: REAL[out], to: HOST[out] }, toServer(inside)]
    const never = packet({ from: HOST[out], to: REAL[out] }, UDP, udp(1, 2, bytes(8)))
    expect(bench.inward(error(server, ...PORT[out], 0, never)).reason).toBe('unknown-flow')
    const nested = error({ from: HOST[out], to: REAL[out] }, ...PORT[out], 0, quoted(sent, n))
    expect(bench.inward(error(server, ...PORT[out], 0, nested)).reason).toBe('unknown-flow')
    bench.server(box, 'other.example', '198.19.0.9', 'fd00:1:3::9', out === 4 ? '192.0.2.81' : '2001:db8:6::81')
    const astray = { from: HOST[inside], to: inside === 4 ? '198.19.0.9' : 'fd00:1:3::9' }
    expect(bench.outward(box, error(astray, ...PORT[inside], 0, quoted(heard, n))).reason).toBe('unknown-flow')
    // Another node quoting this one's packet, with this one's addresses.
    const stranger = bench.box('b', ['198.18.0.6', 'fd00:1:2::6'])
    expect(bench.outward(stranger, error(host, ...PORT[inside], 0, quoted(heard, n))).reason).toBe('unknown-flow')
  })
})

/** Ends and ports of the packet inside an error. */
function aboutOf(p: Uint8Array): Ends & { ports: number[] } {
  const at = (p[0] ?? 0) >> 4 === 4 ? 28 : 48
  const inner = p.slice(at)
  const t = newFiveTuple()
  expect(readTuple(new DataView(inner.buffer), 0, inner.length, t)).toBe(true)
  return { ...ends(inner), ports: [t.sourcePort, t.destinationPort] }
}

const portsOf = (protocol: string, reply: boolean): number[] =>
  protocol === 'ping' ? [0x7777, 0x7777] : reply ? [80, 5000] : [5000, 80]
