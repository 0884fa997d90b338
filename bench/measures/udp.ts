import type { Arena } from '../peers/peer.ts'
import { UDPLOAD, UDPLOAD_PORT } from '../peers/rooms.ts'
import { type Row, row } from '../row.ts'
import { since, spent } from './cpu.ts'
import { type Found, highestRate, type Trial } from './search.ts'
import { cpuRows, type Direction } from './tcp.ts'
import { type Circuit, inTurn } from './turns.ts'

/** Highest rate at 1 % loss or less, for datagrams of `bytes` of payload. */
export async function measureUdp(
  circuit: Circuit,
  bytes: number,
  millis: number,
  direction: Direction = 'to server',
): Promise<Row[]> {
  const what = `UDP ${bytes} B ${direction}, at most 1 % lost`
  const guess = new Map<string, number>()
  const runs = await inTurn(circuit, what, async (arena) => {
    const last = guess.get(arena.name)
    // A later round begins near what the last one found, and may still end anywhere; five coarser rounds make a finer median.
    const near =
      last === undefined || last === 0
        ? { start: FIRST_RATE, grow: 1.6, precision: 0.06 }
        : { start: last * 0.96, grow: 1.1, precision: 0.11 }
    let confirming = spent(arena)
    let cpu = since(confirming, confirming)
    let packets = 0
    const found = await highestRate({ ...near, mostLoss: 0.01 }, async (rate, confirm) => {
      if (confirm) confirming = spent(arena)
      const t = await udpRun(arena, { bytes, rate, millis: confirm ? millis * 2 : millis, direction })
      if (confirm) cpu = since(confirming, spent(arena))
      packets = t.received
      return t
    })
    guess.set(arena.name, found.rate)
    return { found, cpu, packets }
  })
  return [...runs].flatMap(([peer, all]) => [
    row(
      'udp',
      what,
      peer,
      'kpps',
      all.map((r) => r.found.rate / 1000),
      noteOf(all.map((r) => r.found)),
    ),
    ...(bytes === 128 || bytes === 1400
      ? cpuRows(`UDP ${bytes} B ${direction} at that rate, per packet`, peer, all)
      : []),
  ])
}

export type UdpPlan = {
  readonly bytes: number
  readonly rate: number
  readonly millis: number
  readonly direction: Direction
}

/** Offers `rate` datagrams a second for `millis`. */
export async function udpRun(arena: Arena, { bytes, rate, millis, direction }: UdpPlan): Promise<Trial> {
  const args = [
    direction === 'to server' ? 'up' : 'down',
    arena.target,
    `${UDPLOAD_PORT}`,
    `${bytes}`,
    `${Math.round(rate)}`,
    `${millis}`,
  ]
  return JSON.parse(await arena.lab.must('host', UDPLOAD, args)) as Trial
}

const noteOf = (all: readonly Found[]): string | undefined =>
  all.filter((found) => found.capped).length * 2 > all.length ? 'the generator sent no more' : undefined

const FIRST_RATE = 15_000
