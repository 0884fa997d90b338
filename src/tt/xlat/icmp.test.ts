import { describe, expect, test } from 'vitest'
import { concat } from '#ntm-lib/base/bytes.ts'
import { checksumsHold, icmp, packet4, packet6, tcp, udp, viewOf } from '#ntm-lib/packet/build.ts'
import { ICMP4, ICMP6, TCP, UDP } from '#ntm-lib/packet/protocol.ts'
import {
  HOST4,
  HOST6,
  ROUTER4,
  ROUTER4_ALIAS,
  ROUTER6,
  ROUTERS6,
  SERVER4,
  SERVER6,
  XlatBench,
} from '#test/support/xlat-bench.ts'

const bytes = (n: number): Uint8Array => Uint8Array.from({ length: n }, (_, i) => (i * 3) & 255)
const bench = new XlatBench()
/** What the host sent, in both families: the packet that errors are about. */
const sent4 = (protocol: number, payload: Uint8Array): Uint8Array =>
  packet4({ source: HOST4, destination: SERVER4, protocol, payload, ttl: 9 })
const sent6 = (protocol: number, payload: Uint8Array): Uint8Array =>
  packet6({ source: HOST6, destination: SERVER6, protocol, payload, hopLimit: 9 })
const router6 = (): Uint8Array => {
  const a = ROUTERS6.slice()
  viewOf(a).setUint32(12, ROUTER4)
  return a
}
const error4 = (type: number, code: number, rest: number, body: Uint8Array): Uint8Array =>
  packet4({ source: ROUTER4, destination: HOST4, protocol: ICMP4, payload: icmp(type, code, rest, body), ttl: 50 })
const error6 = (type: number, code: number, rest: number, body: Uint8Array): Uint8Array =>
  packet6({ source: ROUTER6, destination: HOST6, protocol: ICMP6, payload: icmp(type, code, rest, body), hopLimit: 50 })
const toSix = (type: number, code: number, rest: number, body = sent4(UDP, udp(1, 2, bytes(30)))): Uint8Array =>
  bench.run(error4(type, code, rest, body)).packet
const toFour = (type: number, code: number, rest: number, body = sent6(UDP, udp(1, 2, bytes(30)))): Uint8Array =>
  bench.run(error6(type, code, rest, body)).packet
/** Type, code and the word after the checksum. */
const head = (p: Uint8Array, at: number): number[] =>
  p.length === 0 ? [] : [p[at] ?? 0, p[at + 1] ?? 0, viewOf(p).getUint32(at + 4)]

describe('queries', () => {
  test('rfc7915 §4.2: echo request and reply change type and gain the pseudo-header', () => {
    for (const [a, b] of [
      [8, 128],
      [0, 129],
    ] as const) {
      for (const n of [0, 1, 56, 1001]) {
        const r = bench.run(
          packet4({
            source: HOST4,
            destination: SERVER4,
            protocol: ICMP4,
            payload: icmp(a, 0, 0x12340001, bytes(n)),
            ttl: 9,
          }),
        )
        expect(r.packet).toEqual(sent6(ICMP6, icmp(b, 0, 0x12340001, bytes(n))))
      }
    }
  })

  test('rfc7915 §5.2: echo request and reply change type and lose the pseudo-header', () => {
    for (const [a, b] of [
      [128, 8],
      [129, 0],
    ] as const) {
      for (const n of [0, 1, 56, 1001]) {
        const r = new XlatBench().run(sent6(ICMP6, icmp(a, 0, 0x12340001, bytes(n))))
        expect(r.packet).toEqual(
          packet4({
            source: HOST4,
            destination: SERVER4,
            protocol: ICMP4,
            payload: icmp(b, 0, 0x12340001, bytes(n)),
            ttl: 9,
            id: 1,
          }),
        )
      }
    }
  })

  test('rfc7915 §4.2: other ICMPv4 types are dropped', () => {
    for (const type of [1, 2, 7, 9, 10, 13, 14, 15, 16, 17, 18, 30, 42, 200]) {
      const r = bench.run(
        packet4({ source: HOST4, destination: SERVER4, protocol: ICMP4, payload: icmp(type, 0, 0, bytes(30)) }),
      )
      expect([r.verdict, r.reason]).toEqual(['drop', 'icmp-type'])
    }
    for (const type of [4, 5, 6])
      expect(bench.run(error4(type, 0, 0, sent4(UDP, udp(1, 2, bytes(30))))).verdict).toBe('drop')
  })

  test('rfc7915 §5.2: other ICMPv6 types are dropped', () => {
    for (const type of [5, 100, 127, 130, 131, 132, 133, 134, 135, 136, 137, 143, 200]) {
      const body = type < 128 ? sent6(UDP, udp(1, 2, bytes(30))) : bytes(30)
      const r = bench.run(
        packet6({ source: HOST6, destination: SERVER6, protocol: ICMP6, payload: icmp(type, 0, 0, body) }),
      )
      expect([r.verdict, r.reason]).toEqual(['drop', 'icmp-type'])
    }
  })
})

describe('errors', () => {
  test('rfc7915 §4.2: destination unreachable, every code', () => {
    const got = Array.from({ length: 17 }, (_, code) => head(toSix(3, code, 1400), 40))
    const [none, route, admin, port] = [[], [1, 0, 0], [1, 1, 0], [1, 4, 0]]
    expect(got).toEqual([
      route,
      route,
      [4, 1, 6],
      port,
      [2, 0, 1420],
      route,
      route,
      route,
      route,
      admin,
      admin,
      route,
      route,
      admin,
      none,
      admin,
      none,
    ])
  })

  test('rfc7915 §5.2: destination unreachable, every code', () => {
    const got = Array.from({ length: 6 }, (_, code) => head(toFour(1, code, 0), 20))
    expect(got).toEqual([[3, 1, 0], [3, 10, 0], [3, 1, 0], [3, 1, 0], [3, 3, 0], []])
  })

  test('rfc7915 §4.2: time exceeded keeps its code', () => {
    expect([0, 1].map((code) => head(toSix(11, code, 0), 40))).toEqual([
      [3, 0, 0],
      [3, 1, 0],
    ])
  })

  test('rfc7915 §5.2: time exceeded keeps its code', () => {
    expect([0, 1].map((code) => head(toFour(3, code, 0), 20))).toEqual([
      [11, 0, 0],
      [11, 1, 0],
    ])
  })

  test('rfc7915 §4.2: parameter problem pointers follow figure 3', () => {
    const table = [0, 1, 4, 4, -1, -1, -1, -1, 7, 6, -1, -1, 8, 8, 8, 8, 24, 24, 24, 24, -1, -1]
    for (const code of [0, 2]) {
      const got = table.map((_, pointer) => head(toSix(12, code, pointer * 0x1000000), 40))
      expect(got).toEqual(table.map((p) => (p < 0 ? [] : [4, 0, p])))
    }
    expect(toSix(12, 1, 0).length).toBe(0)
  })

  test('rfc7915 §5.2: parameter problem pointers follow figure 6, unrecognised next header is protocol unreachable', () => {
    const table = [
      0,
      1,
      -1,
      -1,
      2,
      2,
      9,
      8,
      ...new Array<number>(16).fill(12),
      ...new Array<number>(16).fill(16),
      -1,
      -1,
    ]
    const got = table.map((_, pointer) => head(toFour(4, 0, pointer), 20))
    expect(got).toEqual(table.map((p) => (p < 0 ? [] : [12, 0, p * 0x1000000])))
    expect(head(toFour(4, 1, 6), 20)).toEqual([3, 2, 0])
    expect(toFour(4, 2, 0).length).toBe(0)
    expect(toFour(4, 0, 0xffffffff).length).toBe(0)
  })

  test('rfc7915 §4.2: fragmentation needed becomes packet too big with 20 more, never below 1280', () => {
    const mtu = (said: number, b = bench): number =>
      viewOf(b.run(error4(3, 4, said, sent4(UDP, udp(1, 2, bytes(1400))))).packet).getUint32(44)
    expect([1500, 1450, 1260, 1000, 68].map((m) => mtu(m))).toEqual([1500, 1470, 1280, 1280, 1280])
    expect(mtu(9000, new XlatBench({ mtu6: 9000, mtu4: 2000 }))).toBe(2020)
  })

  test('rfc7915 §4.2: a router that names no MTU gets the RFC 1191 plateau below the packet', () => {
    const about = (n: number): number =>
      viewOf(
        new XlatBench({ mtu6: 9000, mtu4: 9000 }).run(
          error4(3, 4, 0, sent4(UDP, udp(1, 2, bytes(n - 28))).slice(0, 200)),
        ).packet,
      ).getUint32(44)
    expect([4352, 4353, 2003, 1492, 1493].map(about)).toEqual([2022, 4372, 2022, 1280, 1512])
  })

  test('rfc7915 §5.2: packet too big becomes fragmentation needed with 20 less, 28 when a Fragment header goes', () => {
    const plain = sent6(UDP, udp(1, 2, bytes(1400)))
    const mtu = (said: number, body = plain, b = bench): number =>
      viewOf(b.run(error6(2, 0, said, body.slice(0, 700))).packet).getUint32(24)
    expect([1500, 1400, 1280].map((m) => mtu(m))).toEqual([1480, 1380, 1260])
    const cut = packet6({
      source: HOST6,
      destination: SERVER6,
      protocol: UDP,
      payload: bytes(600),
      fragment: { offset: 0, more: true, id: 1 },
    })
    expect(mtu(1400, cut)).toBe(1372)
    expect(mtu(9000, plain, new XlatBench({ mtu4: 1300, mtu6: 1500 }))).toBe(1300)
    expect(mtu(9000, plain, new XlatBench({ mtu4: 1500, mtu6: 1400 }))).toBe(1380)
  })

  test('rfc7915 §7: MTUs below 1280 never reach IPv6, and reach IPv4 as they are', () => {
    expect(viewOf(toSix(3, 4, 576)).getUint32(44)).toBe(1280)
    expect(viewOf(toFour(2, 0, 1000)).getUint32(24)).toBe(980)
    expect(viewOf(toFour(2, 0, 0)).getUint32(24)).toBe(68)
  })

  test.each([8, 20, 30, 120])(
    'rfc7915 §4.3: the embedded packet is translated, also when only %i bytes of it are there',
    (quoted) => {
      for (const [p4, p6, u4, u6] of [
        [UDP, UDP, udp(1, 2, bytes(100)), udp(1, 2, bytes(100))],
        [TCP, TCP, tcp(1, 2, 0x10, bytes(100)), tcp(1, 2, 0x10, bytes(100))],
        [ICMP4, ICMP6, icmp(8, 0, 77, bytes(100)), icmp(128, 0, 77, bytes(100))],
      ] as const) {
        const r = bench.run(error4(11, 0, 0, sent4(p4, u4).slice(0, 20 + quoted)))
        const body = sent6(p6, u6).slice(0, 40 + quoted)
        expect(r.packet).toEqual(
          packet6({
            source: router6(),
            destination: HOST6,
            protocol: ICMP6,
            payload: icmp(3, 0, 0, body),
            hopLimit: 50,
          }),
        )
      }
    },
  )

  test.each([8, 20, 30, 120])(
    'rfc7915 §5.3: the embedded packet is translated, also when only %i bytes of it are there',
    (quoted) => {
      for (const [p4, p6, u4, u6] of [
        [UDP, UDP, udp(1, 2, bytes(100)), udp(1, 2, bytes(100))],
        [TCP, TCP, tcp(1, 2, 0x10, bytes(100)), tcp(1, 2, 0x10, bytes(100))],
        [ICMP4, ICMP6, icmp(8, 0, 77, bytes(100)), icmp(128, 0, 77, bytes(100))],
      ] as const) {
        const r = new XlatBench().run(error6(1, 4, 0, sent6(p6, u6).slice(0, 40 + quoted)))
        const body = sent4(p4, u4).slice(0, 20 + quoted)
        expect(r.packet).toEqual(
          packet4({
            source: ROUTER4_ALIAS,
            destination: HOST4,
            protocol: ICMP4,
            payload: icmp(3, 3, 0, body),
            ttl: 50,
            id: 1,
          }),
        )
      }
    },
  )

  test('rfc7915 §4.3: a fragment inside an error gets its Fragment header', () => {
    const body = packet4(
      { source: HOST4, destination: SERVER4, protocol: UDP, payload: bytes(40), id: 7, offset: 9 },
      false,
    )
    const r = bench.run(error4(11, 1, 0, body))
    expect(checksumsHold(r.packet)).toBe(true)
    expect([...r.packet.slice(88, 96)]).toEqual([17, 0, 0, 9 << 3, 0, 0, 0, 7])
    expect(r.packet.slice(96)).toEqual(bytes(40))
  })

  test('rfc7915 §5.3: a fragment inside an error loses its Fragment header', () => {
    const body = packet6({
      source: HOST6,
      destination: SERVER6,
      protocol: UDP,
      payload: bytes(40),
      fragment: { offset: 9, more: false, id: 7 },
    })
    const r = bench.run(error6(3, 1, 0, body))
    expect(checksumsHold(r.packet)).toBe(true)
    expect(r.packet.slice(28)).toEqual(
      packet4({ source: HOST4, destination: SERVER4, protocol: UDP, payload: bytes(40), id: 7, offset: 9 }, false).map(
        (b, i) => (i === 8 || i === 10 || i === 11 ? (r.packet[28 + i] ?? 0) : b),
      ),
    )
  })

  test('rfc7915 §4.3: an error inside an error is dropped', () => {
    expect(bench.run(error4(3, 1, 0, sent4(ICMP4, icmp(11, 0, 0, sent4(UDP, udp(1, 2, bytes(8))))))).reason).toBe(
      'nested-error',
    )
  })

  test('rfc7915 §5.3: an error inside an error is dropped', () => {
    expect(bench.run(error6(1, 0, 0, sent6(ICMP6, icmp(3, 0, 0, sent6(UDP, udp(1, 2, bytes(8))))))).reason).toBe(
      'nested-error',
    )
  })

  test('rfc7915 §4.2: an error with a damaged checksum is dropped, not laundered', () => {
    const p = error4(3, 1, 0, sent4(UDP, udp(1, 2, bytes(30))))
    expect(bench.run(Uint8Array.from(p, (b, i) => (i === 60 ? b ^ 4 : b))).reason).toBe('bad-checksum')
    const q = error6(1, 0, 0, sent6(UDP, udp(1, 2, bytes(30))))
    expect(bench.run(Uint8Array.from(q, (b, i) => (i === 100 ? b ^ 4 : b))).reason).toBe('bad-checksum')
  })

  test('rfc7915 §4.2: a long error is cut to 1280 bytes', () => {
    const r = bench.run(error4(3, 1, 0, sent4(UDP, udp(1, 2, bytes(1400)))))
    expect(r.packet.length).toBe(1280)
    expect(checksumsHold(r.packet)).toBe(true)
  })
})

describe('extensions', () => {
  /** One RFC 4950 MPLS object, as a traceroute through a labelled core shows. */
  const mpls = Uint8Array.of(0x20, 0, 0xe0, 0xef, 0, 8, 1, 1, 0x12, 0x34, 0x51, 0x09)
  const pad = (b: Uint8Array, to: number): Uint8Array => concat(b, new Uint8Array(to - b.length))

  test('rfc7915 §4.2: RFC 4884 extensions stay, their length is given in 64-bit words', () => {
    const body = pad(sent4(UDP, udp(1, 2, bytes(40))), 128)
    const r = toSix(11, 0, 32 << 16, concat(body, mpls))
    // 128 bytes grow to 148 and are padded to 152 = 19 words.
    expect(head(r, 40)).toEqual([3, 0, 19 * 0x1000000])
    expect(checksumsHold(r)).toBe(true)
    expect(r.slice(48 + 152)).toEqual(mpls)
    expect(r.slice(48, 48 + 88)).toEqual(sent6(UDP, udp(1, 2, bytes(40))))
    expect(r.slice(48 + 88, 48 + 152).every((b) => b === 0)).toBe(true)
  })

  test('rfc7915 §5.2: RFC 4884 extensions stay, their length is given in 32-bit words', () => {
    const body = pad(sent6(UDP, udp(1, 2, bytes(40))), 136)
    const r = toFour(3, 0, 17 * 0x1000000, concat(body, mpls))
    // 136 bytes shrink to 116 and are padded to the least original datagram, 128 = 32 words.
    expect(head(r, 20)).toEqual([11, 0, 32 << 16])
    expect(checksumsHold(r)).toBe(true)
    expect(r.slice(28 + 128)).toEqual(mpls)
  })

  test('rfc7915 §4.2: extensions that would not fit or that IPv6 cannot carry are left away', () => {
    const big = sent4(UDP, udp(1, 2, bytes(992)))
    const r = toSix(11, 0, 255 << 16, concat(big, bytes(300)))
    expect(head(r, 40)).toEqual([3, 0, 0])
    expect(r.length).toBe(40 + 8 + 1040)
    expect(checksumsHold(r)).toBe(true)
    // ICMPv4 counts to 255 words of 4 bytes, ICMPv6 to 255 words of 8.
    const wide = toFour(3, 0, 140 * 0x1000000, concat(sent6(UDP, udp(1, 2, bytes(1072))), mpls))
    expect(head(wide, 20)).toEqual([11, 0, 0])
    expect(wide.length).toBe(20 + 8 + 1100)
    expect(checksumsHold(wide)).toBe(true)
    const tooBig = toSix(3, 4, (32 << 16) | 1400, concat(pad(sent4(UDP, udp(1, 2, bytes(40))), 128), mpls))
    expect(head(tooBig, 40)).toEqual([2, 0, 1420])
    expect(tooBig.length).toBe(40 + 8 + 148)
  })

  test.each([120, 124])(
    'with too little headroom an error is dropped and nothing is written below the slot (%i)',
    (n) => {
      const cut = packet4(
        { source: HOST4, destination: SERVER4, protocol: UDP, payload: bytes(n), id: 7, offset: 9 },
        false,
      )
      const extended = icmp(11, 0, (cut.length / 4) << 16, concat(cut, mpls))
      const p = packet4({ source: ROUTER4, destination: HOST4, protocol: ICMP4, payload: extended })
      const results = Array.from({ length: 65 }, (_, headroom) => bench.run(p, headroom))
      // Two headers grow by 20 bytes and a Fragment header of 8 comes in. 140 + 28 bytes need no padding, 144 + 28 need 4:
      // until there is room for that the extensions are left away.
      const enough = results.findIndex((r) => r.verdict === 'forward')
      expect(enough).toBe(48)
      expect(results.slice(0, enough).every((r) => r.reason === 'no-headroom')).toBe(true)
      const extensions = results.slice(enough).map((r) => (r.packet[44] ?? 0) > 0)
      expect(extensions.indexOf(true)).toBe(n === 120 ? 0 : 4)
      expect(results.slice(enough).every((r) => r.verdict === 'forward' && checksumsHold(r.packet))).toBe(true)
    },
  )
})

test('rfc7915 §5.2: DF follows the size the IPv4 error has, not the size the IPv6 one had', () => {
  const about = sent6(UDP, udp(1, 2, bytes(1300))).slice(0, 1240)
  const r = bench.run(error6(1, 4, 0, about))
  expect([r.packet.length, (r.packet[6] ?? 0) & 0x40]).toEqual([1248, 0])
})
