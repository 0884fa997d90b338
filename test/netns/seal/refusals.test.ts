import fc from 'fast-check'
import { beforeEach, describe, expect, test } from 'vitest'
import { STATUS } from '#ntm-lib/plane/engine.ts'
import { keyOf, NONCE, type Opening, TestEngine } from './engine.ts'
import { ACK, fillChecksums, packet, viewOf } from './packets.ts'

let engine: TestEngine
beforeEach(() => {
  engine = new TestEngine()
  engine.key(0, 1)
})

const plan = {
  ...{ four: true, tcp: true, extra: 0, options: 0, flags: ACK, seq: 1, id: 9, df: true, tos: 0 },
  ...{ data: 5000, flow: 1, seed: 7 },
}
const whole = packet(plan)
const segments = (n: number): Opening[] =>
  engine
    .seal([{ packet: packet({ ...plan, data: n * 1000 }), gso: 1000 }], { outBytes: 1 << 23, runRoom: 9 })
    .datagrams.map((datagram) => ({ datagram }))
const opened = (o: readonly Opening[]): number[] => engine.open(o).status

describe('replay', () => {
  test('each counter once, within the window behind the newest, in any order', () => {
    engine.io.setOpen(engine.keys, 0, 1, keyOf(1), NONCE, 64)
    const sent = numbered(200)
    expect(opened(sent.slice(100, 101))).toEqual([0])
    expect(opened(sent.slice(36, 38))).toEqual([STATUS.replay, 0])
    expect(opened(sent.slice(30, 101))).toEqual(
      Array.from({ length: 71 }, (_, i) => (i < 7 || i === 7 || i === 70 ? STATUS.replay : 0)),
    )
    expect(opened(sent.slice(199))).toEqual([0])
    expect(opened(sent.slice(101, 199))).toEqual(Array.from({ length: 98 }, (_, i) => (i < 35 ? STATUS.replay : 0)))
  })

  test('the same as a set of counters would say, for any order and any window', () => {
    const sent = numbered(3000)
    fc.assert(
      fc.property(
        fc.constantFrom(32, 64, 320, 1024),
        fc.array(fc.oneof(fc.nat(2999), fc.integer({ min: 900, max: 1100 })), { maxLength: 200 }),
        (window, order) => {
          engine.io.setOpen(engine.keys, 0, 1, keyOf(1), NONCE, window)
          const seen = new Set<number>()
          let newest = -1
          const expected = order.map((n) => {
            if (seen.has(n) || n <= newest - window) return STATUS.replay
            seen.add(n)
            newest = Math.max(newest, n)
            return STATUS.done
          })
          expect(engine.open(order.map((n) => sent[n] ?? { datagram: whole })).status).toEqual(expected)
          expect(engine.io.newestCounter(engine.keys, 0, 1)).toBe(newest)
        },
      ),
      { numRuns: 60 },
    )
  })

  test('a forged datagram moves no window, whatever counter it claims', () => {
    const [first, second] = segments(2)
    const forged = { datagram: (first?.datagram ?? whole).slice() }
    viewOf(forged.datagram).setUint16(10, 0xffff)
    expect(opened([forged, ...(first === undefined ? [] : [first]), forged])).toEqual([STATUS.badTag, 0, STATUS.badTag])
    expect(engine.io.newestCounter(engine.keys, 0, 1)).toBe(0)
    expect(opened(second === undefined ? [] : [second])).toEqual([0])
  })

  test('lanes do not know of each other', () => {
    const lanes = [0, 1, 2, 3].map((lane) => engine.seal([{ packet: whole, flags: lane << 4 }]).datagrams[0] ?? whole)
    expect([0, 1, 2, 3].map((lane) => engine.io.nextCounter(engine.keys, 0, lane))).toEqual([1, 1, 1, 1])
    expect(opened(lanes.map((datagram) => ({ datagram })))).toEqual([0, 0, 0, 0])
    expect(new Set(lanes.map((d) => Buffer.from(d.subarray(16)).toString('hex'))).size).toBe(4)
  })

  function numbered(n: number): Opening[] {
    return engine
      .seal(Array.from({ length: n }, () => ({ packet: whole.slice(0, 60) })))
      .datagrams.map((datagram) => ({ datagram }))
  }
})

describe('forgery', () => {
  test('any changed bit is found, and nothing of the text comes out', () => {
    const [sealed] = segments(1)
    const datagram = sealed?.datagram ?? whole
    fc.assert(
      fc.property(fc.nat(datagram.length * 8 - 1), (bit) => {
        const forged = datagram.slice()
        forged[bit >> 3] = (forged[bit >> 3] ?? 0) ^ (1 << (bit & 7))
        const { slots, status } = engine.open([{ datagram: forged, lane: 1 }])
        expect([slots, status]).toEqual([[], [STATUS.badTag]])
      }),
      { numRuns: 200 },
    )
    expect(opened([{ datagram }])).toEqual([0])
  })

  test('between the segments of a flow: the super-packet is what it would have been', () => {
    const sent = segments(20)
    const forged = sent.map(({ datagram }, i) => {
      const f = datagram.slice()
      // A counter of its own; every second one is cut short as well.
      viewOf(f).setUint32(12, 0x1000 + i)
      return { datagram: i % 2 === 0 ? f : f.subarray(0, f.length - 300) }
    })
    const { slots, status } = engine.open(sent.flatMap((s, i) => [s, ...forged.slice(i, i + 1)]))
    expect(status).toEqual(sent.flatMap(() => [0, STATUS.badTag]))
    expect(slots.map((s) => [s.gso, s.jobs])).toEqual([[1000, 20]])
    const expected = packet({ ...plan, data: 20_000 })
    expect(slots[0]?.bytes.subarray(40)).toEqual(expected.subarray(40))
  })

  test('what was decrypted is wiped', () => {
    const [sealed] = segments(1)
    const forged = (sealed?.datagram ?? whole).slice()
    forged[forged.length - 1] = (forged[forged.length - 1] ?? 0) ^ 1
    const out = new Uint8Array(4096).fill(0xee)
    const u32 = new Uint32Array(1)
    const [status, done] = [new Int8Array(1), new Int32Array(2)]
    const jobs = Int32Array.of(0, 0, forged.length, 1)
    const meta = new Int32Array(3)
    engine.io.open(
      engine.keys,
      jobs,
      0,
      1,
      forged,
      out,
      4096,
      0,
      u32,
      new Uint16Array(1),
      meta,
      true,
      9000,
      status,
      done,
    )
    expect([status[0], done[1], u32[0]]).toEqual([STATUS.badTag, 0, 0])
    expect([...new Set(out.subarray(0, 1040))]).toEqual([0])
    expect([...new Set(out.subarray(1040))]).toEqual([0xee])
  })

  test('too short to be anything', () => {
    const [sealed] = segments(1)
    const datagram = (sealed?.datagram ?? whole).subarray(0, 31)
    expect(opened([{ datagram, lane: 0 }, { datagram: new Uint8Array(0) }])).toEqual([STATUS.short, STATUS.short])
  })
})

describe('keys', () => {
  test('jobs that name no key are refused one by one', () => {
    const some = [{ packet: whole }, { packet: whole, key: 7 }, { packet: whole, key: 2 ** 31 - 1 }, { packet: whole }]
    expect(engine.seal(some).status).toEqual([0, STATUS.noKey, STATUS.noKey, 0])
    const [sealed] = segments(1)
    const datagram = sealed?.datagram ?? whole
    expect(opened([{ datagram, key: 9 }, { datagram }])).toEqual([STATUS.noKey, 0])
  })

  test('a key that was removed between two calls for one list of jobs', () => {
    const jobs = [{ packet: whole }, { packet: whole }]
    expect(engine.seal(jobs, { outBytes: whole.length + 32 })).toMatchObject({ jobs: 1, status: [0, 99] })
    engine.io.clearSeal(engine.keys, 0)
    expect(engine.seal(jobs, { first: 1 })).toMatchObject({ jobs: 1, status: [99, STATUS.noKey], datagrams: [] })
    expect(engine.io.nextCounter(engine.keys, 0, 1)).toBe(-1)
    engine.io.clearOpen(engine.keys, 0)
    expect(engine.io.newestCounter(engine.keys, 0, 1)).toBe(-1)
    for (const index of [0, 5, 2 ** 20 - 1]) engine.io.clearSeal(engine.keys, index)
  })

  test('a key put where one was begins anew', () => {
    segments(3)
    engine.key(0, 2)
    expect(engine.io.nextCounter(engine.keys, 0, 1)).toBe(0)
    expect(opened(segments(3))).toEqual([0, 0, 0])
  })

  test('worn out by packets: a super-packet is sealed whole or not at all', () => {
    engine.key(0, 1, { most: 7 })
    const { status } = engine.seal([
      { packet: whole, gso: 1000 },
      { packet: whole, gso: 1000 },
      { packet: whole, gso: 2500 },
      { packet: whole },
    ])
    expect(status).toEqual([0, STATUS.usedUp, 0, STATUS.usedUp])
    expect(engine.io.nextCounter(engine.keys, 0, 1)).toBe(7)
  })

  test('worn out by bytes, counted as inner packets', () => {
    engine.key(0, 1, { bytes: 5 * 1040 + 100 })
    const { status } = engine.seal([
      { packet: whole, gso: 1000 },
      { packet: whole.slice(0, 101) },
      { packet: whole.slice(0, 100) },
      { packet: whole.slice(0, 1) },
    ])
    expect(status).toEqual([0, STATUS.usedUp, 0, STATUS.usedUp])
  })

  test('ten thousand of them', () => {
    const secret = keyOf(1)
    for (let i = 0; i < 10_000; i++) {
      engine.io.setSeal(engine.keys, i, 1, secret, NONCE, 2 ** 28, 2 ** 39)
      engine.io.setOpen(engine.keys, i, 1, secret, NONCE, 8192)
    }
    const { datagrams } = engine.seal([{ packet: whole, key: 9_999 }])
    expect(engine.open(datagrams.map((datagram) => ({ datagram, key: 9_999 }))).status).toEqual([0])
  })

  test('memory does not grow: keys put, used and replaced thirty thousand times', () => {
    const [arena, out, slots] = [new Uint8Array(100), new Uint8Array(132), new Uint8Array(200)]
    const sealing = Int32Array.of(0, 0, 0, 100, 0, 0x10, 1400, 0)
    const opening = Int32Array.of(0, 0, 132, 1)
    const [runs, done, status, headers] = [new Int32Array(4), new Int32Array(4), new Int8Array(1), new Uint8Array(16)]
    const [lens, gso, meta] = [new Uint32Array(1), new Uint16Array(1), new Int32Array(3)]
    const { io, keys } = engine
    const use = (times: number): number => {
      let refused = 0
      for (let i = 0; i < times; i++) {
        const suite = (i % 3) as 0 | 1 | 2
        engine.key(0, suite)
        io.seal(keys, sealing, 0, 1, headers, arena, out, runs, status, done)
        if (status[0] !== 0) refused++
        io.open(keys, opening, 0, 1, out, slots, 200, 0, lens, gso, meta, true, 9000, status, done)
        if (status[0] !== 0) refused++
      }
      return refused
    }
    expect(use(3000)).toBe(0)
    const before = process.memoryUsage().rss
    expect(use(30_000)).toBe(0)
    // Leaked, it would be 3.5 kB each time: 100 MB.
    expect(process.memoryUsage().rss - before).toBeLessThan(20e6)
  })
})

describe('room', () => {
  test('`out` full: stops before the job, goes on with the next call, nothing is lost or sealed twice', () => {
    const jobs = Array.from({ length: 9 }, (_, i) => ({ packet: packet({ ...plan, flow: i, data: 3000 }), gso: 1000 }))
    const datagrams: Uint8Array[] = []
    let [first, calls] = [0, 0]
    for (; first < jobs.length; calls++) {
      const sealed = engine.seal(jobs, { first, outBytes: 2 * (3 * 1072) + 100 })
      datagrams.push(...sealed.datagrams)
      first += sealed.jobs
      expect(sealed.jobs).toBeGreaterThan(0)
    }
    expect([calls, datagrams.length]).toEqual([5, 27])
    expect(engine.open(datagrams.map((datagram) => ({ datagram }))).slots.map((s) => s.jobs)).toEqual(jobs.map(() => 3))
    expect(engine.seal(jobs, { runRoom: 1 })).toMatchObject({ jobs: 1 })
  })

  test('what does not even fit an empty `out` is too big', () => {
    expect(
      engine.seal([{ packet: whole, gso: 1000 }, { packet: whole.slice(0, 50) }], { outBytes: 2000 }),
    ).toMatchObject({
      status: [STATUS.tooBig, 0],
      jobs: 2,
    })
  })

  test('no slot left: stops before the job, goes on with the next call', () => {
    const sent = [1, 2, 3, 4, 5].flatMap((flow) =>
      engine.seal([{ packet: packet({ ...plan, flow, data: 100 }) }]).datagrams.map((datagram) => ({ datagram })),
    )
    const [a, b] = [engine.open(sent, { slots: 3 }), engine.open(sent, { slots: 3, first: 3 })]
    expect([a.jobs, b.jobs, a.slots.length, b.slots.length]).toEqual([3, 2, 3, 2])
    expect(b.slots.map((s) => s.first)).toEqual([3, 4])
    expect(engine.open(sent, { slots: 0 })).toMatchObject({ jobs: 0, slots: [] })
  })
})

describe('absurd packets with a gso are malformed, never sealed', () => {
  const six = packet({ ...plan, four: false })
  const withBytes = (from: Uint8Array, at: number, ...bytes: number[]): Uint8Array => {
    const out = from.slice()
    out.set(bytes, at)
    return out
  }
  const udp = packet({ ...plan, tcp: false })
  test.each([
    ['nothing', new Uint8Array(0)],
    ['one byte', Uint8Array.of(0x45)],
    ['neither IPv4 nor IPv6', withBytes(whole, 0, 0x55)],
    ['an IPv4 header of 16 bytes', withBytes(whole, 0, 0x44)],
    ['an IPv4 header longer than the packet', whole.slice(0, 30)],
    ['a length longer than the packet', withBytes(whole, 2, 0xff, 0xff)],
    ['a length shorter than the packet', withBytes(whole, 2, 0, 100)],
    ['a length of nothing', withBytes(whole, 2, 0, 0)],
    ['a fragment', withBytes(whole, 6, 0x20, 0)],
    ['a later fragment', withBytes(whole, 6, 0, 7)],
    ['ICMP', withBytes(whole, 9, 1)],
    ['a TCP header of 16 bytes', withBytes(whole, 32, 0x40)],
    ['a TCP header longer than the packet', withBytes(packet({ ...plan, data: 4 }), 32, 0xf0)],
    ['SYN', withBytes(whole, 33, 0x12)],
    ['RST', withBytes(whole, 33, 0x14)],
    ['a UDP length that lies', withBytes(udp, 24, 0, 50)],
    ['a UDP length of zero', withBytes(udp, 24, 0, 0)],
    ['IPv6 cut off', six.slice(0, 39)],
    ['an IPv6 length that lies', withBytes(six, 4, 0, 9)],
    ['no next header', withBytes(six, 6, 59)],
    ['an IPv6 fragment', withBytes(six, 6, 44, 64)],
    ['extension headers without end', withBytes(withBytes(new Uint8Array(300), 0, 0x60, 0, 0, 0, 1, 4, 0), 8)],
    ['an extension header longer than the packet', withBytes(withBytes(six, 6, 60), 40, 6, 255)],
    ['a Routing header with segments left', routed()],
    ['headers of more than 256 bytes', longHeaders()],
  ])('%s', (_, bytes) => {
    for (const gso of bytes[33] === 0x12 || bytes[33] === 0x14 ? [1, 100] : [1, 100, 0xffff]) {
      expect(engine.seal([{ packet: bytes, gso }], { outBytes: 1 << 22 }).status).toEqual([STATUS.malformed])
      expect(engine.io.nextCounter(engine.keys, 0, 1)).toBe(0)
      const lens = new Uint32Array(4)
      expect(engine.io.segment(bytes, 0, bytes.length, gso, 1500, new Uint8Array(8000), 2000, 0, lens)).toBe(-2)
    }
  })

  test('frames and halves are never cut', () => {
    for (const flags of [0x50, 0x14, 0x18])
      expect(
        engine.seal([
          { packet: whole, gso: 1000, flags },
          { packet: whole, flags },
        ]).status,
      ).toEqual([STATUS.malformed, 0])
  })

  test('a segment of one byte each is what was asked for', () => {
    const small = packet({ ...plan, data: 300 })
    expect(engine.seal([{ packet: small, gso: 1 }]).datagrams).toHaveLength(300)
  })

  test('any bytes, any gso: sealed or refused; what comes out opens', () => {
    fc.assert(
      fc.property(fc.constantFrom(whole, six, udp), damage, fc.nat(0xffff), (from, damages, gso) => {
        const bytes = from.slice()
        for (const [at, byte] of damages) bytes[at % 100] = byte
        const { datagrams, status } = engine.seal([{ packet: bytes, gso }], { outBytes: 1 << 22, runRoom: 4 })
        expect([0, STATUS.malformed, STATUS.tooBig]).toContain(status[0])
        if (datagrams.length < 200)
          expect(opened(datagrams.map((datagram) => ({ datagram }))).every((s) => s === 0)).toBe(true)
      }),
      { numRuns: 300 },
    )
  })

  test('any bytes from a genuine peer: opened, and joined only when cutting gives them back', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(4), damage), { maxLength: 8 }), (changes) => {
        const parts = changes.map(([n, damages]) => {
          const bytes = packet({ ...plan, data: 200, seq: 1 + 200 * n, id: n, four: damages.length % 2 === 0 })
          if (damages.length > 2) {
            for (const [at, byte] of damages) bytes[at % 60] = byte
            if ((bytes[0] ?? 0) === 0x45 && bytes[9] === 6) fillChecksums(bytes)
          }
          return bytes
        })
        const sealed = engine.seal(parts.map((p) => ({ packet: p }))).datagrams.map((datagram) => ({ datagram }))
        const { slots, status } = engine.open(sealed)
        expect(status.every((s) => s === 0)).toBe(true)
        expect(slots.reduce((n, s) => n + s.jobs, 0)).toBe(parts.length)
        for (const s of slots) if (s.gso === 0) expect(parts).toContainEqual(s.bytes)
      }),
      { numRuns: 300 },
    )
  })

  /** A Routing header between IPv6 and TCP. */
  function routed(): Uint8Array {
    const bytes = packet({ ...plan, four: false, extra: 24 })
    bytes[6] = 43
    bytes.set([6, 2, 4, 1], 40)
    return bytes
  }

  function longHeaders(): Uint8Array {
    const bytes = new Uint8Array(40 + 256 + 20 + 500)
    bytes.set(packet({ ...plan, four: false, data: 0 }).subarray(0, 40))
    viewOf(bytes).setUint16(4, bytes.length - 40)
    bytes[6] = 60
    bytes.set([6, 31, 1, 252], 40)
    bytes[296 + 12] = 0x50
    return bytes
  }
})

const damage = fc.array(fc.tuple(fc.nat(99), fc.nat(255)), { maxLength: 6 })
