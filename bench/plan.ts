import { measureLatency } from './measures/latency.ts'
import { measureLink } from './measures/link.ts'
import { measureMemory } from './measures/memory.ts'
import { measureTcp } from './measures/tcp.ts'
import type { Circuit } from './measures/turns.ts'
import { measureUdp } from './measures/udp.ts'
import type { Row } from './row.ts'

/** What can be asked for by `--only`, in the order it is done. Memory first: nothing has passed yet. */
export const MEASURES = [
  'memory',
  'tcp1',
  'tcp8',
  'tcp1-bare',
  'tcp8-bare',
  'udp64',
  'udp128',
  'udp512',
  'udp1400',
  'latency',
  'link1g',
  'link100m',
  'translate',
  'relay',
  'names',
  'setup',
  'moves',
] as const
/** What is only done when asked for. */
export const ON_REQUEST = ['udp128-to-host'] as const
export type MeasureName = (typeof MEASURES)[number] | (typeof ON_REQUEST)[number]

/** Measured in the peers' arenas; the others have labs of their own. */
export type ComparedName = Exclude<MeasureName, (typeof ALONE)[number]>
export const ALONE = ['translate', 'relay', 'names', 'setup', 'moves'] as const

export type Plan = {
  readonly rounds: number
  readonly tcpSeconds: number
  readonly otherTcpSeconds: number
  readonly udpMillis: number
  readonly pings: number
  readonly loadSeconds: number
}

/** About 25 minutes with everybody. */
export const FULL: Plan = { rounds: 5, tcpSeconds: 2, otherTcpSeconds: 1, udpMillis: 300, pings: 200, loadSeconds: 2.5 }
/** For development: says which way, not how much. */
export const QUICK: Plan = { rounds: 2, tcpSeconds: 1, otherTcpSeconds: 1, udpMillis: 200, pings: 60, loadSeconds: 2 }

/** Does one measure in all arenas. `product` is the directory of the code that is measured. */
export function measure(name: ComparedName, c: Circuit & Plan, product: string): Promise<Row[]> {
  switch (name) {
    case 'tcp1':
      return measureTcp(c, { streams: 1, seconds: c.tcpSeconds, offloads: true })
    case 'tcp8':
      return measureTcp(c, { streams: 8, seconds: c.otherTcpSeconds, offloads: true })
    case 'tcp1-bare':
      return measureTcp(c, { streams: 1, seconds: c.otherTcpSeconds, offloads: false })
    case 'tcp8-bare':
      return measureTcp(c, { streams: 8, seconds: c.otherTcpSeconds, offloads: false })
    case 'udp64':
      return measureUdp(c, 64, c.udpMillis)
    case 'udp128':
      return measureUdp(c, 128, c.udpMillis)
    case 'udp128-to-host':
      return measureUdp(c, 128, c.udpMillis, 'to host')
    case 'udp512':
      return measureUdp(c, 512, c.udpMillis)
    case 'udp1400':
      return measureUdp(c, 1400, c.udpMillis)
    case 'latency':
      return measureLatency(c, { count: c.pings, loadSeconds: c.loadSeconds })
    case 'link1g':
      return measureLink(c, 1000, c.tcpSeconds)
    case 'link100m':
      return measureLink(c, 100, c.otherTcpSeconds)
    case 'memory':
      return measureMemory(c, product)
  }
}
