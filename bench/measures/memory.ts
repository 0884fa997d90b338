import { setTimeout as wait } from 'node:timers/promises'
import type { Arena } from '../peers/peer.ts'
import { type Row, row } from '../row.ts'
import { processMicros, residentMib } from './cpu.ts'
import type { Circuit } from './turns.ts'

/** Resident memory of each box's program before anything has passed, and the share of one processor it needs for nothing. */
export async function measureMemory(circuit: Circuit): Promise<Row[]> {
  circuit.say('memory and processor time, idle')
  await wait(SETTLE_MS)
  const before = circuit.arenas.map(micros)
  await wait(IDLE_MS)
  const after = circuit.arenas.map(micros)
  return circuit.arenas.flatMap((arena, i) =>
    arena.boxes.flatMap(({ name, pid }, box) => [
      row('memory', `idle: program in ${name}`, arena.name, 'MiB', [residentMib(pid)]),
      row('cpu', `idle, per second: program in ${name}`, arena.name, 'µs', [
        ((after[i]?.[box] ?? 0) - (before[i]?.[box] ?? 0)) / (IDLE_MS / 1000),
      ]),
    ]),
  )
}

const micros = (arena: Arena): number[] => arena.boxes.map(({ pid }) => processMicros(pid))

const SETTLE_MS = 3000
const IDLE_MS = 10_000
