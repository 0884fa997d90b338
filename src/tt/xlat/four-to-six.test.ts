import { expect, test } from 'vitest'
import { parseIp4 } from '#ntm-lib/addr/ip4.ts'
import { concat } from '#ntm-lib/base/bytes.ts'
import { type Build4, checksumsHold, icmp, packet4, packet6, tcp, udp, viewOf } from '#ntm-lib/packet/build.ts'
import { checkOf, pseudo6, sum } from '#ntm-lib/packet/checksum.ts'
import * as ip6 from '#ntm-lib/packet/ip6.ts'
import { ICMP4, ICMP6, TCP, UDP } from '#ntm-lib/packet/protocol.ts'
import { HOST4, HOST6, ROUTER4_ALIAS, SERVER4, SERVER6, XlatBench } from '#test/support/xlat-bench.ts'

const bytes = (n: number): Uint8Array => Uint8Array.from({ length: n }, (_, i) => (i * 7) & 255)
const four = (p: Partial<Build4> & { protocol: number; payload: Uint8Array }): Build4 => ({
  source: HOST4,
  destination: SERVER4,
  ttl: 61,
  ...p,
})
const six = (protocol: number, payload: Uint8Array, trafficClass = 0): Uint8Array =>
  packet6({ source: HOST6, destination: SERVER6, protocol, payload, hopLimit: 61, trafficClass })
const bench = new XlatBench()

test('rfc7915 §4.1: an ordinary packet becomes exactly the IPv6 packet it stands for', () => {
  for (const [protocol, payload] of [
    [TCP, tcp(1000, 80, 0x18, bytes(100))],
    [UDP, udp(1000, 53, bytes(33))],
  ] as const) {
    const r = bench.run(packet4(four({ protocol, payload, tos: 0xb8, id: 77 })))
    expect(r.verdict).toBe('forward')
    expect(r.packet).toEqual(six(protocol, new Uint8Array(packet4(four({ protocol, payload }))).slice(20), 0xb8))
    expect(checksumsHold(r.packet)).toBe(true)
  }
})

test('rfc7915 §4.1: the traffic class can be left at zero', () => {
  const r = new XlatBench({ copyTrafficClass: false }).run(
    packet4(four({ protocol: UDP, payload: udp(1, 2, bytes(4)), tos: 0xb8 })),
  )
  expect(ip6.trafficClass(viewOf(r.packet), 0)).toBe(0)
})

test('rfc7915 §4.1: a TTL that ends here is answered with ICMPv4 time exceeded, others are not touched', () => {
  const p = packet4(four({ protocol: UDP, payload: udp(1, 2, bytes(40)), ttl: 1 }))
  const r = bench.run(p)
  expect([r.verdict, r.reason]).toEqual(['reply', 'ttl-expired'])
  expect(r.reply).toEqual(
    packet4({
      source: ROUTER4_ALIAS,
      destination: HOST4,
      protocol: ICMP4,
      ttl: 64,
      tos: 0xc0,
      payload: icmp(11, 0, 0, p),
    }),
  )
  const two = bench.run(packet4(four({ protocol: UDP, payload: udp(1, 2, bytes(40)), ttl: 2 })))
  expect(ip6.hopLimit(viewOf(two.packet), 0)).toBe(2)
  const fromKernel = new XlatBench({ lastHop: 0 }).run(p)
  expect(ip6.hopLimit(viewOf(fromKernel.packet), 0)).toBe(1)
})

test('rfc7915 §4.1: options are dropped and the packet translated', () => {
  const options = Uint8Array.of(148, 4, 0, 0, 7, 7, 4, 0, 0, 0, 0, 0)
  const r = bench.run(packet4(four({ protocol: UDP, payload: udp(1, 2, bytes(9)), options })))
  expect(r.packet).toEqual(six(UDP, udp(1, 2, bytes(9))))
})

test('rfc7915 §4.1: an unexpired source route is refused with source route failed, a spent one passes', () => {
  const route = (pointer: number): Uint8Array =>
    packet4(
      four({ protocol: UDP, payload: udp(1, 2, bytes(9)), options: Uint8Array.of(131, 7, pointer, 9, 9, 9, 9, 0) }),
    )
  const r = bench.run(route(4))
  expect([r.verdict, r.reason]).toEqual(['reply', 'source-route'])
  expect([...r.reply.slice(20, 22)]).toEqual([3, 5])
  expect(checksumsHold(r.reply)).toBe(true)
  expect(bench.run(route(8)).packet).toEqual(six(UDP, udp(1, 2, bytes(9))))
})

test('rfc7915 §4.1: an illegal source is dropped silently', () => {
  for (const text of ['0.0.0.0', '127.0.0.1', '224.0.0.1', '255.255.255.255']) {
    const r = bench.run(packet4(four({ protocol: UDP, payload: udp(1, 2, bytes(9)), source: parseIp4(text)! })))
    expect([r.verdict, r.reason]).toEqual(['drop', 'bad-source'])
  }
})

test('rfc7915 §4.1: a packet with DF that does not fit gets fragmentation needed with the MTU less 20', () => {
  const fits = packet4(four({ protocol: UDP, payload: udp(1, 2, bytes(1452)), dontFragment: true }))
  expect(fits.length + 20).toBe(1500)
  expect(bench.run(fits).verdict).toBe('forward')
  const r = bench.run(packet4(four({ protocol: UDP, payload: udp(1, 2, bytes(1453)), dontFragment: true })))
  expect([r.verdict, r.reason]).toEqual(['reply', 'too-big'])
  expect([...r.reply.slice(20, 22)]).toEqual([3, 4])
  expect(viewOf(r.reply).getUint16(26)).toBe(1480)
  expect(r.reply.length).toBe(576)
})

test('rfc7915 §4.1: a packet without DF above 1280 is cut into IPv6 fragments of at most 1280', () => {
  const payload = udp(1000, 53, bytes(3000))
  const r = bench.run(packet4(four({ protocol: UDP, payload, id: 0xbeef })))
  expect(r.verdict).toBe('split')
  expect(r.pieces.length).toBe(3)
  const whole = six(UDP, payload)
  let joined: Uint8Array = new Uint8Array(0)
  for (const [i, piece] of r.pieces.entries()) {
    const v = viewOf(piece)
    expect(piece.length).toBeLessThanOrEqual(1280)
    expect([v.getUint8(6), v.getUint8(40), v.getUint32(44)]).toEqual([44, UDP, 0xbeef])
    expect(v.getUint16(42)).toBe(joined.length | (i < 2 ? 1 : 0))
    expect(v.getUint16(4)).toBe(piece.length - 40)
    joined = concat(joined, piece.slice(48))
  }
  expect(joined).toEqual(whole.slice(40))
})

test('rfc7915 §4.1: the size of fragments can be raised to what the next hop carries, never above it nor below 1280', () => {
  const p = packet4(four({ protocol: UDP, payload: udp(1000, 53, bytes(1420)), id: 1 }))
  const sizes = (fragmentTo: number, mtu6: number): number[] => {
    const r = new XlatBench({ fragmentTo, mtu6 }).run(p)
    return r.verdict === 'forward' ? [r.packet.length] : r.pieces.map((x) => x.length)
  }
  expect(sizes(1500, 1500)).toEqual([1468])
  expect(sizes(1500, 1400)).toEqual([48 + 1352, 48 + 76])
  expect(sizes(100, 1500)).toEqual([48 + 1232, 48 + 196])
})

test('rfc7915 §4.1: a large echo without DF crosses too, cut after its checksum was made', () => {
  const r = bench.run(packet4(four({ protocol: ICMP4, payload: icmp(8, 0, 0x10001, bytes(1400)), id: 5 })))
  expect(r.pieces.length).toBe(2)
  const joined = concat(...r.pieces.map((p) => p.slice(48)))
  expect(joined).toEqual(six(ICMP6, icmp(128, 0, 0x10001, bytes(1400))).slice(40))
})

test('rfc7915 §4.1: an IPv4 fragment gets a Fragment header with its offset, M and identification', () => {
  const whole = packet4(four({ protocol: UDP, payload: udp(1000, 53, bytes(1200)) }))
  const first = bench.run(
    packet4(four({ protocol: UDP, payload: whole.slice(20, 620), id: 0x1234, moreFragments: true }), false),
  )
  const last = bench.run(packet4(four({ protocol: UDP, payload: whole.slice(620), id: 0x1234, offset: 75 }), false))
  expect([...first.packet.slice(40, 48)]).toEqual([17, 0, 0, 1, 0, 0, 0x12, 0x34])
  expect([...last.packet.slice(40, 48)]).toEqual([17, 0, 0x02, 0x58, 0, 0, 0x12, 0x34])
  expect(concat(first.packet.slice(48), last.packet.slice(48))).toEqual(six(UDP, udp(1000, 53, bytes(1200))).slice(40))
})

test('rfc7915 §4.1: a fragment above 1280 is cut further, offsets and M kept', () => {
  const payload = bytes(1400)
  const r = bench.run(packet4(four({ protocol: UDP, payload, id: 9, offset: 100, moreFragments: true }), false))
  expect(r.verdict).toBe('split')
  expect(r.pieces.map((p) => viewOf(p).getUint16(42))).toEqual([(100 << 3) | 1, ((100 + 154) << 3) | 1])
  expect(concat(...r.pieces.map((p) => p.slice(48)))).toEqual(payload)
})

test('rfc7915 §4.1: a small packet without DF gets no Fragment header', () => {
  const r = bench.run(packet4(four({ protocol: UDP, payload: udp(1, 2, bytes(1232)) })))
  expect([r.verdict, r.packet.length, r.packet[6]]).toEqual(['forward', 1280, UDP])
})

test('rfc7915 §1.2: fragmented ICMP is not translated', () => {
  const r = bench.run(packet4(four({ protocol: ICMP4, payload: icmp(8, 0, 1, bytes(64)), moreFragments: true })))
  expect([r.verdict, r.reason]).toEqual(['drop', 'icmp-fragment'])
})

test('rfc7915 §4.4: an unmapped destination is answered with host unreachable, within the rate, never about an error', () => {
  const elsewhere = parseIp4('198.19.9.9')!
  const p = packet4(four({ protocol: UDP, payload: udp(1, 2, bytes(9)), destination: elsewhere }))
  const r = bench.run(p)
  expect([r.verdict, r.reason, r.reply[20], r.reply[21]]).toEqual(['reply', 'no-address', 3, 1])
  expect(new XlatBench({ mayReply: () => false }).run(p).verdict).toBe('drop')
  const about = packet4(four({ protocol: ICMP4, payload: icmp(3, 1, 0, p), destination: elsewhere }))
  expect(bench.run(about).verdict).toBe('drop')
  expect(new XlatBench({ own4: null }).run(p).reply.slice(12, 16)).toEqual(Uint8Array.of(198, 19, 9, 9))
})

test('rfc7915 §4.5: a UDP checksum of zero is computed or dropped as configured, and dropped in fragments', () => {
  const p = packet4(four({ protocol: UDP, payload: udp(1, 2, bytes(21)) }), false)
  expect(viewOf(p).getUint16(26)).toBe(0)
  expect(bench.run(p).packet).toEqual(six(UDP, udp(1, 2, bytes(21))))
  expect(new XlatBench({ udpZero: 'drop' }).run(p).reason).toBe('udp-no-checksum')
  const cut = packet4(four({ protocol: UDP, payload: udp(1, 2, bytes(24)), moreFragments: true }), false)
  expect(bench.run(cut).reason).toBe('udp-no-checksum')
})

test('rfc7915 §4.5: unknown protocols are forwarded unchanged', () => {
  for (const protocol of [132, 50, 51, 253]) {
    expect(bench.run(packet4(four({ protocol, payload: bytes(50) }))).packet).toEqual(six(protocol, bytes(50)))
  }
})

test('rfc7915 §4.5: protocol numbers that mean something else in IPv6 do not cross', () => {
  for (const protocol of [0, 2, 43, 44, 58, 60]) {
    expect(bench.run(packet4(four({ protocol, payload: bytes(50) }))).reason).toBe('bad-protocol')
  }
})

test('rfc7915 §4.5: a damaged checksum stays damaged by the same amount', () => {
  const p = packet4(four({ protocol: TCP, payload: tcp(1, 2, 0x10, bytes(50)) }))
  p[60] = (p[60] ?? 0) ^ 0x40
  const r = bench.run(p)
  expect(r.verdict).toBe('forward')
  expect(checksumsHold(r.packet)).toBe(false)
  const v = viewOf(r.packet)
  expect(checkOf(pseudo6(v, 0, TCP, r.packet.length - 40) + sum(v, 40, r.packet.length - 40))).not.toBe(0)
})

test('a header with a bad checksum, cut packets and missing headroom are dropped by name', () => {
  const p = packet4(four({ protocol: UDP, payload: udp(1, 2, bytes(20)) }))
  expect(bench.run(Uint8Array.from(p, (b, i) => (i === 4 ? b ^ 1 : b))).reason).toBe('bad-checksum')
  expect(bench.run(p.slice(0, 30)).reason).toBe('bad-length')
  expect(bench.run(p.slice(0, 10)).reason).toBe('short')
  expect(bench.run(p, 19).reason).toBe('no-headroom')
  expect(bench.run(p, 20).verdict).toBe('forward')
  expect(bench.run(packet4(four({ protocol: TCP, payload: bytes(12) }))).reason).toBe('short')
})
