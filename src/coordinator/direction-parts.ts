import { type NodeId, nodeKey } from '#ntm-lib/addr/ids.ts'
import { type Instant, type Millis, millis } from '#ntm-lib/base/time.ts'
import type { ContractRow, CoordinatorStore, Member } from '#ntm-lib/ports/coordinator-store.ts'
import type { Counters } from '#ntm-lib/ports/counters.ts'
import type { Log } from '#ntm-lib/ports/log.ts'
import type { Calendar } from '#ntm-lib/ports/machine.ts'
import type { Target } from '#ntm-lib/wire/messages/common.ts'
import type { Route } from '#ntm-lib/wire/messages/direction.ts'
import type { Refusal } from '#ntm-lib/wire/messages/refusal.ts'
import type { Contracts, Minted } from './contracts.ts'
import type { Job } from './direction-job.ts'
import type { Ends } from './ends.ts'
import type { Notices } from './notices.ts'
import type { ServerPool } from './pool.ts'
import type { Presence, PresenceTable } from './presence.ts'
import { refusal } from './refuse.ts'
import type { Legs, RelayLegs } from './relay-legs.ts'
import { chooseTerminator, type Decision, decideBetween, decideRoute, reachability } from './route.ts'
import type { Sessions } from './sessions.ts'
import type { CoordinatorSettings } from './settings.ts'
import { isTerminator, whereaboutsFor } from './whereabouts.ts'

/** What directions are made from. */
export type DirectionParts = {
  readonly sessions: Sessions
  readonly store: CoordinatorStore
  readonly presences: PresenceTable
  readonly contracts: Contracts
  /** The way to correspondents. */
  readonly ends: Ends
  readonly legs: RelayLegs
  readonly notices: Notices
  readonly pool: ServerPool
  readonly calendar: Calendar
  readonly log: Log
  readonly counters: Counters
  readonly settings: CoordinatorSettings
  readonly zone: string
  /** Told of every direction that came about. */
  readonly directed: (job: Job, peer: Member, how: 'new' | 'standing') => void
}

/** Whom to ask next for this job, or why nobody can be asked. */
export function correspondentFor(p: DirectionParts, job: Job, suspect: (key: string) => boolean): Member | Refusal {
  if (job.goal.to === 'server') {
    // It may be on its way back, after a restart of ours for instance: nothing to be remembered against the name.
    const none = job.tried.size > 0 ? SILENT : refusal('peer-silent', 'no terminator is registered now', 5000)
    return terminatorFor(p, job, suspect) ?? none
  }
  const { member, name } = job.goal
  const there = p.ends.member(member.node)
  const here = p.ends.isHere(member.node) && !job.tried.has(nodeKey(member.node))
  const expires = p.ends.location(member.node)?.expires ?? 0
  if (here && expires * 1000 <= p.calendar.today()) return refusal('expired', `the membership of ${name} has ended`)
  return there !== null && here ? there : refusal('peer-silent', `${name} is not reachable now`, 5000)
}

/** The terminator to ask next for this job; null when none is left. */
export function terminatorFor(p: DirectionParts, job: Job, suspect: (key: string) => boolean): Member | null {
  const initiator = p.presences.get(job.initiator)
  if (initiator === null) return null
  const own = p.store.contractsOf(job.initiator).filter((c) => isTerminator(p.store.member(c.correspondent)))
  const newest = own.toSorted((a, b) => b.leaseUntil - a.leaseUntil)[0]
  const chosen = chooseTerminator({
    initiator,
    present: p.presences.all().filter((x) => p.sessions.peer(x.node) !== null),
    tried: job.tried,
    suspect,
    last: newest === undefined ? null : nodeKey(newest.correspondent),
    load: (node) => p.store.contractCount(node),
    today: p.calendar.today(),
  })
  return chosen === null ? null : p.store.member(chosen.node)
}

/** How these two are to meet; null when they cannot, relay or not. A terminator is met directly or not at all. */
export function decisionFor(p: DirectionParts, initiator: Presence, peer: Member): Decision | null {
  const there = p.ends.location(peer.node)
  if (there === null) return null
  if (!isTerminator(peer)) return decideBetween(initiator, there, p.settings.optimise)
  const opener = decideRoute(reachability(initiator), reachability(there))
  return opener === null ? null : { opener, way: 'direct', alone: true }
}

/** The contract this job can go on with: for its sources, and for the host behind the peer that it is after. */
export function standingFor(
  p: DirectionParts,
  { goal, initiator, sources, lost }: Job,
  peer: Member,
): ContractRow | null {
  const behind = goal.to === 'node' && !isTerminator(peer) ? [goal.pair.vip4, goal.pair.vip6] : []
  return p.contracts.inForce(initiator, peer.node, sources, behind, lost)
}

/** How long the correspondent may take: less while there is another one to be asked. */
export function patienceFor(p: DirectionParts, job: Job, now: Instant): Millis {
  const left = Math.max(1, job.deadline - now)
  const another = job.goal.to === 'server' && terminatorFor(p, job, () => false) !== null
  return millis(another ? Math.min(left, FIRST_TRY_MILLIS) : left)
}

/** What `end`, which is opposite `peer`, is told. */
export function routeTo(p: DirectionParts, end: NodeId, peer: Member, minted: Minted, legs: Legs | null): Route {
  const [optimise, today] = [p.settings.optimise, p.calendar.today()]
  return {
    contract: minted.bytes,
    pathSecret: minted.secret,
    peerChain: peer.chain,
    youAre: nodeKey(minted.contract.opener) === nodeKey(end) ? 'opener' : 'acceptor',
    ...whereaboutsFor({ end, peer: peer.node, legs, ends: p.ends, optimise, today }),
  }
}

/** Whom a job is after, as the other end is told: a terminator resolves it, a bridge can say who came for whom. */
export const askedTarget = (job: Job): Target | null => {
  const pair = job.goal.to === 'node' ? job.goal.pair : job.pair
  return pair === null ? null : { name: job.goal.name, ...pair, ttlSeconds: 0, families: 0 }
}

/** What the initiator's hosts will send to: the server with what the terminator found, or the node or host it asked for. */
export const foundTarget = (job: Job, found: { ttlSeconds: number; families: number }): Target | null => {
  // A bridge may know that its host has but one family, and then the other one's address would lead nowhere.
  if (job.goal.to === 'node')
    return { name: job.goal.name, ...job.goal.pair, ttlSeconds: NODE_TTL, families: found.families || 3 }
  return job.pair === null
    ? null
    : { name: job.goal.name, ...job.pair, ttlSeconds: found.ttlSeconds, families: found.families }
}

/** How long these two may have a path from now on, in seconds. */
export function leaseFor(p: DirectionParts, job: Job, peer: Member): number {
  const initiator = p.ends.member(job.initiator)
  return initiator === null ? 1 : p.contracts.leaseSeconds(initiator, peer)
}

/** Nobody answered in time. */
export const SILENT = refusal('peer-silent', 'no answer in time', 2000)
const FIRST_TRY_MILLIS = 800
/** A box or host keeps its virtual addresses for ever; what is behind a bridge's own name does not. */
const NODE_TTL = 60
