import { processMicros } from './measures/cpu.ts'
import type { Place } from './place.ts'

type Direction = 'to host' | 'to server'
type Run = { readonly mbits: number; readonly retransmits: number; readonly cpu: Readonly<Record<Box, number>> }
type Box = 'bridge' | 'tt'

/** One TCP stream through the demo's network for `seconds`; `pace` as iperf3 -b takes it. */
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
  const before = { bridge: cpuMicros(p, 'bridge'), tt: cpuMicros(p, 'tt'), packets: await innerPackets(p) }
  const text = await p.scene.lab.must('host', 'iperf3', args, { limitMs: (seconds + 20) * 1000 })
  const packets = (await innerPackets(p)) - before.packets
  const { end } = JSON.parse(text) as {
    end: { sum_sent: { retransmits: number }; sum_received: { bits_per_second: number } }
  }
  const cost = (box: Box): number => (cpuMicros(p, box) - before[box]) / Math.max(1, packets)
  return {
    mbits: end.sum_received.bits_per_second / 1e6,
    retransmits: end.sum_sent.retransmits,
    cpu: { bridge: cost('bridge'), tt: cost('tt') },
  }
}

/** Packets that crossed the TT's edge so far, both directions: each was sealed or opened once in either box. */
async function innerPackets(p: Place): Promise<number> {
  const [tun] = JSON.parse(await p.scene.lab.must('tt', 'ip', ['-j', '-s', 'link', 'show', 'dev', 'ntm0'])) as {
    stats64: { rx: { packets: number }; tx: { packets: number } }
  }[]
  return (tun?.stats64.rx.packets ?? 0) + (tun?.stats64.tx.packets ?? 0)
}

const cpuMicros = (p: Place, box: Box): number => processMicros(p.running(box).pid)
