import { execFileSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { checksumsHold, packet4, tcp, udp, viewOf } from '#ntm-lib/packet/build.ts'
import { TCP, UDP } from '#ntm-lib/packet/protocol.ts'
import { ends } from '#test/support/packet-text.ts'
import { segmentsOf } from '#test/support/segments.ts'
import { packet } from '#test/support/traffic-bench.ts'
import { type Left, TtWireWorld } from '#test/support/tt-wire-world.ts'

const { host, virtual, row } = TtWireWorld
const REAL4 = '192.0.2.80'
const REAL6 = '2001:db8:6::80'
const bytes = (n: number, from = 0): Uint8Array => Uint8Array.from({ length: n }, (_, i) => (i * 7 + from) & 255)
const from4 = (protocol: number, payload: Uint8Array, dontFragment = true): Uint8Array =>
  packet({ from: host[4], to: virtual[4] }, protocol, payload, { dontFragment })
const back6 = (protocol: number, payload: Uint8Array): Uint8Array =>
  packet({ from: REAL6, to: host[6] }, protocol, payload)
const back4 = (protocol: number, payload: Uint8Array, dontFragment = true): Uint8Array =>
  packet({ from: REAL4, to: host[4] }, protocol, payload, { dontFragment })
const payloadOf = (p: Uint8Array, header: number): Uint8Array => p.slice(((p[0] ?? 0) >> 4 === 4 ? 20 : 40) + header)

describe('from a tunnel to the edge', () => {
  test('super-packets and plain ones of one opening leave in order, where they lie', () => {
    const w = new TtWireWorld(REAL6)
    const sent = [bytes(9000), bytes(10, 1), bytes(7000, 2)]
    const left = w.fromTunnel(...sent.map((p, i) => [from4(TCP, tcp(5000, 80, 0x10, p)), i === 1 ? 0 : 1400] as const))
    expect(left.map((l) => [l.row, l.gso])).toEqual([
      [0, 1400],
      [0, 0],
      [0, 1400],
    ])
    expect(left.map((l) => payloadOf(l.bytes, 20))).toEqual(sent)
    expect(left.map((l) => ends(l.bytes))).toEqual(Array(3).fill({ from: host[6], to: REAL6 }))
  })

  test('what is cut keeps its place between what is not', () => {
    const w = new TtWireWorld(REAL6)
    // UDP whose segments do not fit behind an IPv6 header, and IPv4 without DF that becomes fragments.
    const cut = from4(UDP, udp(5000, 80, bytes(2600)), false)
    const split = from4(UDP, udp(5000, 80, bytes(1400, 9)), false)
    const one = (n: number): Uint8Array => from4(UDP, udp(5000, 80, Uint8Array.of(n)))
    const left = w.fromTunnel(one(1), [cut, 1300], one(2), split)
    const rest = w.fromTunnel(one(3))
    // Each 1,300-byte datagram is longer than 1,280 as IPv6: two fragments.
    const lengths = [49, 1280, 124, 1280, 124, 49, 1280, 224, 49]
    expect([...left, ...rest].map((l) => l.bytes.length)).toEqual(lengths)
    expect([...left, ...rest].map((l) => l.gso)).toEqual(lengths.map(() => 0))
    const whole = left.filter((l) => l.bytes[6] === 17)
    expect(whole.every((l) => checksumsHold(l.bytes))).toBe(true)
  })

  test('an answer goes back over the tunnel that the packet came on, after what went on', () => {
    const w = new TtWireWorld(REAL6)
    const lost = packet({ from: host[4], to: '198.19.9.9' }, TCP, tcp(1, 2, 2))
    const left = w.fromTunnel(lost, from4(TCP, tcp(5000, 80, 2)))
    expect(left.map((l) => l.row)).toEqual([0, row])
    expect([...(left[1]?.bytes.subarray(20, 22) ?? [])]).toEqual([3, 1])
    expect(w.fromTunnel(from4(TCP, tcp(5000, 80, 2))).map((l) => l.row)).toEqual([0])
  })

  test('fragments that overtook their first one follow it', () => {
    const w = new TtWireWorld(REAL4)
    const payload = udp(5000, 80, bytes(140))
    const piece = (from: number, to: number): Uint8Array =>
      packet4({
        source: 0xc6120005,
        destination: 0xc6130007,
        protocol: UDP,
        payload: payload.slice(from, to),
        offset: from / 8,
        moreFragments: to < payload.length,
        id: 9,
      })
    expect(w.fromTunnel(piece(96, 148), piece(48, 96))).toEqual([])
    const left = w.fromTunnel(piece(0, 48)).map((l) => l.bytes)
    expect(left.map((p) => viewOf(p).getUint16(6))).toEqual([0x2000, 12, 0x2006])
    expect(left.map((p) => p.slice(20)).slice(1)).toEqual([payload.slice(96), payload.slice(48, 96)])
  })

  test('where the kernel spends no hop, we do', () => {
    for (const [spends, hops] of [
      [true, 64],
      [false, 63],
    ] as const) {
      const w = new TtWireWorld(REAL6, spends)
      expect(w.fromTunnel([from4(TCP, tcp(5000, 80, 0x10, bytes(5000))), 1000])[0]?.bytes[7]).toBe(hops)
    }
  })
})

describe('from the edge to a tunnel', () => {
  const open = (real: string): TtWireWorld => {
    const w = new TtWireWorld(real)
    for (const p of [TCP, UDP]) w.fromTunnel(from4(p, p === TCP ? tcp(5000, 80, 2) : udp(5000, 80, bytes(1))))
    return w
  }

  test('super-packets go to the tunnel whole, in order', () => {
    const w = open(REAL6)
    const left = w.fromEdge([back6(TCP, tcp(80, 5000, 0x10, bytes(20_000))), 1300], back6(TCP, tcp(80, 5000, 0x11)))
    expect(left.map((l) => [l.row, l.gso, l.bytes.length])).toEqual([
      [row, 1300, 20_040],
      [row, 0, 40],
    ])
    expect(left.map((l) => ends(l.bytes))).toEqual(Array(2).fill({ from: virtual[4], to: host[4] }))
  })

  test('more than one reading holds is read in its turn', () => {
    const w = open(REAL6)
    const left = w.fromEdge(...Array.from({ length: 80 }, (_, i) => back6(UDP, udp(80, 5000, Uint8Array.of(i)))))
    expect(left.map((l) => payloadOf(l.bytes, 8)[0])).toEqual([...Array(80).keys()])
  })

  test('UDP whose segments the tunnel does not take whole is cut first', () => {
    const w = open(REAL4)
    w.wholeMtu = 1000
    const p = back4(UDP, udp(80, 5000, bytes(4000)))
    const left = w.fromEdge(back4(UDP, udp(80, 5000, bytes(1))), [p, 1200], back4(UDP, udp(80, 5000, bytes(2))))
    expect(left.map((l) => l.bytes.length)).toEqual([29, 1228, 1228, 1228, 428, 30])
    expect(left.every((l) => checksumsHold(l.bytes) && l.gso === 0)).toBe(true)
  })

  test('UDP whose segments no tunnel takes is answered one by one, or made into fragments', () => {
    const w = open(REAL4)
    w.innerMtu = 1280
    const p = back4(UDP, udp(80, 5000, bytes(2800)))
    const answers = w.fromEdge([p, 1400])
    expect(answers.map((l) => [l.row, ...l.bytes.subarray(20, 22)])).toEqual([
      [0, 3, 4],
      [0, 3, 4],
    ])
    expect(answers.map((l) => ends(l.bytes))).toEqual(Array(2).fill({ from: host[4], to: REAL4 }))
    const pieces = w.fromEdge([back4(UDP, udp(80, 5000, bytes(2800)), false), 1400])
    expect(pieces.map((l) => [l.row, l.bytes.length])).toEqual([
      [row, 1276],
      [row, 172],
      [row, 1276],
      [row, 172],
    ])
  })

  test('what cannot be cut is counted', () => {
    const w = open(REAL4)
    w.innerMtu = 1280
    // More segments than any kernel makes.
    w.wholeMtu = 50
    expect(w.fromEdge([back4(UDP, udp(80, 5000, bytes(3000))), 10])).toEqual([])
    expect(w.counters.get('tt.drop.uncuttable')).toBe(1)
  })
})

test('an opening of more packets than one send takes', () => {
  const w = new TtWireWorld(REAL6)
  for (let i = 0; i < 300; i++) {
    w.fill(w.inner, i % 8, from4(UDP, udp(5000, 80, Uint8Array.of(i & 255, i >> 8))), 0)
    w.wire.fromTunnel(row, w.customer, w.inner, i % 8, w.now)
    if (i % 8 === 7) w.wire.afterOpen(w.now)
  }
  w.wire.afterOpen(w.now)
  const one = [...w.left.splice(0)].map((l) => viewOf(l.bytes).getUint16(48, true))
  expect(one).toEqual([...Array(300).keys()])
  // And when nobody says that the opening is over.
  for (let i = 0; i < 300; i++) {
    w.fill(w.inner, 0, from4(UDP, udp(5000, 80, bytes(2))), 0)
    w.wire.fromTunnel(row, w.customer, w.inner, 0, w.now)
  }
  w.wire.afterOpen(w.now)
  expect(w.left.map((l) => l.bytes.length)).toEqual(Array(300).fill(50))
})

type Kind = 'super' | 'cut' | 'split' | 'plain' | 'too-big' | 'lost'
const kinds: fc.Arbitrary<Kind> = fc.constantFrom('super', 'cut', 'split', 'plain', 'too-big', 'lost')

describe('packets that come together become what they would have become alone, in their order', () => {
  /** What goes on and what is answered: answers of one turn leave at its end. */
  const sorted = (left: readonly Left[]): readonly (readonly Left[])[] => [
    left.filter((l) => l.row === 0),
    left.filter((l) => l.row !== 0),
  ]
  const compare = (
    real: string,
    made: readonly (readonly [Uint8Array, number])[],
    turn: (w: TtWireWorld, packets: readonly (readonly [Uint8Array, number])[]) => Left[],
  ): void => {
    const [together, alone] = [new TtWireWorld(real), new TtWireWorld(real)]
    for (const w of [together, alone]) {
      w.wholeMtu = 1100
      w.fromTunnel(from4(UDP, udp(5000, 80, bytes(1))), from4(TCP, tcp(5000, 80, 2)))
    }
    const want = made.flatMap((one) => turn(alone, [one]))
    expect(sorted(turn(together, made))).toEqual(sorted(want))
  }

  test.each([REAL4, REAL6])('from a tunnel to %s', (real) => {
    const make = (kind: Kind, i: number): readonly [Uint8Array, number] => {
      switch (kind) {
        case 'super':
          return [from4(TCP, tcp(5000, 80, 0x10, bytes(5000 + i, i))), 1200]
        case 'cut':
          return [from4(UDP, udp(5000, 80, bytes(4500, i)), false), 1490]
        case 'split':
          return [from4(UDP, udp(5000, 80, bytes(1480, i)), false), 0]
        case 'plain':
          return [from4(UDP, udp(5000, 80, bytes(20, i))), 0]
        case 'too-big':
          return [from4(UDP, udp(5000, 80, bytes(1490, i))), 0]
        case 'lost':
          return [packet({ from: host[4], to: '198.19.9.9' }, TCP, tcp(1, i, 2)), 0]
        default:
          return kind satisfies never
      }
    }
    fc.assert(
      fc.property(fc.array(kinds, { minLength: 1, maxLength: 8 }), (list) => {
        compare(real, list.map(make), (w, packets) => w.fromTunnel(...packets))
      }),
      { numRuns: 60 },
    )
  })

  test.each([REAL4, REAL6])('from %s to a tunnel', (real) => {
    const six = real === REAL6
    const back = (protocol: number, payload: Uint8Array, df = true): Uint8Array =>
      six ? back6(protocol, payload) : back4(protocol, payload, df)
    const make = (kind: Kind, i: number): readonly [Uint8Array, number] => {
      switch (kind) {
        case 'super':
          return [back(TCP, tcp(80, 5000, 0x10, bytes(5000 + i, i))), 1200]
        // Longer than T: taken by M, cut by the plane's wish; longer than M: cut by ours.
        case 'cut':
          return [back(UDP, udp(80, 5000, bytes(4500, i)), false), i % 2 === 0 ? 1200 : 1450]
        case 'split':
          return [back(UDP, udp(80, 5000, bytes(1430, i)), false), 0]
        case 'plain':
          return [back(UDP, udp(80, 5000, bytes(20, i))), 0]
        case 'too-big':
          return [back(UDP, udp(80, 5000, bytes(1450, i))), 0]
        case 'lost':
          return [back(UDP, udp(81, 5000, bytes(4))), 0]
        default:
          return kind satisfies never
      }
    }
    fc.assert(
      fc.property(fc.array(kinds, { minLength: 1, maxLength: 40 }), (list) => {
        compare(real, list.map(make), (w, packets) => w.fromEdge(...packets))
      }),
      { numRuns: 60 },
    )
  })
})

test('what was put together is what single packets would have become', () => {
  const [w, single] = [new TtWireWorld(REAL6), new TtWireWorld(REAL6)]
  const p = from4(TCP, tcp(5000, 80, 0x18, bytes(30_000)))
  const [whole] = w.fromTunnel([p.slice(), 1400])
  const each = segmentsOf(p, 1400).flatMap((one) => single.fromTunnel(one).map((l) => l.bytes))
  expect(segmentsOf(whole?.bytes ?? new Uint8Array(0), 1400)).toEqual(each)
})

test.each(['4 6', '6 4', '4 4', '6 6'])(
  'a packet of a known flow leaves nothing for the collector, IPv%s',
  (families) => {
    const program = fileURLToPath(new URL('../../../test/support/tt-heap.ts', import.meta.url))
    const args = ['--expose-gc', program, ...families.split(' ')]
    const said = JSON.parse(execFileSync(process.execPath, args, { encoding: 'utf8' })) as { out: number; back: number }
    expect(said.out, 'bytes a packet, out').toBeLessThan(2)
    expect(said.back, 'bytes a packet, back').toBeLessThan(2)
  },
)
