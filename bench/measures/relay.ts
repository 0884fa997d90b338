import { join } from 'node:path'
import { LabError } from '#lab/ip.ts'
import { ROOT } from '#lab/netns.ts'
import type { Missing } from '../peers/fetch.ts'
import { coturn, ntmRelay, RELAY_PLACE, type RelayArena, type RelayPeer } from '../peers/relays.ts'
import { type Row, row } from '../row.ts'
import { type Found, highestRate, type Trial } from './search.ts'

/** What is relayed: datagrams of so many bytes in all, for both; `run` of them leave the sender in one piece, as our ends send. */
export const RELAYED = [
  { bytes: 1400, run: 32, what: 'relayed 1400 B, at most 1 % lost' },
  { bytes: 128, run: 32, what: 'relayed 128 B, at most 1 % lost' },
  { bytes: 128, run: 1, what: 'relayed 128 B sent one by one, at most 1 % lost' },
] as const

/** One relay beside the other, from one end to the other, in labs of their own. */
export async function measureRelay(plan: {
  readonly rounds: number
  readonly udpMillis: number
  readonly say: (text: string) => void
}): Promise<{ readonly rows: Row[]; readonly peers: Readonly<Record<string, string>> }> {
  const arenas: RelayArena[] = []
  const peers: Record<string, string> = {}
  try {
    for (const found of [ntmRelay(), coturn(false), coturn(true)]) {
      const built = await buildOne(found)
      const name = 'absent' in found ? 'coturn' : found.name
      if ('absent' in built) peers[name] = `absent: ${built.absent}`
      else arenas.push(built)
      if (name !== 'ntm' && !('absent' in built) && !('absent' in found)) peers[name] = found.version
      plan.say(`${name}: ${peers[name] ?? 'there'}`)
    }
    const rows: Row[] = []
    for (const one of RELAYED) {
      plan.say(one.what)
      const found = new Map<string, Found[]>(arenas.map(({ name }) => [name, []]))
      for (let round = 0; round < plan.rounds; round++)
        for (const arena of arenas) {
          await arena.refresh()
          const before = found.get(arena.name)?.at(-1)?.rate ?? 0
          const near = before === 0 ? { start: 50_000, grow: 1.6, precision: 0.06 } : { start: before * 0.96, grow: 1.1, precision: 0.11 } // biome-ignore format: one line
          const best = await highestRate({ ...near, mostLoss: 0.01 }, (rate, confirm) =>
            trial(arena, one.bytes, one.run, rate, confirm ? plan.udpMillis * 2 : plan.udpMillis),
          )
          found.get(arena.name)?.push(best)
        }
      for (const [peer, all] of found) {
        const rates = all.map((f) => f.rate / 1000)
        const capped = all.filter((f) => f.capped).length * 2 > all.length
        rows.push(row('relay', one.what, peer, 'kpps', rates, capped ? 'the generator sent no more' : undefined))
      }
    }
    return { rows, peers }
  } finally {
    for (const arena of arenas) arena.dispose()
  }
}

async function buildOne(found: RelayPeer | Missing): Promise<RelayArena | Missing> {
  if ('absent' in found) return found
  try {
    return await found.build()
  } catch (fault) {
    if (found.name === 'ntm') throw fault
    // Another product that does not start is no reason not to measure ours.
    return { absent: `did not come up: ${fault instanceof Error ? fault.message.split('\n')[0] : String(fault)}` }
  }
}

async function trial(arena: RelayArena, bytes: number, run: number, rate: number, millis: number): Promise<Trial> {
  const { from, fromPort, to, toPort, relay } = RELAY_PLACE
  // Our header is part of what the ends have sealed, TURN's comes on top of it.
  const head = arena.head(bytes)
  const payload = arena.name === 'ntm' ? bytes - head.length / 2 : bytes
  const places = [from, `${fromPort}`, to, `${toPort}`, relay, `${arena.port}`]
  const offer = [`${payload}`, `${Math.round(rate)}`, `${millis}`, `${run}`]
  const text = await arena.lab.must('ends', RELAYLOAD, [...places, head, ...offer])
  const done = JSON.parse(text) as Trial
  if (done.sent > 0 && done.received === 0) throw new LabError(`${arena.name} forwards nothing`)
  return done
}

const RELAYLOAD = join(ROOT, '.run/bench/relayload')
