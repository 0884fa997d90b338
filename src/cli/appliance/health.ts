import { readdirSync, readFileSync } from 'node:fs'
import { uptime } from 'node:os'
import { join } from 'node:path'
import {
  type Before,
  type BridgePort,
  type HealthFacts,
  type HealthVerdict,
  judgeHealth,
  tunnelWorks,
} from '#appliance/health.ts'
import { askControl } from '#io/control-socket.ts'
import { run } from '#io/run.ts'
import { readFacts } from './fact-files.ts'

export type Places = { readonly run: string; readonly data: string; readonly sys: string; readonly sockets: string }

/** Where these things are on a box. */
export const PLACES: Places = { run: '/run/ntm-box', data: '/data', sys: '/sys/class/net', sockets: '/run/ntm' }

/** What works now: for `pending`, before an update. */
export async function whatWorks(places: Places): Promise<Before> {
  const status = await anyStatus(places.sockets)
  return { wire: readFacts(join(places.run, 'wire'))['state'] ?? '', tunnel: status !== null && tunnelWorks(status) }
}

/** What worked before the update that is on trial; nothing when there is none. */
export function workedBefore(places: Places): Before {
  const pending = readFacts(join(places.data, 'update/pending'))
  return { wire: pending['wire'] ?? '', tunnel: pending['tunnel'] === 'yes' }
}

/**
 * Looks until the box has done its work for `holdSeconds` on end, or the system has been up for `untilSeconds`. Gives the last verdict; each
 * change of it is told.
 */
export async function awaitHealth(
  places: Places,
  o: {
    readonly untilSeconds: number
    readonly holdSeconds: number
    readonly everyMs?: number
    readonly upSeconds?: () => number
  },
  tell: (verdict: HealthVerdict) => void,
): Promise<HealthVerdict> {
  const up = o.upSeconds ?? uptime
  let goodSince: number | null = null
  let told = ''
  for (;;) {
    const verdict = judgeHealth(await healthFacts(places), workedBefore(places))
    const now = up()
    if (verdict.why !== told) tell(verdict)
    told = verdict.why
    goodSince = verdict.good ? (goodSince ?? now) : null
    if (goodSince !== null && now - goodSince >= o.holdSeconds) return verdict
    if (now >= o.untilSeconds)
      return verdict.good ? { good: false, why: `${verdict.why}, but not for long enough` } : verdict
    await new Promise((done) => setTimeout(done, o.everyMs ?? 2000))
  }
}

export async function healthFacts(places: Places): Promise<HealthFacts> {
  return {
    wire: readFacts(join(places.run, 'wire')),
    config: readFacts(join(places.run, 'config')),
    ports: bridgePorts(join(places.sys, 'br0/brif'), places.sys),
    service: await serviceState(),
    status: await anyStatus(places.sockets),
  }
}

function bridgePorts(list: string, sys: string): BridgePort[] {
  const told = (name: string, file: string): string => {
    try {
      return readFileSync(join(sys, name, file), 'utf8').trim()
    } catch {
      // A port that is down has no carrier to read; one that was just pulled has nothing.
      return ''
    }
  }
  try {
    return readdirSync(list).map((name) => ({
      name,
      carrier: told(name, 'carrier') === '1',
      // linux/if_bridge.h: BR_STATE_FORWARDING.
      forwards: told(name, 'brport/state') === '3',
    }))
  } catch {
    // No bridge: not a bridge's role, or no ports.
    return []
  }
}

async function serviceState(): Promise<string> {
  try {
    return (await run('systemctl', ['show', '-p', 'ActiveState', '--value', 'ntm.service'])).trim()
  } catch {
    // No systemd answers: the program cannot be said to run.
    return 'unknown'
  }
}

/** What the first running program that answers says of itself; null when none does. */
async function anyStatus(dir: string): Promise<Readonly<Record<string, unknown>> | null> {
  let names: string[]
  try {
    names = readdirSync(dir).filter((name) => name.endsWith('.sock'))
  } catch {
    // Nothing has ever run here.
    return null
  }
  for (const name of names) {
    try {
      const { answer, end } = await askControl(join(dir, name), { ask: 'status' })
      end()
      if (typeof answer === 'object' && answer !== null && !('error' in answer))
        return answer as Readonly<Record<string, unknown>>
    } catch {
      // A socket left by a program that is gone, or one that is busy.
    }
  }
  return null
}
