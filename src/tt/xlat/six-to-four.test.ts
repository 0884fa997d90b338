import { expect, test } from 'vitest'
import { parseIp6 } from '#ntm-lib/addr/ip6.ts'
import { concat } from '#ntm-lib/base/bytes.ts'
import { type Build6, checksumsHold, icmp, packet4, packet6, tcp, udp, viewOf } from '#ntm-lib/packet/build.ts'
import * as ip4 from '#ntm-lib/packet/ip4.ts'
import { ICMP6, TCP, UDP } from '#ntm-lib/packet/protocol.ts'
import { HOST4, HOST6, ROUTERS6, SERVER4, SERVER6, XlatBench } from '#test/support/xlat-bench.ts'

const bytes = (n: number): Uint8Array => Uint8Array.from({ length: n }, (_, i) => (i * 5) & 255)
const six = (p: Partial<Build6> & { protocol: number; payload: Uint8Array }): Uint8Array =>
  packet6({ source: SERVER6, destination: HOST6, hopLimit: 55, ...p })
const bench = new XlatBench()

test('rfc7915 §5.1: an ordinary packet becomes exactly the IPv4 packet it stands for', () => {
  for (const [protocol, payload] of [
    [TCP, tcp(80, 1000, 0x18, bytes(100))],
    [UDP, udp(53, 1000, bytes(33))],
  ] as const) {
    const fresh = new XlatBench()
    const r = fresh.run(six({ protocol, payload, trafficClass: 0xb8 }))
    expect(r.verdict).toBe('forward')
    expect(r.packet).toEqual(
      packet4({ source: SERVER4, destination: HOST4, protocol, payload, ttl: 55, tos: 0xb8, id: 1 }),
    )
  }
})

test('rfc7915 §5.1: the identification of whole packets is this terminator’s own', () => {
  const fresh = new XlatBench()
  const ids = [1, 2, 3].map(() =>
    ip4.id(viewOf(fresh.run(six({ protocol: UDP, payload: udp(1, 2, bytes(3)) })).packet), 0),
  )
  expect(ids).toEqual([1, 2, 3])
})

test('rfc7915 §5.1: DF is clear up to 1260 bytes and set above', () => {
  const at = (n: number): boolean =>
    ip4.dontFragment(viewOf(bench.run(six({ protocol: UDP, payload: udp(1, 2, bytes(n - 28)) })).packet), 0)
  expect([at(1260), at(1261)]).toEqual([false, true])
})

test('rfc7915 §5.1: extension headers are skipped and not counted', () => {
  const extensions = {
    firstNext: 0,
    bytes: concat(
      Uint8Array.of(60, 0, 1, 4, 0, 0, 0, 0),
      Uint8Array.of(43, 0, 1, 4, 0, 0, 0, 0),
      Uint8Array.of(17, 0, 0, 0, 0, 0, 0, 0),
    ),
  }
  const fresh = new XlatBench()
  expect(fresh.run(six({ protocol: UDP, payload: udp(1, 2, bytes(33)), extensions })).packet).toEqual(
    packet4({ source: SERVER4, destination: HOST4, protocol: UDP, payload: udp(1, 2, bytes(33)), ttl: 55, id: 1 }),
  )
})

test('rfc7915 §5.1: a routing header with segments left is answered with parameter problem at that byte', () => {
  const extensions = { firstNext: 43, bytes: Uint8Array.of(17, 0, 0, 3, 0, 0, 0, 0) }
  const p = six({ protocol: UDP, payload: udp(1, 2, bytes(33)), extensions })
  const r = bench.run(p)
  expect([r.verdict, r.reason]).toEqual(['reply', 'routing-header'])
  expect(r.reply).toEqual(
    packet6({ source: ROUTERS6, destination: SERVER6, protocol: ICMP6, hopLimit: 64, payload: icmp(4, 0, 43, p) }),
  )
})

test('rfc7915 §5.1: a hop limit that ends here is answered with ICMPv6 time exceeded', () => {
  const r = bench.run(six({ protocol: UDP, payload: udp(1, 2, bytes(33)), hopLimit: 1 }))
  expect([r.verdict, r.reason, r.reply[40], r.reply[41]]).toEqual(['reply', 'ttl-expired', 3, 0])
  expect(checksumsHold(r.reply)).toBe(true)
})

test('rfc7915 §5.1: an illegal source is dropped silently', () => {
  for (const text of ['::', '::1', 'ff02::1']) {
    const r = bench.run(six({ protocol: UDP, payload: udp(1, 2, bytes(9)), source: parseIp6(text)! }))
    expect([r.verdict, r.reason]).toEqual(['drop', 'bad-source'])
  }
})

test('rfc7915 §5.1: a packet that does not fit is answered with packet too big and the MTU plus 20', () => {
  const small = new XlatBench({ mtu4: 1400 })
  expect(small.run(six({ protocol: UDP, payload: udp(1, 2, bytes(1400 - 28)) })).verdict).toBe('forward')
  const r = small.run(six({ protocol: UDP, payload: udp(1, 2, bytes(1400 - 27)) }))
  expect([r.verdict, r.reply[40], viewOf(r.reply).getUint32(44)]).toEqual(['reply', 2, 1420])
})

test('rfc7915 §5.1.1: fragments keep offset, M and the low half of the identification, DF clear', () => {
  const whole = six({ protocol: UDP, payload: udp(53, 1000, bytes(1200)) })
  const first = bench.run(
    six({ protocol: UDP, payload: whole.slice(40, 640), fragment: { offset: 0, more: true, id: 0xabcd1234 } }),
  )
  const last = bench.run(
    six({ protocol: UDP, payload: whole.slice(640), fragment: { offset: 75, more: false, id: 0xabcd1234 } }),
  )
  const [a, b] = [viewOf(first.packet), viewOf(last.packet)]
  expect([ip4.id(a, 0), ip4.fragmentWord(a, 0)]).toEqual([0x1234, 0x2000])
  expect([ip4.id(b, 0), ip4.fragmentWord(b, 0)]).toEqual([0x1234, 75])
  expect(concat(first.packet.slice(20), last.packet.slice(20))).toEqual(
    packet4({ source: SERVER4, destination: HOST4, protocol: UDP, payload: udp(53, 1000, bytes(1200)) }).slice(20),
  )
})

test('rfc7915 §5.1.1: an extension header behind the Fragment header is dropped and counted', () => {
  const p = six({
    protocol: 60,
    payload: concat(Uint8Array.of(17, 0, 1, 4, 0, 0, 0, 0), udp(1, 2, bytes(9))),
    fragment: { offset: 0, more: true, id: 1 },
  })
  expect(bench.run(p).reason).toBe('extension-after-fragment')
})

test('rfc7915 §5.4: an unmapped destination is answered with address unreachable', () => {
  const p = six({ protocol: UDP, payload: udp(1, 2, bytes(9)), destination: parseIp6('fd00:9::1')! })
  const r = bench.run(p)
  expect([r.verdict, r.reply[40], r.reply[41]]).toEqual(['reply', 1, 3])
  const own = new XlatBench({ own6: null }).run(p)
  expect(own.reply.slice(8, 24)).toEqual(parseIp6('fd00:9::1'))
})

test('rfc7915 §5.5: unknown protocols are forwarded unchanged, ICMPv4 inside IPv6 is not', () => {
  const r = bench.run(six({ protocol: 132, payload: bytes(50) }))
  expect(r.packet.slice(20)).toEqual(bytes(50))
  expect(bench.run(six({ protocol: 1, payload: bytes(50) })).reason).toBe('bad-protocol')
})

test('rfc7915 §5.5: UDP without a checksum is not legal IPv6 and dropped', () => {
  const p = packet6({ source: SERVER6, destination: HOST6, protocol: UDP, payload: udp(1, 2, bytes(9)) }, false)
  expect(bench.run(p).reason).toBe('udp-no-checksum')
})

test('rfc7915 §1.2: fragmented ICMPv6 is not translated', () => {
  const p = six({ protocol: ICMP6, payload: icmp(129, 0, 1, bytes(64)), fragment: { offset: 0, more: true, id: 1 } })
  expect(bench.run(p).reason).toBe('icmp-fragment')
})
