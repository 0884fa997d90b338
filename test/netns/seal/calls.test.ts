import { beforeEach, expect, test } from 'vitest'
import { packetIo } from '#io/native.ts'
import type { Keys } from '#native/packet-io/index.d.ts'
import { keyOf, NONCE } from './engine.ts'

const io = packetIo()
let keys: Keys
beforeEach(() => {
  keys = io.newKeys(1, 1)
  io.setSeal(keys, 0, 1, keyOf(1), NONCE, 1000, 1e9)
  io.setOpen(keys, 0, 1, keyOf(1), NONCE, 64)
})

const arena = new Uint8Array(4096)
const out = new Uint8Array(4096)
const SEAL = [0, 0, 0, 100, 0, 0x10, 1400, 0]
type SealCall = Partial<{
  keys: unknown
  jobs: Int32Array
  first: number
  count: number
  headers: Uint8Array
  out: Uint8Array
  runs: Int32Array
  status: Int8Array
  done: Int32Array
}>
const seal = (c: SealCall = {}): number =>
  io.seal(
    (c.keys ?? keys) as Keys,
    c.jobs ?? Int32Array.from([...SEAL, ...SEAL]),
    c.first ?? 0,
    c.count ?? 2,
    c.headers ?? new Uint8Array(32),
    arena,
    c.out ?? out,
    c.runs ?? new Int32Array(8),
    c.status ?? new Int8Array(2),
    c.done ?? new Int32Array(4),
  )
const word = (at: number, value: number): Int32Array =>
  Int32Array.from([...SEAL, ...SEAL].map((w, i) => (i === at ? value : w)))

test.each<[string, SealCall]>([
  ['keys that are none', { keys: {} }],
  ['keys that are a port', { keys: io.openNetlink(0, 0, 0) }],
  ['a negative key index', { jobs: word(8, -1) }],
  ['a row without header', { jobs: word(9, 2) }],
  ['a packet before the arena', { jobs: word(10, -1) }],
  ['a packet behind the arena', { jobs: word(10, 4097) }],
  ['a packet that ends behind the arena', { jobs: word(10, 3997) }],
  ['a negative length', { jobs: word(11, -1) }],
  ['a length that wraps around', { jobs: word(11, 0x7fffffff) }],
  ['a gso of 17 bits', { jobs: word(12, 0x10000) }],
  ['flags of 9 bits', { jobs: word(13, 0x100) }],
  ['a negative limit', { jobs: word(14, -1) }],
  ['more jobs than there are', { count: 3 }],
  ['a first job behind the last', { first: 3 }],
  ['too little room for the status', { status: new Int8Array(1) }],
  ['no run at all', { runs: new Int32Array(3) }],
  ['too little room for what was done', { done: new Int32Array(3) }],
  ['sealing over the packets', { out: arena.subarray(100) }],
  ['a negative count', { count: -1 }],
])('seal throws, and seals nothing: %s', (_, call) => {
  const before = arena.slice()
  expect(() => seal(call)).toThrow(/^\w/)
  expect(io.nextCounter(keys, 0, 1)).toBe(0)
  expect(arena).toEqual(before)
})

test('no jobs are no fault', () => {
  expect(seal({ count: 0 })).toBe(0)
  expect(seal({ first: 2 })).toBe(0)
  expect(seal()).toBe(2)
})

const OPEN = [0, 0, 132, 1]
type OpenCall = Partial<{
  job: number[]
  out: Uint8Array
  slotBytes: number
  headroom: number
  lens: Uint32Array
  gso: Uint16Array
  meta: Int32Array
  most: number
  status: Int8Array
  done: Int32Array
}>
const open = (c: OpenCall = {}): number =>
  io.open(
    keys,
    Int32Array.from(c.job ?? OPEN),
    0,
    1,
    arena,
    c.out ?? out,
    c.slotBytes ?? 2048,
    c.headroom ?? 64,
    c.lens ?? new Uint32Array(2),
    c.gso ?? new Uint16Array(2),
    c.meta ?? new Int32Array(6),
    true,
    c.most ?? 65_000,
    c.status ?? new Int8Array(1),
    c.done ?? new Int32Array(2),
  )

test.each<[string, OpenCall]>([
  ['a negative key index', { job: [-1, 0, 132, 1] }],
  ['a datagram before the arena', { job: [0, -5, 132, 1] }],
  ['a datagram that ends behind the arena', { job: [0, 4000, 132, 1] }],
  ['flags that nobody knows', { job: [0, 0, 132, 8] }],
  ['more slots than memory', { slotBytes: 2049 }],
  ['headroom that leaves no room', { headroom: 2048 }],
  ['fewer gso than slots', { gso: new Uint16Array(1) }],
  ['fewer meta than slots', { meta: new Int32Array(5) }],
  ['more than an IP packet can have', { most: 65_536 }],
  ['too little room for the status', { status: new Int8Array(0) }],
  ['too little room for what was done', { done: new Int32Array(1) }],
  ['opening over the datagrams', { out: arena }],
])('open throws: %s', (_, call) => {
  expect(() => open(call)).toThrow(RangeError)
  expect(open()).toBe(1)
})

test('keys: a wrong suite, length, window, limit or index throws and changes nothing', () => {
  const [k, n] = [keyOf(1), NONCE]
  expect(() => io.setSeal(keys, 0, 3 as 0, k, n, 1, 1)).toThrow(RangeError)
  expect(() => io.setSeal(keys, 0, 2, k, n, 1, 1)).toThrow(RangeError)
  expect(() => io.setSeal(keys, 0, 1, k, n.subarray(1), 1, 1)).toThrow(RangeError)
  expect(() => io.setSeal(keys, 0, 1, k, n, -1, 1)).toThrow(RangeError)
  expect(() => io.setSeal(keys, 0, 1, k, n, 1, Number.NaN)).toThrow(RangeError)
  // Counters have 48 bits.
  expect(() => io.setSeal(keys, 0, 1, k, n, 2 ** 48 + 1, 1)).toThrow(RangeError)
  expect(() => io.setSeal(keys, 2 ** 20, 1, k, n, 1, 1)).toThrow(RangeError)
  for (const window of [0, 31, 33, 65_568]) expect(() => io.setOpen(keys, 0, 1, k, n, window)).toThrow(RangeError)
  expect(() => io.nextCounter(keys, 0, 4)).toThrow(RangeError)
  expect(() => io.clearSeal({} as Keys, 0)).toThrow(TypeError)
  expect(() => io.newKeys(2 ** 20 + 1, 0)).toThrow(RangeError)
  expect(seal()).toBe(2)
})

test('coalesce and segment: what lies outside the arena throws', () => {
  const jobs = (...w: number[]): number => io.coalesce(arena, Int32Array.from(w), 1, 2000, 65_000)
  for (const w of [
    [-1, 5, 0],
    [0, 4097, 0],
    [4096, 1, 0],
    [0, -1, 0],
    [0, 5, 0x10000],
    [0, 5],
  ])
    expect(() => jobs(...w)).toThrow(RangeError)
  expect(jobs(4096, 0, 0)).toBe(1)
  const cut = (at: number, len: number, to = out): number =>
    io.segment(arena, at, len, 100, 1500, to, 2048, 0, new Uint32Array(2))
  expect(() => cut(4097, 0)).toThrow(RangeError)
  expect(() => cut(4000, 97)).toThrow(RangeError)
  expect(() => cut(0, 50, arena)).toThrow(RangeError)
  expect(cut(0, 50)).toBe(-2)
})
