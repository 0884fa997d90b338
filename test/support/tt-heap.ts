// Prints how many bytes of heap a packet of a known flow costs the terminator's packet loop, per direction, for one pair of families:
//   tt-heap.ts INSIDE OUTSIDE     (4 or 6)
// 250,000 packets, after twice as many. A program of its own: what a test runner wraps around modules is not the packet path's.

import { tcp } from '#ntm-lib/packet/build.ts'
import { TCP } from '#ntm-lib/packet/protocol.ts'
import { packet } from './traffic-bench.ts'
import { TtWireWorld } from './tt-wire-world.ts'

const ROUNDS = 5
const PACKETS = 25_000
const REAL = { 4: '192.0.2.80', 6: '2001:db8:6::80' } as const
const { host, virtual, row } = TtWireWorld
const payload = new Uint8Array(1200)

const [inside, outside] = process.argv.slice(2).map((f) => (f === '4' ? 4 : 6))
if (inside === undefined || outside === undefined) throw new Error('tt-heap.ts INSIDE OUTSIDE')
const w = new TtWireWorld(REAL[outside])
const there = packet({ from: host[inside], to: virtual[inside] }, TCP, tcp(5000, 80, 0x10, payload), {
  dontFragment: true,
})
const answer = packet({ from: REAL[outside], to: host[outside] }, TCP, tcp(80, 5000, 0x10, payload), {
  dontFragment: true,
})
if (w.fromTunnel(there).length !== 1 || w.fromEdge(answer).length !== 1) throw new Error('does not cross')
w.forgets = true
w.edge.again = 32
// As a clock gives it: a number that is an object already.
const { now } = w
const out = bytesPerPacket(() => {
  for (let i = 0; i < 4; i++) w.fill(w.inner, i, there, i % 2 === 0 ? 0 : 1000)
  for (let i = 0; i < 4; i++) w.wire.fromTunnel(row, w.customer, w.inner, i, now)
  w.wire.afterOpen(now)
  return 4
})
const back = bytesPerPacket(() => w.edge.fillAgain(answer))
process.stdout.write(JSON.stringify({ out, back }))

/** `turn` moves some packets and says how many. */
function bytesPerPacket(turn: () => number): number {
  const run = (): number => {
    let n = 0
    while (n < PACKETS) n += turn()
    return n
  }
  // Optimised code only: what the interpreter makes on the way there is not the packet path's.
  for (let i = 0; i < 12; i++) run()
  const rounds: number[] = []
  for (let round = 0; round < ROUNDS; round++) {
    globalThis.gc?.()
    const before = process.memoryUsage().heapUsed
    const n = run()
    rounds.push((process.memoryUsage().heapUsed - before) / n)
  }
  // A compilation makes it large: the middle one tells.
  return rounds.sort((a, b) => a - b)[ROUNDS >> 1] ?? Number.NaN
}
