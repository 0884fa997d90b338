import { type NodeId, nodeKey } from '#ntm-lib/addr/ids.ts'
import type { Instant } from '#ntm-lib/base/time.ts'
import type { TransactionKey } from '#ntm-lib/negotiate/control-events.ts'
import type { Member } from '#ntm-lib/ports/coordinator-store.ts'
import type { PathAccept, Route } from '#ntm-lib/wire/messages/direction.ts'
import type { Refusal } from '#ntm-lib/wire/messages/refusal.ts'
import type { Job } from './direction-job.ts'
import { type DirectionParts, foundTarget, SILENT } from './direction-parts.ts'

/** What a direction came to: `route` null where the pair's contract stands. */
export type Outcome = {
  readonly peer: Member
  readonly hash: Uint8Array
  readonly route: Route | null
  /** What the terminator's resolution found; 0 and 0 between two nodes. */
  readonly found: Pick<PathAccept, 'ttlSeconds' | 'families'>
}

/** Answers everybody who waits for this direction. */
export function answerAll(p: DirectionParts, job: Job, { peer, hash, route, found }: Outcome, now: Instant): void {
  const how = route === null ? 'standing' : 'new'
  p.counters.count(`coordinator.direction.${how}`)
  p.directed(job, peer, how)
  const target = foundTarget(job, found)
  const answer = { kind: 'direction-response', contractHash: hash, route, moved: null, target } as const
  for (const transaction of job.waiters) p.sessions.respond(transaction, answer, now)
}

/** Answers one asker with a no. */
export function refuse(p: DirectionParts, node: NodeId, transaction: TransactionKey, why: Refusal, now: Instant): void {
  p.counters.count(`coordinator.refused.${why.code}`)
  const fields = { node: nodeKey(node), code: why.code, why: why.text }
  p.log[why === SILENT ? 'debug' : 'info']('direction.refused', fields)
  p.sessions.respond(transaction, why, now)
}
