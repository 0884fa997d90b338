import type { NodeId } from '#ntm-lib/addr/ids.ts'
import type { Instant, Millis } from '#ntm-lib/base/time.ts'
import type { CoordinatorStore, Member } from '#ntm-lib/ports/coordinator-store.ts'
import type { PathExtend, PeerMoved, RouteDirection } from '#ntm-lib/wire/messages/direction.ts'
import type { Presence, PresenceTable } from './presence.ts'
import type { Sessions } from './sessions.ts'

/** What the far end of a direction is told. */
export type EndMessage = RouteDirection | PathExtend | PeerMoved

/**
 * The ends of directions as they are reached: members of this coordinator directly, members of another zone through
 * theirs (SEED 002 §3). Whoever makes directions knows no other way to a correspondent.
 */
export interface Ends {
  /** Who it is; null for strangers. */
  member(node: NodeId): Member | null
  /** Where it is; null when it is not registered. */
  location(node: NodeId): Presence | null
  /** Whether it can be told something now. */
  isHere(node: NodeId): boolean
  /** Tells it; `tag` comes back in one `response` or `silent` event. False when it cannot be told now. */
  tell(node: NodeId, tag: string, message: EndMessage, patience: Millis, now: Instant): boolean
}

/** The ends that are members of this coordinator. */
export function ownEnds(p: {
  readonly sessions: Sessions
  readonly store: CoordinatorStore
  readonly presences: PresenceTable
}): Ends {
  return {
    member: (node) => p.store.member(node),
    location: (node) => p.presences.get(node),
    isHere: (node) => p.sessions.peer(node) !== null && p.presences.get(node) !== null,
    tell: (node, tag, message, patience, now) => p.sessions.request(node, tag, message, patience, now),
  }
}
