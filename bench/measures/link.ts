import type { Arena } from '../peers/peer.ts'
import { type Row, row } from '../row.ts'
import { payloadShare } from './headers.ts'
import { type Direction, tcpRun } from './tcp.ts'
import { type Circuit, inTurn } from './turns.ts'

/** One TCP stream over a cable of `mbits` between the boxes: share of the payload rate that the header bytes allow. */
export async function measureLink(circuit: Circuit, mbits: number, seconds: number): Promise<Row[]> {
  const rows: Row[] = []
  for (const arena of circuit.arenas) await shape(arena, mbits)
  try {
    for (const direction of ['to server', 'to host'] as const) {
      const what = `TCP 1 stream ${direction}, link of ${mbits} Mbit/s`
      const runs = await inTurn(circuit, what, (arena) => shareOf(arena, mbits, seconds, direction))
      for (const [peer, all] of runs) {
        rows.push(
          row(
            'link',
            what,
            peer,
            'Mbit/s',
            all.map((r) => r.mbits),
          ),
        )
        const possible =
          all[0] === undefined ? '' : `possible ${(mbits * all[0].possible).toFixed(0)}, segments of ${all[0].mss} B`
        rows.push(
          row(
            'link',
            `${what}: of the possible`,
            peer,
            'ratio',
            all.map((r) => r.share),
            possible,
          ),
        )
      }
    }
  } finally {
    for (const arena of circuit.arenas) await shape(arena, null)
  }
  return rows
}

async function shareOf(
  arena: Arena,
  mbits: number,
  seconds: number,
  direction: Direction,
): Promise<{ mbits: number; share: number; possible: number; mss: number }> {
  const run = await tcpRun(arena, { seconds, streams: 1, direction })
  const possible = payloadShare(arena.frameBytes)
  return { mbits: run.mbits, share: run.mbits / (mbits * possible), possible, mss: run.mss }
}

/**
 * Gives both ends of the cable between the boxes a rate, or none again. The kernel counts a super-packet with the headers of each of
 * its frames, and cuts up what is larger than the bucket, so the rate is a card's; 20 ms of queue, so that few are lost.
 */
export async function shape(arena: Arena, mbits: number | null): Promise<void> {
  for (const [room, link] of arena.middle) {
    await arena.lab.run(room, 'tc', ['qdisc', 'del', 'dev', link, 'root'])
    if (mbits === null) continue
    const queueBytes = Math.round((mbits * 1e6 * QUEUE_SECONDS) / 8)
    const burst = Math.max(LEAST_BURST, Math.round((mbits * 1e6 * BURST_SECONDS) / 8))
    const args = ['qdisc', 'add', 'dev', link, 'root', 'tbf', 'rate', `${mbits}mbit`, 'burst', `${burst}`]
    await arena.lab.must(room, 'tc', [...args, 'limit', `${queueBytes}`])
  }
}

const QUEUE_SECONDS = 0.02
/** How late the bucket's timer may be, on a machine with other things to do, without the link standing still: a card has no such trouble. */
const BURST_SECONDS = 0.001
const LEAST_BURST = 3100
