import { readFileSync } from 'node:fs'
import { moduleBeside, ThreadAhead } from '#io/thread-ahead.ts'
import type { RoleKind } from '../worker/role-plane.ts'

// The packet side's thread loads its program while this one loads its own and reads the configuration: on a slow processor that is seconds of every start.

/**
 * Makes it when these arguments, `--config FILE`, name a configuration with a role that has a packet side. A guess: whoever reads the
 * file in earnest says what is wrong with it, and a thread that nobody takes ends with the process.
 */
export function loadPacketsAhead(args: readonly string[]): void {
  const kind = kindIn(args[args.indexOf('--config') + 1])
  if (kind !== null) waiting = new ThreadAhead(packetThread(0), PACKET_WORKER, kind)
}

/** The one that was made, for the first who asks. */
export function packetsAhead(): ThreadAhead | null {
  const ahead = waiting
  waiting = null
  return ahead
}

/** Name of a packet thread, as `top -H` shows it. */
export const packetThread = (index: number): string => `ntm-packets-${index}`

/** The program of packet threads. */
export const PACKET_WORKER = moduleBeside(import.meta.url, '../worker/packet-worker')

let waiting: ThreadAhead | null = null

function kindIn(file: string | undefined): RoleKind | null {
  try {
    const [, role] = /^role\s*=\s*["'](\w+)["']/m.exec(readFileSync(file ?? '', 'utf8')) ?? []
    return KINDS.get(role ?? '') ?? null
  } catch {
    // A file that cannot be read: the same will be said by whoever needs it.
    return null
  }
}

const KINDS: ReadonlyMap<string, RoleKind> = new Map([
  ['bridge', 'bridge'],
  ['tt', 'tt'],
  ['relay', 'relay'],
  ['node', 'tun'],
])
