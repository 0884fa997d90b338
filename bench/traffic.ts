import { readFileSync } from 'node:fs'
import { PLACE } from '#lab/scenes/v4-host-to-v6-server.ts'
import type { Place } from './place.ts'
import type { Row } from './report.ts'
import { median, stats } from './stats.ts'

export type TrafficPlan = { readonly runs: number; readonly seconds: number }
type Way = 'through' | 'plain'
type Direction = 'to host' | 'to server'
type Run = { readonly mbits: number; readonly retransmits: number; readonly cpu: Readonly<Record<Box, number>> }
type Box = 'bridge' | 'tt'

/**
 * TCP and ping through bridge and TT, in turn with the same host's plain way: kernel bridge, router and NAT on the same
 * cables. The plain way is IPv4 to an IPv4 server; the other one ends at an IPv6 server, over the TT's own cables.
 */
export async function measureTraffic(
  p: Place,
  plan: TrafficPlan,
): Promise<{ rows: Row[]; ratios: Record<string, number> }> {
  const [asked] = await p.ask('host', [PLACE.web6.name])
  const targets: Readonly<Record<Way, string>> = { through: asked?.address ?? '', plain: PLACE.web4.ip4 }
  const rows: Row[] = []
  const ratios: Record<string, number> = {}

  for (const direction of ['to host', 'to server'] as const) {
    const runs = await inTurn(p, targets, plan, direction, null)
    for (const way of WAYS)
      rows.push(
        row(
          `TCP ${direction}, ${way}`,
          'Mbit/s',
          runs[way].map((r) => r.mbits),
        ),
      )
    for (const way of WAYS)
      rows.push(
        row(
          `TCP ${direction}, ${way}: retransmits`,
          'packets',
          runs[way].map((r) => r.retransmits),
        ),
      )
    for (const box of ['bridge', 'tt'] as const) {
      rows.push(
        row(
          `TCP ${direction}: CPU of ${box} per inner packet`,
          'µs',
          runs.through.map((r) => r.cpu[box]),
        ),
      )
    }
    ratios[`tcp1_${direction.replace(' ', '_')}_over_plain`] =
      median(runs.through.map((r) => r.mbits)) / median(runs.plain.map((r) => r.mbits))
  }
  const paced = await inTurn(p, targets, plan, 'to host', '200M')
  for (const way of WAYS) {
    rows.push(
      row(
        `TCP to host at 200 Mbit/s, ${way}`,
        'Mbit/s',
        paced[way].map((r) => r.mbits),
      ),
    )
    rows.push(
      row(
        `TCP to host at 200 Mbit/s, ${way}: retransmits`,
        'packets',
        paced[way].map((r) => r.retransmits),
      ),
    )
  }

  const pings: Record<Way, number[]> = { through: [], plain: [] }
  for (let i = 0; i < plan.runs; i++)
    for (const way of WAYS) pings[way].push(...(await p.ping('host', targets[way], 40)))
  for (const way of WAYS) rows.push(row(`ping, ${way}`, 'ms', pings[way]))
  rows.push(
    row(
      'ping, added by bridge and TT',
      'ms',
      pings.through.map((ms) => ms - median(pings.plain)),
    ),
  )
  return { rows, ratios }
}

/** Every run through the product is followed by one beside it. */
async function inTurn(
  p: Place,
  targets: Readonly<Record<Way, string>>,
  plan: TrafficPlan,
  direction: Direction,
  pace: string | null,
): Promise<Record<Way, Run[]>> {
  const runs: Record<Way, Run[]> = { through: [], plain: [] }
  for (let i = 0; i < plan.runs; i++) {
    for (const way of WAYS) runs[way].push(await iperfRun(p, targets[way], plan.seconds, direction, pace))
  }
  return runs
}

/** One TCP stream for `seconds`; `pace` as iperf3 -b takes it. */
export async function iperfRun(
  p: Place,
  address: string,
  seconds: number,
  direction: Direction,
  pace: string | null,
): Promise<Run> {
  const args = ['-c', address, '-t', `${seconds}`, '-J']
  if (direction === 'to host') args.push('-R')
  if (pace !== null) args.push('-b', pace)
  const before = { bridge: cpuTicks(p, 'bridge'), tt: cpuTicks(p, 'tt'), packets: await innerPackets(p) }
  const text = await p.scene.lab.must('host', 'iperf3', args, { limitMs: (seconds + 20) * 1000 })
  const packets = (await innerPackets(p)) - before.packets
  const { end } = JSON.parse(text) as {
    end: { sum_sent: { retransmits: number }; sum_received: { bits_per_second: number } }
  }
  const cost = (box: Box): number => ((cpuTicks(p, box) - before[box]) * MICROS_PER_TICK) / Math.max(1, packets)
  return {
    mbits: end.sum_received.bits_per_second / 1e6,
    retransmits: end.sum_sent.retransmits,
    cpu: { bridge: cost('bridge'), tt: cost('tt') },
  }
}

/** User and system time of a program so far, in clock ticks (proc_pid_stat(5), fields 14 and 15). */
function cpuTicks(p: Place, box: Box): number {
  const fields = readFileSync(`/proc/${p.running(box).pid}/stat`, 'utf8')
    .replace(/^.*\) /s, '')
    .split(' ')
  return Number(fields[11]) + Number(fields[12])
}

/** Packets that crossed the TT's edge so far, both directions: each was sealed or opened once in either box. */
async function innerPackets(p: Place): Promise<number> {
  const [tun] = JSON.parse(await p.scene.lab.must('tt', 'ip', ['-j', '-s', 'link', 'show', 'dev', 'ntm0'])) as {
    stats64: { rx: { packets: number }; tx: { packets: number } }
  }[]
  return (tun?.stats64.rx.packets ?? 0) + (tun?.stats64.tx.packets ?? 0)
}

const row = (name: string, unit: Row['unit'], values: readonly number[]): Row => ({
  name,
  lab: 'plain',
  unit,
  stats: stats(values),
})

const WAYS = ['through', 'plain'] as const
/** USER_HZ is 100 on every Linux that Node runs on. */
const MICROS_PER_TICK = 10_000
