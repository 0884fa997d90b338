import { nativeEngine } from '#io/engine-native.ts'
import type { PacketEngine } from '#ntm-lib/plane/engine.ts'
import { idleEngine, KINDS, type Kind, Receiver, Sender } from '#test/support/plane-load.ts'

/**
 * What a packet costs in the tunnel plane, in nanoseconds per packet (per datagram for what is cut): `scripts/run-node bench/plane.ts`.
 * "js" is the same with an engine that does nothing. The
 * best of several repeats: whatever else the machine does only adds.
 */
type Row = {
  readonly name: string
  readonly put: number
  readonly flush: number
  readonly take: number
  readonly each: number
}

const REPEATS = 7

function measure(kind: Kind, engineOf: () => PacketEngine, rounds: number, idle: boolean): Row {
  const count = kind.gso === 0 ? 512 : 7
  const datagrams = kind.gso === 0 ? 1 : Math.ceil(kind.payload / kind.gso)
  const sender = new Sender(engineOf(), kind, count)
  const sealer = new Sender(nativeEngine(), kind, count)
  sealer.keep = true
  const receiver = new Receiver(engineOf(), kind.rows)
  const times: { put: number[]; flush: number[]; take: number[] } = { put: [], flush: [], take: [] }
  for (let repeat = -2; repeat < REPEATS; repeat++) {
    const spent = { put: 0n, flush: 0n, take: 0n }
    for (let i = 0; i < rounds; i++) {
      sender.refresh()
      sealer.refresh()
      sealer.put()
      sealer.flush()
      if (idle) sealer.unseal()
      const t0 = process.hrtime.bigint()
      sender.put()
      const t1 = process.hrtime.bigint()
      sender.flush()
      const t2 = process.hrtime.bigint()
      receiver.take(sealer.wire)
      const t3 = process.hrtime.bigint()
      spent.put += t1 - t0
      spent.flush += t2 - t1
      spent.take += t3 - t2
    }
    if (repeat < 0) continue
    for (const part of ['put', 'flush', 'take'] as const) times[part].push(Number(spent[part]) / (rounds * count))
  }
  const best = (a: number[]): number => Math.min(...a)
  return {
    name: kind.name,
    put: best(times.put),
    flush: best(times.flush),
    take: best(times.take),
    each: datagrams,
  }
}

const text = (ns: number): string => ns.toFixed(0).padStart(8)

console.log('ns per packet                     engine        put    flush     take   flush/dgram take/dgram')
for (const kind of KINDS) {
  const segments = kind.gso === 0 ? 1 : Math.ceil(kind.payload / kind.gso)
  const heads = (kind.from.includes(':') ? 40 : 20) + (kind.protocol === 'udp' ? 8 : 20)
  const inner = (kind.gso || kind.payload) + heads
  const engines: readonly (readonly [string, () => PacketEngine])[] = [
    ['js', () => idleEngine(segments, inner)],
    ['native', () => nativeEngine()],
    ['not joining', () => nativeEngine({ join: false })],
  ]
  for (const [engine, engineOf] of engines) {
    const r = measure(kind, engineOf, kind.gso === 0 ? 40 : 80, engine === 'js')
    const row = [r.put, r.flush, r.take, r.flush / r.each, r.take / r.each].map(text).join(' ')
    console.log(`${kind.name.padEnd(32)}  ${engine.padEnd(11)} ${row}`)
  }
}
