import { pause } from '#lab/process.ts'
import type { Arena } from '../peers/peer.ts'
import { UDPLOAD, UDPLOAD_PORT } from '../peers/rooms.ts'
import { type Row, row } from '../row.ts'
import { percentile } from '../stats.ts'
import { tcpRun } from './tcp.ts'
import { type Circuit, inTurn } from './turns.ts'

export type LatencyPlan = { readonly count: number; readonly loadSeconds: number }

/** Round trips of a 64 B datagram, idle and beside one bulk TCP stream to the server: p50 and p99 of each round. */
export async function measureLatency(circuit: Circuit, plan: LatencyPlan): Promise<Row[]> {
  const idle = await inTurn(circuit, 'round trips, idle', (arena) => roundTrips(arena, plan.count, IDLE_GAP_MICROS))
  const loaded = await inTurn(circuit, 'round trips beside bulk TCP', async (arena) => {
    const pings = async (): ReturnType<typeof roundTrips> => {
      await pause(SETTLE_MS)
      const count = Math.floor(((plan.loadSeconds - 1) * 1e6) / LOADED_GAP_MICROS)
      return roundTrips(arena, count, LOADED_GAP_MICROS)
    }
    const load = tcpRun(arena, { seconds: plan.loadSeconds, streams: 1, direction: 'to server' })
    const [seen] = await Promise.all([pings(), load])
    return seen
  })
  const rows: Row[] = []
  for (const [when, runs] of [
    ['idle', idle],
    ['beside bulk TCP', loaded],
  ] as const) {
    for (const [name, share] of [
      ['p50', 0.5],
      ['p99', 0.99],
    ] as const) {
      for (const [peer, all] of runs) {
        const lost = all.reduce((sum, r) => sum + r.lost, 0)
        const values = all.map((r) => percentile(r.micros, share))
        rows.push(
          row('latency', `round trip ${when}, ${name}`, peer, 'µs', values, lost > 0 ? `${lost} lost` : undefined),
        )
      }
    }
  }
  return rows
}

/** Microseconds of `count` echoes of 64 B, one every `gapMicros`. */
export async function roundTrips(
  arena: Arena,
  count: number,
  gapMicros: number,
): Promise<{ readonly micros: readonly number[]; readonly lost: number }> {
  const args = ['ping', arena.target, `${UDPLOAD_PORT}`, '64', `${count}`, `${gapMicros}`]
  const all = JSON.parse(await arena.lab.must('host', UDPLOAD, args)) as (number | null)[]
  const micros = all.filter((one) => one !== null)
  return { micros, lost: all.length - micros.length }
}

const IDLE_GAP_MICROS = 5000
const LOADED_GAP_MICROS = 5000
const SETTLE_MS = 400
