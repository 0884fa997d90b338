import { type NodeId, nodeKey } from '#ntm-lib/addr/ids.ts'
import type { WallTime } from '#ntm-lib/base/time.ts'
import type { Member } from '#ntm-lib/ports/coordinator-store.ts'
import { ROLE_TT } from '#ntm-lib/wire/certificate.ts'
import type { Optimise, Whereabouts } from '#ntm-lib/wire/messages/direction.ts'
import type { RelayLeg } from '#ntm-lib/wire/messages/relay.ts'
import type { Ends } from './ends.ts'
import { placesOf, reachableAt } from './locate.ts'
import { whereVersion } from './presence.ts'
import type { Legs } from './relay-legs.ts'
import { decideBetween, neighbours } from './route.ts'

export type WhereQuestion = {
  /** Who is told. */
  readonly end: NodeId
  /** Whose whereabouts these are. */
  readonly peer: NodeId
  readonly legs: Legs | null
  readonly ends: Ends
  readonly optimise: Optimise
  readonly today: WallTime
}

/**
 * Where the peer of a path is, as one end of it is told: SEED 002 §4. A terminator is met directly or not at all. Of a
 * peer that is not registered nothing is known but its relay leg.
 */
export function whereaboutsFor({ end, peer, legs, ends, optimise, today }: WhereQuestion): Whereabouts {
  const [here, there] = [ends.location(end), ends.location(peer)]
  const peerLocationVersion = there === null ? 0 : whereVersion(there)
  if (isTerminator(ends.member(end)) || isTerminator(ends.member(peer))) {
    const peerCandidates = there === null ? [] : reachableAt(there, isTerminator(ends.member(peer)))
    return { peerCandidates, peerLocationVersion, way: 'direct', optimise: 'seed', relay: null }
  }
  const relay = legs === null ? null : legOf(legs, end, today)
  const known = here !== null && there !== null
  const local = optimise === 'ice' || (known && neighbours(here, there))
  const direct = known && decideBetween(here, there, optimise).way === 'direct'
  return {
    peerCandidates: there === null ? [] : placesOf(there, local),
    peerLocationVersion,
    way: direct || relay === null ? 'direct' : 'relay',
    optimise,
    relay,
  }
}

export const isTerminator = (member: Member | null): boolean => member !== null && (member.roles & ROLE_TT) !== 0

function legOf(
  { relay, endpoints, openerKey, acceptorKey, contract, until }: Legs,
  end: NodeId,
  today: WallTime,
): RelayLeg {
  const key = nodeKey(end) === nodeKey(contract.opener) ? openerKey : acceptorKey
  return { relay, endpoints, key, leaseSeconds: Math.max(1, Math.ceil((until - today) / 1000)) }
}
