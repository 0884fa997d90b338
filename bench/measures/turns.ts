import { LabError } from '#lab/ip.ts'
import type { Arena } from '../peers/peer.ts'

/** Everybody who is measured, in turn, and how often. */
export type Circuit = {
  readonly arenas: readonly Arena[]
  readonly rounds: number
  /** Tells how far it is; prose for the person who waits. */
  readonly say: (text: string) => void
}

/**
 * Runs `once` in every arena, one after the other, `rounds` times: whatever else the machine does meets all of them. A peer that
 * fails is told and left out of this measure from then on.
 */
export async function inTurn<T>(
  circuit: Circuit,
  what: string,
  once: (arena: Arena, round: number) => Promise<T>,
): Promise<Map<string, T[]>> {
  const results = new Map<string, T[]>(circuit.arenas.map(({ name }) => [name, []]))
  const out = new Set<string>()
  circuit.say(what)
  for (let round = 0; round < circuit.rounds; round++) {
    for (const arena of circuit.arenas) {
      if (out.has(arena.name)) continue
      try {
        results.get(arena.name)?.push(await once(arena, round))
      } catch (fault) {
        if (!(fault instanceof LabError)) throw fault
        out.add(arena.name)
        circuit.say(`  ${arena.name} failed: ${fault.message.split('\n').slice(0, 3).join(' ')}`)
      }
    }
  }
  return results
}
