import type { Facts } from './facts.ts'

/** A port of the bridge as the kernel tells it. */
export type BridgePort = { readonly name: string; readonly carrier: boolean; readonly forwards: boolean }

/** What the judge of a slot looks at, read anew each time. */
export type HealthFacts = {
  /** `/run/ntm-box/wire` and `/run/ntm-box/config`; empty while they are not there. */
  readonly wire: Facts
  readonly config: Facts
  /** Ports that are in the bridge. */
  readonly ports: readonly BridgePort[]
  /** systemd's word for ntm.service. */
  readonly service: string
  /** What `ntm status` says; null when nothing answers. */
  readonly status: Readonly<Record<string, unknown>> | null
}

/** What worked before the update, from `/data/update/pending`. */
export type Before = { readonly wire: string; readonly tunnel: boolean }

export type HealthVerdict = { readonly good: boolean; readonly why: string }

/**
 * Whether a slot on trial does its work: the wire forwards if it did, the program is ready, the tunnel works if it did. What did not work before the
 * update is not asked of it: a missing coordinator or an unplugged port is no reason to go back.
 *
 * The wire: both ports in the bridge, and each one with a link forwards. A port without a link is nobody's fault: the host may be switched off.
 */
export function judgeHealth(facts: HealthFacts, before: Before): HealthVerdict {
  const wire = wireFault(facts, before)
  if (wire !== null) return { good: false, why: wire }
  const configured = facts.config['state']
  if (configured === undefined) return { good: false, why: 'the configuration has not been looked at' }
  // Plugged in without a configuration: bridging is all there is to do.
  if (configured === 'none' && !before.tunnel)
    return { good: true, why: 'the wire works; the box has no configuration' }
  // Terminators and relays are "activating" until a coordinator answers: enough where none answered before.
  const runs = facts.service === 'active' || (facts.service === 'activating' && !before.tunnel && facts.status !== null)
  if (!runs) return { good: false, why: `ntm.service is ${facts.service}` }
  if (!before.tunnel) return { good: true, why: 'the wire and the program work; the tunnel did not before the update' }
  if (facts.status === null) return { good: false, why: 'ntm.service runs and does not answer' }
  if (!tunnelWorks(facts.status)) return { good: false, why: 'the tunnel worked before the update and does not now' }
  return { good: true, why: 'the wire, the program and the tunnel work' }
}

/**
 * Whether a running program's status shows a working tunnel: it is registered with its coordinator, and of the paths it has one is open (a path
 * appears only with traffic). A coordinator's tunnel is a member that is here.
 */
export function tunnelWorks(status: Readonly<Record<string, unknown>>): boolean {
  if (status['role'] === 'coordinator') return listOf(recordOf(status['members'])['present']).length > 0
  if (recordOf(status['coordinator'])['state'] !== 'registered') return false
  const paths = listOf(status['paths']).map(recordOf)
  return paths.length === 0 || paths.some((path) => path['state'] === 'open')
}

function wireFault({ wire, ports }: HealthFacts, before: Before): string | null {
  const state = wire['state']
  if (state === undefined) return 'the wire has not been set up'
  if (!JOINED.has(before.wire)) return null
  if (!JOINED.has(state))
    return `the wire is ${state}${wire['why'] ? ` (${wire['why']})` : ''}, and it forwarded before the update`
  if (ports.length < 2) return `the bridge has ${ports.length} of its 2 ports`
  const deaf = ports.find((port) => port.carrier && !port.forwards)
  return deaf === undefined ? null : `port ${deaf.name} has a link and does not forward`
}

const recordOf = (value: unknown): Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Readonly<Record<string, unknown>>)
    : {}
const listOf = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : [])
/** Both ports are in the bridge; with `no-cable` one has no link. */
const JOINED: ReadonlySet<string> = new Set(['forwarding', 'no-cable'])
