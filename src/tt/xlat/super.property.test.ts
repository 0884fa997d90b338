import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { checksumsHold, packet4, packet6, tcp, udp, viewOf } from '#ntm-lib/packet/build.ts'
import { isSuper } from '#ntm-lib/packet/gso.ts'
import { TCP, UDP } from '#ntm-lib/packet/protocol.ts'
import { CSUM_MISSING, HEADROOM } from '#ntm-lib/ports/packet-port.ts'
import { segmentsOf } from '#test/support/segments.ts'
import { HOST4, HOST6, SERVER4, SERVER6, XlatBench } from '#test/support/xlat-bench.ts'

type Shape = {
  readonly protocol: number
  readonly payload: number
  readonly gso: number
  readonly flags: number
  readonly options: number
  readonly hops: number
}
const shape: fc.Arbitrary<Shape> = fc.record({
  protocol: fc.constantFrom(TCP, UDP),
  payload: fc.integer({ min: 1, max: 64_900 }),
  gso: fc.integer({ min: 300, max: 9000 }),
  flags: fc.nat(255),
  options: fc.nat(10).map((n) => 4 * n),
  hops: fc.integer({ min: 2, max: 255 }),
})
const upper = ({ protocol, payload, flags, options }: Shape): Uint8Array => {
  const body = Uint8Array.from({ length: payload }, (_, i) => (i * 31 + (i >> 8)) & 255)
  return protocol === TCP ? tcp(1234, 443, flags, body, new Uint8Array(options).fill(1)) : udp(1234, 443, body)
}
/** A checksum that nobody has made yet. */
function unfinished(p: Uint8Array, at: number, protocol: number): Uint8Array {
  viewOf(p).setUint16(at + (protocol === TCP ? 16 : 6), 0)
  return p
}
const from4 = (s: Shape, dontFragment: boolean): Uint8Array =>
  unfinished(
    packet4(
      {
        source: HOST4,
        destination: SERVER4,
        protocol: s.protocol,
        payload: upper(s),
        ttl: s.hops,
        dontFragment,
        id: 7,
      },
      false,
    ),
    20,
    s.protocol,
  )
const from6 = (s: Shape): Uint8Array =>
  unfinished(
    packet6({ source: HOST6, destination: SERVER6, protocol: s.protocol, payload: upper(s), hopLimit: s.hops }, false),
    40,
    s.protocol,
  )
/** Links that take every segment as it is. */
const wide = (): XlatBench => new XlatBench({ mtu4: 20_000, mtu6: 20_000, fragmentTo: 20_000 })

/** Without the DF bit and the header checksum over it. */
const withoutDf = (p: Uint8Array): Uint8Array => p.map((b, i) => (i === 6 || i === 10 || i === 11 ? 0 : b))

describe('the segments of a translated super-packet are the translations of its segments', () => {
  test('4→6', () => {
    fc.assert(
      fc.property(shape, fc.boolean(), (s, df) => {
        const p = from4(s, df)
        const whole = wide().run(p, HEADROOM, s.gso)
        expect([whole.verdict, whole.gso]).toEqual(['forward', s.gso])
        const each = wide()
        expect(segmentsOf(whole.packet, whole.gso)).toEqual(segmentsOf(p, s.gso).map((one) => each.run(one).packet))
      }),
      { numRuns: 60 },
    )
  })

  test('6→4, with an identification for each segment and the DF bit of the first', () => {
    fc.assert(
      fc.property(shape, (s) => {
        const p = from6(s)
        const [bench, each] = [wide(), wide()]
        const whole = bench.run(p, HEADROOM, s.gso)
        expect([whole.verdict, whole.gso]).toEqual(['forward', s.gso])
        const segments = segmentsOf(whole.packet, whole.gso)
        const want = segmentsOf(p, s.gso).map((one) => each.run(one).packet)
        expect(segments.every(checksumsHold)).toBe(true)
        expect(segments[0]).toEqual(want[0])
        expect(segments.map(withoutDf)).toEqual(want.map(withoutDf))
        // The generator went on by as many as were used.
        const next = from6({ ...s, payload: 1 })
        expect(bench.run(next, HEADROOM, CSUM_MISSING).packet).toEqual(each.run(next, HEADROOM, CSUM_MISSING).packet)
      }),
      { numRuns: 60 },
    )
  })
})

describe('segments that the next link cannot carry', () => {
  const tcpSuper: Shape = { protocol: TCP, payload: 30_000, gso: 1448, flags: 0x18, options: 12, hops: 64 }
  const udpSuper: Shape = { ...tcpSuper, protocol: UDP, gso: 1472 }

  test('TCP gets smaller ones, in both directions; without DF none that would have to be fragmented', () => {
    const bench = new XlatBench()
    const grown = bench.run(from4(tcpSuper, true), HEADROOM, 1448)
    expect([grown.verdict, grown.gso]).toEqual(['forward', 1428])
    expect(segmentsOf(grown.packet, grown.gso).map((p) => p.length)[0]).toBe(1500)
    expect(bench.run(from4(tcpSuper, false), HEADROOM, 1448).gso).toBe(1280 - 40 - 32)
    const shrunk = new XlatBench({ mtu4: 1400 }).run(from6(tcpSuper), HEADROOM, 1448)
    expect([shrunk.verdict, shrunk.gso]).toEqual(['forward', 1400 - 20 - 32])
  })

  test('UDP’s datagrams are the sender’s: nothing was touched, the caller cuts and asks again', () => {
    for (const [p, mtu] of [
      [from4(udpSuper, true), 1500],
      [from4(udpSuper, false), 1500],
      [from6(udpSuper), 1499],
    ] as const) {
      const bench = new XlatBench({ mtu4: mtu, mtu6: mtu })
      const guarded = bench.run(p, HEADROOM, udpSuper.gso)
      expect([guarded.verdict, guarded.reason]).toEqual(['cut', null])
      const first = bench.run(segmentsOf(p, udpSuper.gso)[0]!)
      expect(['split', 'reply', 'forward']).toContain(first.verdict)
    }
    expect(new XlatBench({ mtu4: 1500 }).run(from6(udpSuper), HEADROOM, 1472).verdict).toBe('forward')
  })

  test('a length that IPv4 cannot say is cut too', () => {
    const p = from6({ ...tcpSuper, payload: 65_535 - 32 })
    expect(new XlatBench().run(p, HEADROOM, 1400).verdict).toBe('cut')
  })
})

describe('a packet whose checksum is still missing', () => {
  test('crosses as such; a zero UDP checksum means nothing in it', () => {
    for (const protocol of [TCP, UDP]) {
      const s: Shape = { protocol, payload: 300, gso: 0, flags: 0x18, options: 0, hops: 9 }
      const bench = new XlatBench({ udpZero: 'drop' })
      for (const p of [from4(s, true), from6(s)]) {
        const went = bench.run(p, HEADROOM, CSUM_MISSING)
        expect([went.verdict, went.gso, isSuper(went.gso)]).toEqual(['forward', CSUM_MISSING, false])
      }
    }
  })

  test('gets it before it is cut into fragments', () => {
    const s: Shape = { protocol: UDP, payload: 1400, gso: 0, flags: 0, options: 0, hops: 9 }
    const plain = packet4({ source: HOST4, destination: SERVER4, protocol: UDP, payload: upper(s), ttl: 9, id: 7 })
    const bench = new XlatBench()
    const want = bench.run(plain).pieces
    expect(want.length).toBe(2)
    expect(bench.run(from4(s, false), HEADROOM, CSUM_MISSING).pieces).toEqual(want)
  })
})
