import fc from 'fast-check'
import { expect, test } from 'vitest'
import { parseEndpoint } from '#ntm-lib/addr/endpoint.ts'
import { ip16 } from '#ntm-lib/addr/ip.ts'
import { instant } from '#ntm-lib/base/time.ts'
import { type DatagramRuns, RUN } from '#ntm-lib/plane/engine.ts'
import { encodeHeader } from '#ntm-lib/wire/header.ts'
import { Budgets } from './budget.ts'
import { Forwarder } from './forward.ts'
import { boundPlace, RelayTable } from './table.ts'

/** Hardly larger than the largest run, as in the product. */
const SLOT = 62_000
const ENDS = ['192.0.2.1:1', '[2001:db8::2]:2', '192.0.2.3:3', '[2001:db8::4]:4'].map((t) => parseEndpoint(t)!)

/** Two paths with both legs bound: leg n at ENDS[n]. */
function forwarder(sent: { place: number; bytes: Uint8Array; sends: number }[]): Forwarder {
  const table = new RelayTable(2)
  for (const row of [0, 1]) table.add([row * 4 + 1, row * 4 + 2, row * 4 + 3, row * 4 + 4])
  const rowOf = [1, 5].map((id) => table.rowOf(id))
  for (const [n, end] of ENDS.entries()) table.bind(2 * (rowOf[n >> 1] ?? 0) + (n & 1), end, instant(0))
  let sends = 0
  return new Forwarder({
    table,
    budgets: new Budgets(3),
    send: ({ arena, runs, count }) => {
      for (let k = 0; k < count * RUN.words; k += RUN.words) {
        const [place = 0, at = 0, len = 0, each = 1] = runs.subarray(k, k + RUN.words)
        sends++
        expect(len).toBeLessThanOrEqual(65_000)
        expect(Math.ceil(len / each)).toBeLessThanOrEqual(64)
        for (let i = at; i < at + len; i += each)
          sent.push({ place, bytes: arena.slice(i, Math.min(i + each, at + len)), sends })
      }
    },
    other: () => {},
    unknown: () => {},
    grown: () => {},
    unforwarded: () => {},
  })
}

type Slot = { readonly from: number; readonly each: number; readonly paths: readonly number[]; readonly last: number }
const slot: fc.Arbitrary<Slot> = fc.record({
  from: fc.nat(3),
  each: fc.constantFrom(32, 128, 1400, 4000, 5000),
  paths: fc.oneof(
    fc.constant([0]),
    fc.constant([0, 0, 0]),
    fc.constant([1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0]),
    fc.array(fc.nat(3), { minLength: 1, maxLength: 12 }),
  ),
  last: fc.integer({ min: 32, max: 5000 }),
})

/** `paths` are offsets from the sender's own: 0 is its own leg, others are not and go nowhere. */
function runs(slots: readonly Slot[], expected: Map<number, string[]>): DatagramRuns {
  const arena = new Uint8Array(slots.length * SLOT)
  const [lens, segs] = [new Uint32Array(slots.length), new Uint16Array(slots.length)]
  const [addrs, ports] = [new Uint8Array(16 * slots.length), new Uint16Array(slots.length)]
  let mark = 0
  for (const [i, s] of slots.entries()) {
    let at = i * SLOT
    for (const [k, offset] of s.paths.entries()) {
      const leg = (s.from + offset) & 3
      const length = k === s.paths.length - 1 ? Math.min(s.each, s.last) : s.each
      const d = new Uint8Array(length).fill(++mark)
      d.set(
        encodeHeader({ cls: 4, flags: (leg & 1) << 7, word: 0, id: (leg >> 1) * 4 + 1 + (mark & 3), counter: mark }),
      )
      arena.set(d, at)
      at += length
      if (offset === 0) expected.set(s.from ^ 1, [...(expected.get(s.from ^ 1) ?? []), String(d)])
    }
    lens[i] = at - i * SLOT
    segs[i] = s.paths.length > 1 ? s.each : 0
    const end = ENDS[s.from]!
    addrs.set(ip16(end.ip), 16 * i)
    ports[i] = end.port
  }
  const view = new DataView(arena.buffer)
  return { arena, view, slotBytes: SLOT, lens, segs, addrs, ports, count: slots.length }
}

test('each end gets exactly what the other one sent, in its order, however it came and was joined', () => {
  fc.assert(
    fc.property(fc.array(slot, { minLength: 1, maxLength: 24 }), (slots) => {
      const expected = new Map<number, string[]>()
      const sent: { place: number; bytes: Uint8Array; sends: number }[] = []
      const d = runs(slots, expected)
      forwarder(sent).take(d, instant(1))
      const got = new Map<number, string[]>()
      const legAt = new Map([0, 1, 2, 3].map((leg) => [leg, leg]))
      for (const { place, bytes } of sent) {
        const leg = [...legAt.keys()].find((l) => placeOf(l) === place) ?? -1
        got.set(leg, [...(got.get(leg) ?? []), String(bytes)])
      }
      expect(got).toEqual(expected)
    }),
    { numRuns: 300 },
  )
})

test.each([
  [100, 128, 2],
  [20, 4000, 2],
])('%i datagrams of %i bytes that came one by one leave in %i sends', (count, each, sends) => {
  const sent: { place: number; bytes: Uint8Array; sends: number }[] = []
  const slots = Array.from({ length: count }, (): Slot => ({ from: 0, each, paths: [0], last: each }))
  forwarder(sent).take(runs(slots, new Map()), instant(1))
  expect(sent.length).toBe(count)
  expect(sent.at(-1)?.sends).toBe(sends)
})

/** Rows are given in order: leg n of the test is leg n of the table. */
const placeOf = (leg: number): number => boundPlace(leg)
