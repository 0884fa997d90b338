import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { segmentsOf } from '#test/support/segments.ts'
import { type Opening, type Sealing, type Slot, TestEngine } from './engine.ts'
import {
  ACK,
  fillChecksums,
  flaw,
  joinable,
  type PacketPlan,
  PSH,
  packet,
  payloadAt,
  somePacket,
  TCP,
  transport,
  viewOf,
} from './packets.ts'

const engine = new TestEngine()
const RUNS = { numRuns: 60 }
const CSUM_MISSING = 0xffff
const MOST = 65_000

const seal = (sealing: readonly Sealing[]): Opening[] => {
  engine.key(0, 1)
  const { datagrams, status, jobs } = engine.seal(sealing, { outBytes: 8 << 20 })
  expect(jobs).toBe(sealing.length)
  expect(status).toEqual(sealing.map(() => 0))
  return datagrams.map((datagram) => ({ datagram }))
}

const inners = (slots: readonly Slot[]): Uint8Array[] => slots.map((s) => s.bytes)
/** All the packets that the slots stand for. */
const cutAgain = (slots: readonly Slot[]): Uint8Array[] =>
  slots.flatMap((s) => (s.gso === 0 ? [s.bytes] : segmentsOf(s.bytes, s.gso)))

const sizes = fc.oneof(fc.integer({ min: 0, max: 6000 }), fc.integer({ min: 60_000, max: 64_800 }))
const cuts = fc.integer({ min: 200, max: 9000 })

describe('cutting', () => {
  test('a super-packet becomes exactly the segments a kernel would make of it', () => {
    fc.assert(
      fc.property(somePacket(sizes), cuts, (plan, gso) => {
        const whole = packet({ ...plan, flags: plan.flags | ACK })
        const { slots, status } = engine.open(seal([{ packet: whole, gso }]), { join: false, slots: 400 })
        expect(status.every((s) => s === 0)).toBe(true)
        expect(slots.map((s) => flaw(s.bytes)).filter((f) => f !== '')).toEqual([])
        expect(inners(slots)).toEqual(segmentsOf(whole, gso))
      }),
      RUNS,
    )
  })

  test('the checksum field of a super-packet means nothing', () => {
    const whole = packet({ ...base, data: 5000 })
    const spoilt = whole.slice()
    viewOf(spoilt).setUint16(payloadAt(spoilt) - 4, 0xdead)
    expect(inners(engine.open(seal([{ packet: spoilt, gso: 1400 }]), { join: false }).slots)).toEqual(
      segmentsOf(whole, 1400),
    )
  })

  test('a missing checksum is made, in both families, for both protocols', () => {
    fc.assert(
      fc.property(somePacket(fc.integer({ min: 0, max: 3000 })), (plan) => {
        const whole = packet(plan)
        const { at, protocol } = transport(whole)
        const without = whole.slice()
        viewOf(without).setUint16(at + (protocol === TCP ? 16 : 6), 0x1234)
        const [opened] = engine.open(seal([{ packet: without, gso: CSUM_MISSING }])).slots
        expect(opened).toMatchObject({ bytes: whole, gso: 0 })
      }),
      RUNS,
    )
  })

  test('a checksum of zero: UDP has another form of it, TCP has not', () => {
    for (const tcp of [true, false])
      for (const four of [true, false]) {
        const bytes = packet({ ...base, tcp, four, data: 2 })
        // The one word that makes the sum come out so.
        const v = viewOf(bytes)
        v.setUint16(bytes.length - 2, 0)
        fillChecksums(bytes)
        v.setUint16(bytes.length - 2, v.getUint16(checksumAt(bytes)))
        const [opened] = engine.open(seal([{ packet: bytes, gso: CSUM_MISSING }])).slots
        const check = viewOf(opened?.bytes ?? bytes).getUint16(checksumAt(bytes))
        expect(check).toBe(tcp ? 0 : 0xffff)
      }
  })

  test('TCP segments longer than a datagram takes are cut smaller; UDP is refused', () => {
    fc.assert(
      fc.property(
        somePacket(fc.integer({ min: 1500, max: 20_000 })),
        fc.integer({ min: 600, max: 1300 }),
        (plan, most) => {
          const whole = packet(plan)
          engine.key(0, 1)
          const sealed = engine.seal([{ packet: whole, gso: 1400, most }])
          expect(sealed.status).toEqual([plan.tcp ? 0 : -3])
          if (!plan.tcp) return
          const { slots } = engine.open(
            sealed.datagrams.map((datagram) => ({ datagram })),
            { join: false },
          )
          expect(inners(slots)).toEqual(segmentsOf(whole, most - payloadAt(whole)))
          expect(Math.max(...slots.map((s) => s.bytes.length))).toBe(most)
        },
      ),
      RUNS,
    )
  })

  test('a plain packet is sealed as it is, whatever it is', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        expect(engine.open(seal([{ packet: bytes }])).slots).toMatchObject([{ bytes, gso: 0, first: 0, jobs: 1 }])
      }),
      RUNS,
    )
  })

  test('equal datagrams of a row are one run; a shorter one ends it, another row begins one', () => {
    const at = (row: number, data: number): Sealing => ({ packet: packet({ ...base, data }), gso: 1000, row })
    engine.key(0, 1)
    const each = 40 + 1000 + 32
    const { runs, rows } = engine.seal([at(0, 3000), at(0, 2500), at(1, 3000), at(0, 100), at(0, 1000)])
    expect(runs).toEqual([
      [0, 0, 5 * each + 572, each],
      [1, 5 * each + 572, 3 * each, each],
      [0, 8 * each + 572, 172, 172],
      [0, 8 * each + 744, each, each],
    ])
    expect(rows).toEqual([0, 0, 0, 0, 0, 0, 1, 1, 1, 0, 0])
  })

  test('`segment` makes the same packets in slots and leaves the packet as it was', () => {
    fc.assert(
      fc.property(somePacket(sizes), cuts, fc.nat(100), (plan, gso, at) => {
        const whole = packet(plan)
        const arena = new Uint8Array(at + whole.length + 3)
        arena.set(whole, at)
        const [out, lens] = [new Uint8Array(400 * 10_000), new Uint32Array(400)]
        const n = engine.io.segment(arena, at, whole.length, gso, 9500, out, 10_000, 64, lens)
        const expected = segmentsOf(whole, gso)
        expect(n).toBe(expected.length)
        const slots = [...lens.subarray(0, n)].map((len, i) => out.slice(i * 10_000 + 64, i * 10_000 + 64 + len))
        expect(slots).toEqual(expected)
        expect(arena.subarray(at, at + whole.length)).toEqual(whole)
      }),
      RUNS,
    )
  })

  test('`segment` says when there is no room and when it cannot be cut', () => {
    const udp = packet({ ...base, tcp: false, data: 3000 })
    const to = (gso: number, most: number, slots: number, slotBytes = 2000): number =>
      engine.io.segment(
        udp,
        0,
        udp.length,
        gso,
        most,
        new Uint8Array(slots * slotBytes),
        slotBytes,
        0,
        new Uint32Array(slots),
      )
    expect(to(1000, 1028, 3)).toBe(3)
    expect(to(1000, 1028, 2)).toBe(-1)
    expect(to(1000, 1028, 3, 1000)).toBe(-1)
    expect(to(1000, 1027, 3)).toBe(-2)
    expect(to(0, 3028, 1, 4000)).toBe(1)
    expect(to(0, 3027, 1, 4000)).toBe(-2)
    expect(engine.io.segment(udp, 0, 20, 5, 3000, new Uint8Array(100), 100, 0, new Uint32Array(1))).toBe(-2)
  })
})

describe('joining', () => {
  test('what was one super-packet is one again, to the byte', () => {
    fc.assert(
      fc.property(somePacket(sizes), cuts, fc.boolean(), (plan, gso, push) => {
        const whole = packet({ ...joinable(plan), flags: push ? ACK | PSH : ACK })
        const data = whole.length - payloadAt(whole)
        const segments = segmentsOf(whole, gso)
        fc.pre(plan.tcp || segments.length <= 64)
        const { slots } = engine.open(seal([{ packet: whole, gso }]))
        expect(slots).toHaveLength(1)
        expect(slots[0]).toMatchObject({
          gso: data > gso ? gso : 0,
          first: 0,
          jobs: segments.length,
          inner: segments.reduce((n, s) => n + s.length, 0),
        })
        // What the checksum field of a super-packet holds means nothing.
        const back = slots.map((s) => s.bytes.slice())[0] ?? whole
        if (data > gso) viewOf(back).setUint16(checksumAt(back), viewOf(whole).getUint16(checksumAt(whole)))
        expect(back).toEqual(whole)
      }),
      RUNS,
    )
  })

  test('loss, reordering, duplication, interleaving and forgery: every packet that came, each flow in its order', () => {
    const flows = fc.array(fc.tuple(somePacket(fc.integer({ min: 0, max: 12_000 })), cuts), {
      minLength: 1,
      maxLength: 6,
    })
    fc.assert(
      fc.property(flows, fc.infiniteStream(fc.nat(99)), (plans, dice) => {
        const roll = (): number => dice.next().value ?? 0
        const sent = seal(
          plans.map(([plan, gso], i) => ({
            packet: packet({ ...plan, extra: 0, flow: i % 3 }),
            gso: plan.tcp ? gso : 0,
          })),
        )
        const wire = weather(sent, roll)
        engine.io.setOpen(engine.keys, 0, 1, new Uint8Array(16).fill(0x31), nonce(), 8192)
        const plain = engine.open(wire, { join: false, slots: 400 })
        engine.io.setOpen(engine.keys, 0, 1, new Uint8Array(16).fill(0x31), nonce(), 8192)
        const joined = engine.open(wire, { slots: 400 })
        expect(joined.status).toEqual(plain.status)
        expect(joined.slots.reduce((n, s) => n + s.jobs, 0)).toBe(plain.slots.length)
        expect(joined.slots.reduce((n, s) => n + s.inner, 0)).toBe(plain.slots.reduce((n, s) => n + s.bytes.length, 0))
        const again = cutAgain(joined.slots)
        expect(again.map(flaw).filter((f) => f !== '')).toEqual([])
        expect(byFlow(again)).toEqual(byFlow(inners(plain.slots)))
        for (const s of joined.slots) expect(s.jobs).toBe(s.gso === 0 ? 1 : segmentsOf(s.bytes, s.gso).length)
      }),
      RUNS,
    )
  })

  test('payloads shorter than their headers join, too', () => {
    for (const tcp of [true, false])
      for (const four of [true, false]) {
        const streams = [1, 2].map((flow) => segmentsOf(packet({ ...base, tcp, four, flow, data: 200 }), 7))
        for (const packets of [streams.flat(), roundRobin(streams)]) {
          const { slots } = engine.open(seal(packets.map((p) => ({ packet: p }))))
          expect(slots.map((s) => [s.gso, s.jobs])).toEqual([
            [7, 29],
            [7, 29],
          ])
          expect(cutAgain(slots)).toEqual(streams.flat())
        }
      }
  })

  test('sixteen interleaved streams still join', () => {
    const streams = Array.from({ length: 16 }, (_, flow) => segmentsOf(packet({ ...base, flow, data: 10_000 }), 1000))
    const interleaved = roundRobin(streams).map((p) => ({ packet: p }))
    const { slots } = engine.open(seal(interleaved))
    expect(slots.map((s) => [s.gso, s.jobs, s.bytes.length])).toEqual(streams.map(() => [1000, 10, 10_040]))
    expect(cutAgain(slots)).toEqual(streams.flat())
  })

  test('no super-packet is longer than asked', () => {
    const segments = segmentsOf(packet({ ...base, data: 60_000 }), 1000)
    const { slots } = engine.open(seal(segments.map((p) => ({ packet: p }))), { most: 20_040 })
    expect(slots.map((s) => s.bytes.length)).toEqual([20_040, 20_040, 20_040])
    expect(cutAgain(slots)).toEqual(segments)
  })

  const [a, b] = segmentsOf(packet({ ...base, data: 2000 }), 1000) as [Uint8Array, Uint8Array]
  const changed = (change: (v: DataView) => void, from = b): Uint8Array => {
    const out = from.slice()
    change(viewOf(out))
    return out
  }
  const fixed = (change: (v: DataView) => void): Uint8Array => repaired(changed(change))
  test.each([
    ['another type of service', fixed((v) => v.setUint8(1, 2))],
    ['another time to live', fixed((v) => v.setUint8(8, 63))],
    ['fragmenting forbidden only once', fixed((v) => v.setUint16(6, 0))],
    ['an identification that jumps', fixed((v) => v.setUint16(4, 77))],
    ['another acknowledgement', fixed((v) => v.setUint32(28, 5))],
    ['another window', fixed((v) => v.setUint16(34, 501))],
    ['an urgent pointer', fixed((v) => v.setUint16(38, 1))],
    ['a gap', fixed((v) => v.setUint32(24, v.getUint32(24) + 1))],
    ['FIN', fixed((v) => v.setUint8(33, 0x11))],
    ['SYN', fixed((v) => v.setUint8(33, 0x12))],
    ['RST', fixed((v) => v.setUint8(33, 0x14))],
    ['URG', fixed((v) => v.setUint8(33, 0x30))],
    ['ECE', fixed((v) => v.setUint8(33, 0x50))],
    ['CWR', fixed((v) => v.setUint8(33, 0x90))],
    ['no ACK', fixed((v) => v.setUint8(33, 0))],
    ['reserved bits', fixed((v) => v.setUint8(32, 0x51))],
    ['a wrong checksum', changed((v) => v.setUint16(36, v.getUint16(36) ^ 1))],
    ['wrong data', changed((v) => v.setUint8(600, v.getUint8(600) ^ 1))],
    ['a fragment', repaired(changed((v) => v.setUint16(6, 0x2000)))],
    ['padding behind', new Uint8Array([...b, 0, 0])],
  ])('not joined: %s', (_, second) => {
    const { slots } = engine.open(seal([{ packet: a }, { packet: second }]))
    expect(slots.map((s) => [s.bytes, s.gso])).toEqual([
      [a, 0],
      [second, 0],
    ])
  })

  test('not joined: a packet that says it stands alone, another key', () => {
    engine.key(1, 2)
    const sealed = seal([{ packet: a }, { packet: b }])
    expect(engine.open(sealed.map((o, i) => ({ ...o, alone: i === 1 }))).slots).toHaveLength(2)
    const other = engine.seal([{ packet: b, key: 1 }]).datagrams.map((datagram) => ({ datagram, key: 1 }))
    engine.key(0, 1)
    expect(engine.open([...sealed.slice(0, 1), ...other]).slots).toHaveLength(2)
  })

  test('a first segment with a wrong checksum is passed on as it is, and nothing joins it', () => {
    const wrong = changed((v) => v.setUint16(36, v.getUint16(36) ^ 1), a)
    expect(inners(engine.open(seal([{ packet: wrong }, { packet: b }])).slots)).toEqual([wrong, b])
  })

  test('a shorter segment ends it, so does a push; a longer one begins another', () => {
    const at = (seq: number, data: number, flags = ACK): Sealing => ({
      packet: packet({ ...base, seq: base.seq + seq, data, flags }),
    })
    const join = (...sent: Sealing[]): number[][] => engine.open(seal(sent)).slots.map((s) => [s.jobs, s.gso])
    const push = at(1000, 1000, ACK | PSH)
    expect(join(at(0, 1000), numberedAt(at(1000, 500), 41), numberedAt(at(1500, 500), 42))).toEqual([
      [2, 1000],
      [1, 0],
    ])
    expect(join(at(0, 1000), numberedAt(push, 41), numberedAt(at(2000, 1000), 42))).toEqual([
      [2, 1000],
      [1, 0],
    ])
    expect(join(at(0, 500), numberedAt(at(500, 1000), 41), numberedAt(at(1500, 1000), 42))).toEqual([
      [1, 0],
      [2, 1000],
    ])
    const udp = [700, 300, 300].map((data) => ({ packet: packet({ ...base, tcp: false, data }) }))
    expect(join(...udp.map((s, i) => numberedAt(s, i)))).toEqual([
      [2, 700],
      [1, 0],
    ])
  })

  test('an acknowledgement between two segments does not get overtaken', () => {
    const [x, y, z] = segmentsOf(packet({ ...base, data: 3000 }), 1000) as [Uint8Array, Uint8Array, Uint8Array]
    const ack = packet({ ...base, data: 0, seq: 9 })
    const { slots } = engine.open(seal([{ packet: x }, { packet: y }, { packet: ack }, { packet: z }]))
    expect(slots.map((s) => s.jobs)).toEqual([2, 1, 1])
    expect(inners(slots).slice(1)).toEqual([ack, z])
  })

  test('IPv4 identification that stays the same where fragmenting is forbidden', () => {
    const same = [a, fixed((v) => v.setUint16(4, viewOf(a).getUint16(4)))]
    expect(engine.open(seal(same.map((p) => ({ packet: p })))).slots).toMatchObject([{ gso: 1000, jobs: 2 }])
    const may = same.map((p) => repaired(changed((v) => v.setUint16(6, 0), p)))
    expect(engine.open(seal(may.map((p) => ({ packet: p })))).slots).toHaveLength(2)
  })

  test('UDP: no checksum, nothing joined; more than 64, two', () => {
    const datagrams = segmentsOf(packet({ ...base, tcp: false, data: 6500 }), 100)
    const { slots } = engine.open(seal(datagrams.map((p) => ({ packet: p }))))
    expect(slots.map((s) => s.jobs)).toEqual([64, 1])
    const bare = datagrams.slice(0, 3).map((p) => changed((v) => v.setUint16(26, 0), p))
    expect(inners(engine.open(seal(bare.map((p) => ({ packet: p })))).slots)).toEqual(bare)
  })

  test('`coalesce` joins in place by the same rules', () => {
    const streams = [0, 1, 2].map((flow) => segmentsOf(packet({ ...base, flow, data: 4500 }), 1000))
    const packets = roundRobin(streams)
    const [slot, arena] = [8000, new Uint8Array(8000 * packets.length)]
    const jobs = new Int32Array(3 * packets.length)
    for (const [i, p] of packets.entries()) {
      arena.set(p, i * slot + 64)
      jobs.set([i * slot + 64, p.length, 0], 3 * i)
    }
    expect(engine.io.coalesce(arena, jobs, packets.length, slot - 64, MOST)).toBe(3)
    const slots = [0, 1, 2].map((i) => jobs.subarray(3 * i, 3 * i + 3))
    expect(slots.map(([, len, gso]) => [len, gso])).toEqual([0, 1, 2].map(() => [4540, 1000]))
    const whole = slots.map(([at = 0, len = 0]) => arena.slice(at, at + len))
    expect(whole.flatMap((p) => segmentsOf(p, 1000))).toEqual(streams.flat())
  })

  test('`coalesce` leaves what has a gso, grows no packet beyond its room, and keeps the order around both', () => {
    const s = segmentsOf(packet({ ...base, data: 4000 }), 1000)
    const [slot, arena] = [4000, new Uint8Array(4000 * 4)]
    const jobs = new Int32Array(12)
    for (const [i, p] of s.entries()) {
      arena.set(p, i * slot)
      jobs.set([i * slot, p.length, i === 1 ? CSUM_MISSING : 0], 3 * i)
    }
    expect(engine.io.coalesce(arena, jobs, 4, slot, MOST)).toBe(3)
    expect([...jobs.subarray(0, 9)]).toEqual([0, 1040, 0, 4000, 1040, CSUM_MISSING, 8000, 2040, 1000])
    for (const [i, p] of s.entries()) {
      arena.set(p, i * slot)
      jobs.set([i * slot, p.length, 0], 3 * i)
    }
    expect(engine.io.coalesce(arena, jobs, 4, 2100, MOST)).toBe(2)
  })
})

const base: PacketPlan = {
  four: true,
  tcp: true,
  extra: 0,
  options: 0,
  flags: ACK,
  seq: 0x7000,
  id: 40,
  df: true,
  tos: 0,
  data: 1000,
  flow: 1,
  seed: 5,
}
const nonce = (): Uint8Array => Uint8Array.from({ length: 12 }, (_, i) => 0xa0 + i)
const checksumAt = (p: Uint8Array): number => transport(p).at + (transport(p).protocol === TCP ? 16 : 6)

/** What the network does to datagrams on their way, and what an attacker puts between them. */
function weather(sent: readonly Opening[], roll: () => number): Opening[] {
  const wire: Opening[] = []
  for (const o of sent) {
    const luck = roll()
    if (luck < 5) continue
    if (luck < 15 && wire.length > 0) wire.splice(wire.length - 1, 0, o)
    else wire.push(o)
    if (luck > 95) wire.push(o)
    if (luck > 85) {
      const forged = o.datagram.slice()
      // Another counter, so that it is not taken for a replay.
      viewOf(forged).setUint32(12, 0xf000_0000 + luck)
      wire.push({ datagram: forged })
    }
    if (luck === 84) wire.push({ datagram: o.datagram.subarray(0, 31) })
  }
  return wire
}

/** Packets in their order, for each flow; identification aside, which cutting gives anew. */
function byFlow(packets: readonly Uint8Array[]): Map<string, string[]> {
  const flows = new Map<string, string[]>()
  for (const p of withoutIds(packets)) {
    const { at, protocol } = transport(p)
    const name = `${protocol} ${p.subarray(at, at + 4)} ${p[0]}`
    flows.set(name, [...(flows.get(name) ?? []), Buffer.from(p).toString('base64')])
  }
  return flows
}

/** One of each in turn. */
const roundRobin = (streams: readonly (readonly Uint8Array[])[]): Uint8Array[] =>
  (streams[0] ?? []).flatMap((_, i) => streams.flatMap((s) => s.slice(i, i + 1)))

/** Without the IPv4 identification. */
function withoutIds(packets: readonly Uint8Array[]): Uint8Array[] {
  return packets.map((p) => {
    if ((p[0] ?? 0) >> 4 !== 4) return p
    const out = p.slice()
    out.fill(0, 4, 6)
    out.fill(0, 10, 12)
    return out
  })
}

/** With another IPv4 identification. */
function numbered(bytes: Uint8Array, id: number): Uint8Array {
  const out = bytes.slice()
  viewOf(out).setUint16(4, id)
  return repaired(out)
}

const numberedAt = (s: Sealing, id: number): Sealing => ({ ...s, packet: numbered(s.packet, id) })

/** With right checksums. */
function repaired(bytes: Uint8Array): Uint8Array {
  const out = bytes.slice()
  fillChecksums(out)
  return out
}
