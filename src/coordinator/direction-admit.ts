import { type NodeId, nodeKey } from '#ntm-lib/addr/ids.ts'
import type { DirectionRequest } from '#ntm-lib/wire/messages/direction.ts'
import type { Refusal } from '#ntm-lib/wire/messages/refusal.ts'
import type { Job, Waiter } from './direction-job.ts'
import type { Jobs } from './direction-jobs.ts'
import type { DirectionParts } from './direction-parts.ts'
import { goalKey, goalOf } from './goal.ts'
import { refusal } from './refuse.ts'

/** Why this node may not ask for this now; null when it may. */
export function mayAsk(p: DirectionParts, node: NodeId, request: DirectionRequest): Refusal | null {
  const [member, presence] = [p.ends.member(node), p.ends.location(node)]
  if (member === null || member.revoked || presence === null) return refusal('not-registered', 'register first', 1000)
  if (presence.expires * 1000 <= p.calendar.today()) return refusal('expired', 'renew the membership first')
  return p.contracts.owns(member, request.sources) ? null : refusal('forbidden', 'a source that is not of this box')
}

/**
 * Whether a Direction Request may be worked on: a new job with its server's address promised, the job under way that has
 * the same initiator and goal, or why not. Changes nothing but that promise.
 */
export function admit(
  p: DirectionParts,
  node: NodeId,
  { transaction, request, deadline }: Waiter,
  underway: Jobs,
): Job | Refusal {
  const no = mayAsk(p, node, request)
  if (no !== null) return no
  const goal = goalOf(request.sought, node, p)
  if ('kind' in goal) return goal
  const key = `${nodeKey(node)} ${goalKey(goal)}`
  const running = underway.get(key)
  if (running !== undefined) return running
  if (underway.countOf(node) >= p.settings.directionsPerNode)
    return refusal('busy', 'too many directions under way', 1000)
  const pair = goal.to === 'server' ? p.pool.reserve(node, goal.name, p.calendar.today()) : null
  if (goal.to === 'server' && pair === null)
    return refusal('pool-exhausted', 'no virtual address left for servers', 60_000)
  return {
    key,
    initiator: node,
    goal,
    pair,
    sources: request.sources,
    lost: request.lost,
    deadline,
    waiters: [transaction],
    later: [],
    tried: new Set(),
    lock: null,
    state: { at: 'queued' },
    remints: 0,
    rebuilt: false,
  }
}
