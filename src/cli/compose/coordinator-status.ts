import type { CoordinatorCore } from '#coordinator/core.ts'
import type { Links } from '#coordinator/links.ts'
import { reach } from '#coordinator/locate.ts'
import type { Presence } from '#coordinator/presence.ts'
import type { CoordinatorSettings } from '#coordinator/settings.ts'
import { endpointText } from '#ntm-lib/addr/endpoint.ts'
import type { NodeId } from '#ntm-lib/addr/ids.ts'
import { prefixText } from '#ntm-lib/addr/prefix.ts'
import { between, type Instant, type WallTime } from '#ntm-lib/base/time.ts'
import type { CoordinatorStore } from '#ntm-lib/ports/coordinator-store.ts'
import type { CounterMap } from '#ntm-lib/ports/counters.ts'
import { ROLE_BRIDGE, ROLE_RELAY, ROLE_TT } from '#ntm-lib/wire/certificate.ts'
import { countsBelow } from './box-status.ts'
import type { Status } from './control.ts'

export type CoordinatorFacts = {
  readonly network: { readonly name: string }
  readonly core: Pick<CoordinatorCore, 'presences' | 'provisional' | 'relayed' | 'relayedBy'>
  readonly store: Pick<CoordinatorStore, 'members' | 'member' | 'contractsOf'>
  readonly counters: CounterMap
  readonly links: Pick<Links, 'zones' | 'up'>
  readonly lastHeard: (node: NodeId) => Instant | null
  readonly settings: Pick<CoordinatorSettings, 'zone' | 'plan' | 'optimise' | 'endpoints'>
}

/** The coordinator's status as JSON; `docs/operating.md` lists the keys. It walks all members: for people, not for every second. */
export function coordinatorStatus(f: CoordinatorFacts, now: Instant, today: WallTime): Status {
  const { core, store, counters, settings } = f
  const members = store.members()
  const present = core.presences.all()
  const { nodes4, servers4, nodes6, servers6 } = settings.plan
  // Each is with both its ends: counted at the one that asked for it.
  const own = members.flatMap((m) =>
    store.contractsOf(m.node).filter((c) => c.initiator.every((b, i) => b === m.node[i])),
  )
  return {
    name: f.network.name,
    zones: [settings.zone, ...f.links.zones],
    federation: f.links.zones.map((zone) => ({ zone, up: f.links.up.includes(zone) })),
    endpoints: settings.endpoints.map(endpointText),
    virtual: [nodes4, servers4, nodes6, servers6].map(prefixText),
    optimise: settings.optimise,
    members: {
      known: members.length,
      revoked: members.filter((m) => m.revoked).length,
      present: present.map((p) => memberStatus(p, f, now)).toSorted((a, b) => (a.name < b.name ? -1 : 1)),
    },
    contracts: own.filter((c) => c.leaseUntil > today).length,
    relayed: core.relayed,
    underWay: core.provisional,
    directions: countsBelow(counters, 'coordinator.direction.'),
    refused: countsBelow(counters, 'coordinator.refused.'),
  }
}

function memberStatus(p: Presence, { store, core, lastHeard }: CoordinatorFacts, now: Instant) {
  const heard = lastHeard(p.node)
  const role = roleOf(p.roles)
  return {
    name: store.member(p.node)?.name ?? '',
    role,
    at: endpointText(p.observed),
    ip4: reached(p, 4),
    ip6: reached(p, 6),
    seenSecondsAgo: heard === null ? null : Math.floor(between(heard, now) / 1000),
    ...(role === 'bridge' ? { hosts: p.hosts.size } : {}),
    ...(role === 'relay' ? { loadPercent: p.loadPercent, paths: core.relayedBy(p.node) } : {}),
  }
}

/** `open`: from anywhere; `natted`: only after it spoke first; `unproven`: it names an address, and no echo has come from there; `none`. */
const reached = (p: Presence, of: 4 | 6): 'open' | 'natted' | 'unproven' | 'none' => {
  const known = reach(p, of)
  return known === 'natted' && p.confirmed[of] === null ? 'unproven' : known
}

const roleOf = (roles: number): 'relay' | 'tt' | 'bridge' | 'node' =>
  (roles & ROLE_RELAY) !== 0
    ? 'relay'
    : (roles & ROLE_TT) !== 0
      ? 'tt'
      : (roles & ROLE_BRIDGE) !== 0
        ? 'bridge'
        : 'node'
