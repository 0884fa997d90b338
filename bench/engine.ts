import { packetIo } from '#io/native.ts'
import { SUPER_SLOT_BYTES } from '#ntm-lib/ports/packet-port.ts'
import { packet } from '#test/netns/seal/packets.ts'

/**
 * What a segment costs in the addon, in nanoseconds: `scripts/run-node bench/engine.ts`. Whole calls are timed, memory stays in the cache; the
 * best of many repeats: whatever else the machine does only adds.
 */
type Load = {
  readonly name: string
  readonly flows: number
  readonly data: number
  readonly gso: number
  /** Datagrams of the flows arrive in turn. */
  readonly mixed: boolean
}

const LOADS: readonly Load[] = [
  { name: '8 x 45 x 1400 B TCP', flows: 8, data: 45 * 1400, gso: 1400, mixed: false },
  { name: 'the same, interleaved', flows: 8, data: 45 * 1400, gso: 1400, mixed: true },
  { name: '64 x 64 B TCP, plain', flows: 64, data: 12, gso: 0, mixed: false },
]
const SUITES = ['ChaCha20-Poly1305', 'AES-128-GCM', 'AES-256-GCM'] as const
const REPEATS = 300

const io = packetIo()
const keys = io.newKeys(1, 1)
const nonce = new Uint8Array(12).fill(9)
const base = { four: true, tcp: true, extra: 0, options: 12, flags: 0x10, seq: 1, id: 1, df: true, tos: 0, seed: 1 }

function measure(
  load: Load,
  suite: 0 | 1 | 2,
): { readonly seal: number; readonly open: number; readonly slots: number } {
  const packets = Array.from({ length: load.flows }, (_, flow) => packet({ ...base, flow, data: load.data }))
  const arena = new Uint8Array(SUPER_SLOT_BYTES * load.flows)
  const jobs = new Int32Array(8 * load.flows)
  const [out, runs, done] = [new Uint8Array(load.flows * 70_000), new Int32Array(4 * 64), new Int32Array(4)]
  const slots = new Uint8Array(SUPER_SLOT_BYTES * 64)
  const [lens, gso, meta, status] = [new Uint32Array(64), new Uint16Array(64), new Int32Array(192), new Int8Array(2048)]
  const best = { seal: Number.POSITIVE_INFINITY, open: Number.POSITIVE_INFINITY, slots: 0 }
  const key = new Uint8Array(suite === 1 ? 16 : 32).fill(3)
  io.setSeal(keys, 0, suite, key, nonce, 2 ** 40, 2 ** 50)
  io.setOpen(keys, 0, suite, key, nonce, 8192)
  for (let repeat = 0; repeat < REPEATS; repeat++) {
    for (const [i, p] of packets.entries()) {
      arena.set(p, i * SUPER_SLOT_BYTES + 64)
      jobs.set([0, 0, i * SUPER_SLOT_BYTES + 64, p.length, load.gso, 0x10, 1500, 0], 8 * i)
    }
    const t0 = process.hrtime.bigint()
    io.seal(keys, jobs, 0, load.flows, new Uint8Array(16), arena, out, runs, status, done)
    const t1 = process.hrtime.bigint()
    const count = done[3] ?? 0
    const opens = openJobs(count, runs[3] ?? 0, load)
    const t2 = process.hrtime.bigint()
    io.open(keys, opens, 0, count, out, slots, SUPER_SLOT_BYTES, 64, lens, gso, meta, true, 65_000, status, done)
    const t3 = process.hrtime.bigint()
    best.seal = Math.min(best.seal, Number(t1 - t0) / count)
    best.open = Math.min(best.open, Number(t3 - t2) / count)
    best.slots = done[1] ?? 0
    if (status.some((s) => s !== 0)) throw new Error('a job was refused')
  }
  return best
}

function openJobs(count: number, each: number, load: Load): Int32Array {
  const per = count / load.flows
  return Int32Array.from(
    Array.from({ length: count }, (_, i) => {
      const n = load.mixed ? (i % load.flows) * per + Math.floor(i / load.flows) : i
      return [0, n * each, each, 1]
    }).flat(),
  )
}

for (const load of LOADS)
  for (const suite of [1, 2, 0] as const) {
    const { seal, open, slots } = measure(load, suite)
    const figures = `seal ${seal.toFixed(0)}, open and join ${open.toFixed(0)} ns per segment, ${slots} slots`
    process.stdout.write(`${load.name.padEnd(24)}${SUITES[suite].padEnd(19)}${figures}\n`)
  }
