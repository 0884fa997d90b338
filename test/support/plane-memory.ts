import { nativeEngine } from '#io/engine-native.ts'
import { ip4FromWord } from '#ntm-lib/addr/ip4.ts'
import { type Ip6, mapped } from '#ntm-lib/addr/ip6.ts'
import { host } from '#ntm-lib/addr/prefix.ts'
import { CELLS } from '#ntm-lib/negotiate/mirror.ts'
import { TunnelPlane } from '#ntm-lib/plane/tunnel-plane.ts'
import { CounterMap } from '#ntm-lib/ports/counters.ts'
import { idleEngine, NOW } from './plane-load.ts'
import { LEFT_HOSTS, pathPair } from './plane-world.ts'

/**
 * Prints the bytes that so many tunnels take in a packet worker, as of a terminator: one set of addresses of its own, a pair of each peer's, two
 * epochs. `heap`: what the table costs JavaScript. `resident`: how the process grew, with the native keys.
 */
const ROWS = Number(process.argv[2])
const engine = process.argv[3] === 'native' ? nativeEngine() : idleEngine(1, 64)
const plane = new TunnelPlane({
  engine,
  lane: 1,
  cells: new Float64Array((ROWS + 1) * CELLS.words),
  counters: new CounterMap(),
  emit: () => {},
  send: () => {},
  onInner: () => {},
  afterOpen: () => {},
})
const used = (): number => {
  // The second finds what the first one's finalizers let go.
  globalThis.gc?.()
  globalThis.gc?.()
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}
const [before, resident] = [used(), process.memoryUsage().rss]
for (let row = 1; row <= ROWS; row++) {
  const four = ip4FromWord(0xc6120000 + row)
  const six = mapped(four).map((byte, i) => byte ^ (i === 0 ? 0xfd : 0)) as Ip6
  const epochs = [1, 2].map((epoch) => ({ epoch, serial: row * 2 + epoch }))
  const ids = [0, 1, 2, 3].map((n) => row * 0x5deece66d + n)
  const { right } = pathPair({ row, ids, id: ids[0] as number }, epochs)
  const path = { ...right, ownAllowed: LEFT_HOSTS, peerAllowed: [host(four), host(six)] }
  plane.apply({ mirror: 'path', path }, NOW)
}
const heap = used() - before
process.stdout.write(JSON.stringify({ rows: plane.rows.size, heap, resident: process.memoryUsage().rss - resident }))
