import { packetIo } from '#io/native.ts'
import type { UdpPort } from '#native/packet-io/index.d.ts'
import { HEADROOM, SUPER_SLOT_BYTES, shared } from '#ntm-lib/ports/packet-port.ts'
import { packet } from '#test/netns/seal/packets.ts'

/*
 * What one call of the addon costs with one packet or none, plain and bound, in nanoseconds: `scripts/run-node bench/calls.ts` (as root). The
 * best of many rounds: whatever else the machine does only adds.
 */
const CALLS = 2000
const ROUNDS = 40
const SLOTS = 16
const LOOPBACK = Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 127, 0, 0, 1)

const io = packetIo()
const keys = io.newKeys(1, 1)
io.setSeal(keys, 0, 1, new Uint8Array(16), new Uint8Array(12), 2 ** 40, 2 ** 50)
io.setOpen(keys, 0, 1, new Uint8Array(16), new Uint8Array(12), 8192)

const arena = shared(Uint8Array, SLOTS * SUPER_SLOT_BYTES)
const out = shared(Uint8Array, SLOTS * SUPER_SLOT_BYTES)
const [lens, segs, ports] = [shared(Uint32Array, SLOTS), shared(Uint16Array, SLOTS), shared(Uint16Array, SLOTS)]
const [addrs, locals, headers] = [
  shared(Uint8Array, 16 * SLOTS),
  shared(Uint8Array, 16 * SLOTS),
  shared(Uint8Array, 64),
]
const [jobs, runs, meta] = [shared(Int32Array, 1024), shared(Int32Array, 1024), shared(Int32Array, 1024)]
const [status, done] = [shared(Int8Array, 1024), shared(Int32Array, 4)]

const joined = io.openUdp(LOOPBACK, 0, 4, 0, false, 0, '', true)
const frames = io.openPacket('lo', true, true, true, false, Uint32Array.of(6, 0, 0, 0), 0, 0, false)
if (typeof joined === 'number' || typeof frames === 'number') throw new Error('cannot open ports: run as root')
const udp: UdpPort = joined

const inner = packet({
  ...{ four: true, tcp: true, extra: 0, options: 12, flags: 0x10, seq: 1 },
  ...{ id: 1, df: true, tos: 0, seed: 1, flow: 0, data: 12 },
})
const AT = HEADROOM
// Sealed again and again: to the engine a packet without gso is bytes.
arena.set(inner, AT)
jobs.set([0, 0, AT, inner.length, 0, 0x10, 1500, 0])
// One sealed datagram with counter 0: to be opened it must be new, so that what is timed is a replay refused.
io.seal(keys, jobs, 0, 1, headers, arena, out, runs, status, done)
const sealed = shared(Uint8Array, 256)
sealed.set(out.subarray(0, runs[2] ?? 0))
const opens = shared(Int32Array, 4)
opens.set([0, 0, runs[2] ?? 0, 1])
addrs.set(LOOPBACK)
ports[0] = 9

const slot = SUPER_SLOT_BYTES
const bound = {
  recvSuper: io.bindRecvSuper(frames, arena, slot, AT, lens, segs),
  sendSuper: io.bindSendSuper(frames, arena, jobs),
  recvRuns: io.bindRecvRuns(udp, arena, slot, lens, segs, addrs, ports, locals),
  sendRuns: io.bindSendRuns(udp, arena, runs, addrs, ports, null),
  seal: io.bindSeal(keys, jobs, headers, arena, out, runs, status, done),
  open: io.bindOpen(keys, opens, sealed, out, slot, AT, lens, segs, meta, true, 65_000, status, done),
}
const timed: readonly (readonly [name: string, plain: () => unknown, bound: () => unknown])[] = [
  ['recvSuper, nothing there', () => io.recvSuper(frames, arena, slot, AT, lens, segs), () => bound.recvSuper()],
  ['sendSuper, none', () => io.sendSuper(frames, arena, jobs, 0), () => bound.sendSuper(0)],
  [
    'recvRuns, nothing there',
    () => io.recvRuns(udp, arena, slot, lens, segs, addrs, ports, locals),
    () => bound.recvRuns(),
  ],
  ['sendRuns, none', () => io.sendRuns(udp, arena, runs, 0, addrs, ports, null), () => bound.sendRuns(0)],
  ['seal, 64 B', () => io.seal(keys, jobs, 0, 1, headers, arena, out, runs, status, done), () => bound.seal(0, 1)],
  [
    'open, a replay',
    () => io.open(keys, opens, 0, 1, sealed, out, slot, AT, lens, segs, meta, true, 65_000, status, done),
    () => bound.open(0, 1),
  ],
]
for (const [name, ...both] of timed) {
  const [plain = 0, kept = 0] = both.map((call) => {
    let best = Number.POSITIVE_INFINITY
    for (let round = 0; round < ROUNDS; round++) {
      const from = process.hrtime.bigint()
      for (let i = 0; i < CALLS; i++) call()
      best = Math.min(best, Number(process.hrtime.bigint() - from) / CALLS)
    }
    return Math.round(best)
  })
  process.stdout.write(`${name.padEnd(26)} ${plain} plain, ${kept} bound\n`)
}
for (const port of [udp, frames]) io.close(port)
