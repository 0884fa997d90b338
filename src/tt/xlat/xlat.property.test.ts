import fc from 'fast-check'
import { expect, test } from 'vitest'
import { checksumsHold, icmp, packet4, packet6, tcp, udp, viewOf } from '#ntm-lib/packet/build.ts'
import { ICMP4, ICMP6, TCP, UDP } from '#ntm-lib/packet/protocol.ts'
import { HOST4, HOST6, ROUTER4, SERVER4, SERVER6, XlatBench } from '#test/support/xlat-bench.ts'

const payload = fc.uint8Array({ maxLength: 1100, size: 'max' })
const upper = (protocol: number, body: Uint8Array): Uint8Array =>
  protocol === TCP
    ? tcp(1234, 443, 0x18, body)
    : protocol === UDP
      ? udp(1234, 443, body)
      : icmp(protocol === ICMP4 ? 8 : 128, 0, 0x00070001, body)

test('4→6→4 keeps payload, addresses, TTL, TOS and valid checksums for TCP, UDP and echo', () => {
  const bench = new XlatBench({ nextId: () => 7 })
  fc.assert(
    fc.property(
      fc.constantFrom(TCP, UDP, ICMP4),
      payload,
      fc.integer({ min: 2, max: 255 }),
      fc.nat(255),
      (protocol, body, ttl, tos) => {
        const p = packet4({
          source: HOST4,
          destination: SERVER4,
          protocol,
          payload: upper(protocol, body),
          ttl,
          tos,
          id: 7,
        })
        const there = bench.run(p)
        expect(there.verdict).toBe('forward')
        expect(checksumsHold(there.packet)).toBe(true)
        expect(bench.run(there.packet).packet).toEqual(p)
      },
    ),
  )
})

test('6→4→6 keeps payload, addresses, hop limit, traffic class and valid checksums', () => {
  const bench = new XlatBench()
  fc.assert(
    fc.property(
      fc.constantFrom(TCP, UDP, ICMP6),
      payload,
      fc.integer({ min: 2, max: 255 }),
      fc.nat(255),
      (protocol, body, hopLimit, trafficClass) => {
        const p = packet6({
          source: HOST6,
          destination: SERVER6,
          protocol,
          payload: upper(protocol, body),
          hopLimit,
          trafficClass,
        })
        const there = bench.run(p)
        expect(checksumsHold(there.packet)).toBe(true)
        expect(bench.run(there.packet).packet).toEqual(p)
      },
    ),
  )
})

test('4→6→4 of ICMP errors keeps the embedded packet, however much of it there is', () => {
  const bench = new XlatBench({ nextId: () => 0 })
  fc.assert(
    fc.property(
      fc.constantFrom(TCP, UDP, ICMP4),
      payload,
      fc.integer({ min: 8, max: 500 }),
      fc.constantFrom([11, 0], [3, 1], [3, 3]),
      (protocol, body, quoted, [type, code]) => {
        const about = packet4({
          source: HOST4,
          destination: SERVER4,
          protocol,
          payload: upper(protocol, body),
          ttl: 3,
        }).slice(0, 20 + quoted)
        const p = packet4({
          source: SERVER4,
          destination: HOST4,
          protocol: ICMP4,
          payload: icmp(type as number, code as number, 0, about),
        })
        const there = bench.run(p)
        expect(checksumsHold(there.packet)).toBe(true)
        const back = bench.run(there.packet)
        expect(checksumsHold(back.packet)).toBe(true)
        // DF of the embedded packet follows its size (RFC 7915 §5.1), so its flags and header checksum may differ.
        const flags = (b: Uint8Array): Uint8Array =>
          b.map((x, i) => (i === 34 || i === 38 || i === 39 || i === 22 || i === 23 ? 0 : x))
        expect(flags(back.packet)).toEqual(flags(p))
      },
    ),
  )
})

const noise = fc.uint8Array({ minLength: 1, maxLength: 240, size: 'max' })

test('any bytes get a verdict, nothing is thrown and nothing outside the slot is written', () => {
  const bench = new XlatBench({ mtu6: 1280, mtu4: 1260 })
  const seen = new Set<string>()
  fc.assert(
    fc.property(
      noise,
      fc.constantFrom(4, 6),
      fc.constantFrom(0, 1, 6, 17, 43, 44, 58, 60),
      fc.boolean(),
      fc.nat(64),
      fc.constantFrom(0, 0, 1, 8, 77, 1400, 0xffff),
      (b, version, next, known, headroom, gso) => {
        b[0] = version === 4 ? 0x45 + ((b[0] ?? 0) % 3) : 0x60
        const v = viewOf(b)
        if (b.length >= 40) shape(v, b, version, next, known)
        const r = bench.run(b, headroom, gso)
        seen.add(r.reason ?? r.verdict)
      },
    ),
    { numRuns: 4000 },
  )
  // The noise must get past the first checks for this to mean anything.
  expect([...seen]).toEqual(expect.arrayContaining(['forward', 'no-address', 'bad-length', 'cut']))
})

test('any bytes inside an ICMP error get a verdict', () => {
  const bench = new XlatBench()
  const seen = new Set<string>()
  fc.assert(
    fc.property(
      noise,
      fc.boolean(),
      fc.constantFrom(0, 1, 6, 17, 43, 44, 58, 60),
      fc.nat(15),
      fc.nat(255),
      fc.boolean(),
      (b, four, next, type, words, known) => {
        b[0] = four ? 0x45 + ((b[0] ?? 0) % 3) : 0x60
        if (b.length >= 40) shape(viewOf(b), b, four ? 4 : 6, next, known)
        const message = icmp(type, (words * 7) & 15, four ? words << 16 : words * 0x1000000, b)
        const p = four
          ? packet4({ source: ROUTER4, destination: HOST4, protocol: ICMP4, payload: message })
          : packet6({ source: SERVER6, destination: HOST6, protocol: ICMP6, payload: message })
        const r = bench.run(p)
        seen.add(r.reason ?? r.verdict)
        if (r.verdict === 'forward') expect(checksumsHold(r.packet)).toBe(true)
      },
    ),
    { numRuns: 4000 },
  )
  expect([...seen]).toEqual(expect.arrayContaining(['forward', 'icmp-type', 'no-address', 'short']))
})

/** Makes noise plausible enough to reach the deeper code: lengths, protocol, header checksum, sometimes our addresses. */
function shape(v: DataView, b: Uint8Array, version: number, next: number, known: boolean): void {
  if (version === 4) {
    v.setUint16(2, b.length)
    b[9] = next
    if (known) {
      v.setUint32(12, HOST4)
      v.setUint32(16, SERVER4)
    }
    const header = (v.getUint8(0) & 15) * 4
    v.setUint16(10, 0)
    let s = 0
    for (let i = 0; i < header; i += 2) s += v.getUint16(i)
    while (s > 0xffff) s = (s & 0xffff) + (s >>> 16)
    v.setUint16(10, ~s & 0xffff)
  } else {
    v.setUint16(4, b.length - 40)
    b[6] = next
    if (known) {
      b.set(HOST6, 8)
      b.set(SERVER6, 24)
    }
  }
}
