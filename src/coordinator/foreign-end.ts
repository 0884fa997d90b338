import type { NodeId } from '#ntm-lib/addr/ids.ts'
import type { ContractRow, CoordinatorStore } from '#ntm-lib/ports/coordinator-store.ts'
import type { ForeignEnd } from '#ntm-lib/wire/messages/federation.ts'
import type { PresenceTable } from './presence.ts'

/** A box of ours as another coordinator is told of it; null when it is not registered. */
export function foreignEnd(
  p: { readonly store: CoordinatorStore; readonly presences: PresenceTable },
  node: NodeId,
): ForeignEnd | null {
  const [member, presence] = [p.store.member(node), p.presences.get(node)]
  if (member === null || presence === null) return null
  const { candidates, observed, confirmed, locationVersion, changes, relays } = presence
  return {
    chain: member.chain,
    pairs: [member.pair, ...p.store.hostsOf(node).map((h) => h.pair)],
    candidates,
    observed,
    confirmed4: confirmed[4],
    confirmed6: confirmed[6],
    locationVersion,
    changes: Math.min(changes, 255),
    relays: relays.slice(0, 16),
  }
}

/** Whether another zone's coordinator made this contract: it made it for the correspondent, which is its own. */
export const madeAbroad = (store: CoordinatorStore, row: ContractRow): boolean =>
  store.member(row.correspondent) === null && store.foreign(row.correspondent) !== null
