import { setTimeout as wait } from 'node:timers/promises'
import { ntmMany, type Resident, wireguardMany } from '../peers/many.ts'
import type { Arena } from '../peers/peer.ts'
import { type Row, row } from '../row.ts'
import { processMicros, residentMib } from './cpu.ts'
import type { Circuit } from './turns.ts'

/**
 * Resident memory of each box's program before anything has passed, the processor time it needs for nothing, and memory with 10,000
 * tunnels where that can be set up without 10,000 machines.
 */
export async function measureMemory(circuit: Circuit, product: string): Promise<Row[]> {
  circuit.say('memory and processor time, idle')
  await wait(SETTLE_MS)
  const before = circuit.arenas.map(micros)
  await wait(IDLE_MS)
  const after = circuit.arenas.map(micros)
  const idle = circuit.arenas.flatMap((arena, i) =>
    arena.boxes.flatMap(({ name, pid }, box) => [
      row('memory', `idle: program in ${name}`, arena.name, 'MiB', [residentMib(pid)]),
      row('cpu', `idle, per second: program in ${name}`, arena.name, 'µs', [
        ((after[i]?.[box] ?? 0) - (before[i]?.[box] ?? 0)) / (IDLE_MS / 1000),
      ]),
    ]),
  )
  const wanted = (peer: string): boolean => circuit.arenas.some((arena) => arena.name === peer)
  circuit.say(`memory with ${MANY} tunnels`)
  return [
    ...idle,
    ...(wanted('ntm-tun') ? manyRows('ntm-tun', await ntmMany(product, MANY), 'the packet worker’s table alone') : []),
    ...(wanted('wireguard-go') ? manyRows('wireguard-go', await wireguardMany(MANY)) : []),
    ...['openvpn', 'nebula']
      .filter(wanted)
      .map((peer) => row('memory', MANY_NAME, peer, 'MiB', [], 'absent: wants so many live peers')),
  ]
}

function manyRows(peer: string, resident: Resident | null, note?: string): Row[] {
  if (resident === null) return [row('memory', MANY_NAME, peer, 'MiB', [], 'absent: did not run')]
  return [
    row('memory', MANY_NAME, peer, 'MiB', [resident.with], note),
    row('memory', `${MANY_NAME}, more than with none`, peer, 'MiB', [resident.with - resident.without], note),
  ]
}

const micros = (arena: Arena): number[] => arena.boxes.map(({ pid }) => processMicros(pid))

const SETTLE_MS = 3000
const IDLE_MS = 10_000
const MANY = 10_000
const MANY_NAME = `with ${MANY} tunnels`
