import type { Arena } from '../peers/peer.ts'
import { type Row, row } from '../row.ts'
import { type Spent, since, spent } from './cpu.ts'
import { type Circuit, inTurn } from './turns.ts'

export type Direction = 'to server' | 'to host'
export type TcpPlan = { readonly seconds: number; readonly streams: number; readonly direction: Direction }
export type TcpRun = {
  readonly mbits: number
  readonly retransmits: number
  /** Payload bytes of a full segment on this connection. */
  readonly mss: number
  readonly payloadBytes: number
  readonly cpu: Spent
}

/** One iperf3 run from the host's side. */
export async function tcpRun(arena: Arena, plan: TcpPlan): Promise<TcpRun> {
  const args = ['-c', arena.target, '-t', `${plan.seconds}`, '-P', `${plan.streams}`, '-J']
  if (plan.direction === 'to host') args.push('-R')
  const before = spent(arena)
  const text = await arena.lab.must('host', 'iperf3', args, { limitMs: (plan.seconds + 30) * 1000 })
  const cpu = since(before, spent(arena))
  const { start, end } = JSON.parse(text) as {
    start: { tcp_mss_default: number }
    end: { sum_sent: { retransmits?: number }; sum_received: { bits_per_second: number; bytes: number } }
  }
  return {
    mbits: end.sum_received.bits_per_second / 1e6,
    retransmits: end.sum_sent.retransmits ?? 0,
    mss: start.tcp_mss_default,
    payloadBytes: end.sum_received.bytes,
    cpu,
  }
}

/** Bulk TCP both ways: throughput, retransmits, and what 1,400 bytes of payload cost each box and the whole machine. */
export async function measureTcp(
  circuit: Circuit,
  { streams, seconds, offloads }: { readonly streams: number; readonly seconds: number; readonly offloads: boolean },
): Promise<Row[]> {
  for (const arena of circuit.arenas) await hostOffloads(arena, offloads)
  const rows: Row[] = []
  try {
    for (const direction of ['to server', 'to host'] as const) {
      const what = `TCP ${streams} ${streams === 1 ? 'stream' : 'streams'} ${direction}${offloads ? '' : ', no offloads at the host'}`
      const runs = await inTurn(circuit, what, (arena) => tcpRun(arena, { seconds, streams, direction }))
      for (const [peer, all] of runs) {
        rows.push(
          row(
            'tcp',
            what,
            peer,
            'Mbit/s',
            all.map((r) => r.mbits),
          ),
        )
        if (!offloads) continue
        rows.push(
          row(
            'tcp',
            `${what}: retransmits`,
            peer,
            'packets',
            all.map((r) => r.retransmits),
          ),
        )
        if (streams === 1)
          rows.push(
            ...cpuRows(
              `${what}, per 1400 B`,
              peer,
              all.map(({ cpu, payloadBytes }) => ({ cpu, packets: payloadBytes / 1400 })),
            ),
          )
      }
    }
  } finally {
    if (!offloads) for (const arena of circuit.arenas) await hostOffloads(arena, true)
  }
  return rows
}

/** Processor time per packet: a row for each box's program, and one for the whole machine (load generator included). */
export function cpuRows(
  what: string,
  peer: string,
  runs: readonly { readonly cpu: Spent; readonly packets: number }[],
): Row[] {
  const boxes = Object.keys(runs[0]?.cpu.boxes ?? {})
  const micros = (of: (cpu: Spent) => number): number[] =>
    runs.filter((r) => r.packets > 0).map((r) => of(r.cpu) / r.packets)
  return [
    ...boxes.map((box) =>
      row(
        'cpu',
        `${what}: program in ${box}`,
        peer,
        'µs',
        micros((cpu) => cpu.boxes[box] ?? Number.NaN),
      ),
    ),
    row(
      'cpu',
      `${what}: whole machine`,
      peer,
      'µs',
      micros((cpu) => cpu.machine),
    ),
  ]
}

/** Switches what the host's own card does for it: checksums, segmentation, joining. */
export async function hostOffloads(arena: Arena, on: boolean): Promise<void> {
  const word = on ? 'on' : 'off'
  // A veth has GRO off unless told; it is switched off only to be sure.
  const gro = on ? [] : ['gro', 'off']
  await arena.lab.must('host', 'ethtool', ['-K', 'eth0', 'tx', word, 'tso', word, 'gso', word, ...gro])
}
