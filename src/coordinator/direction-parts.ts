import { nodeKey } from '#ntm-lib/addr/ids.ts'
import type { CoordinatorStore, Member } from '#ntm-lib/ports/coordinator-store.ts'
import type { Counters } from '#ntm-lib/ports/counters.ts'
import type { Log } from '#ntm-lib/ports/log.ts'
import type { Calendar } from '#ntm-lib/ports/machine.ts'
import { ROLE_TT } from '#ntm-lib/wire/certificate.ts'
import type { Target } from '#ntm-lib/wire/messages/common.ts'
import type { Route } from '#ntm-lib/wire/messages/direction.ts'
import type { Refusal } from '#ntm-lib/wire/messages/refusal.ts'
import type { Contracts, Minted } from './contracts.ts'
import type { Job } from './direction-job.ts'
import { reachableAt } from './locate.ts'
import type { ServerPool } from './pool.ts'
import type { PresenceTable } from './presence.ts'
import { refusal } from './refuse.ts'
import { chooseTerminator } from './route.ts'
import type { Sessions } from './sessions.ts'
import type { CoordinatorSettings } from './settings.ts'

/** What directions are made from. */
export type DirectionParts = {
  readonly sessions: Sessions
  readonly store: CoordinatorStore
  readonly presences: PresenceTable
  readonly contracts: Contracts
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
  const { node, name } = job.goal.member
  const member = p.store.member(node)
  const here = p.sessions.peer(node) !== null && p.presences.get(node) !== null && !job.tried.has(nodeKey(node))
  return member !== null && here ? member : refusal('peer-silent', `${name} is not reachable now`, 5000)
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

/** What the end opposite `peer` is told. */
export function routeTo(p: DirectionParts, peer: Member, minted: Minted, opens: boolean): Route {
  const presence = p.presences.get(peer.node)
  return {
    contract: minted.bytes,
    pathSecret: minted.secret,
    peerChain: peer.chain,
    peerCandidates: presence === null ? [] : reachableAt(presence, isTerminator(peer)),
    youAre: opens ? 'opener' : 'acceptor',
    peerLocationVersion: presence?.locationVersion ?? 0,
    way: 'direct',
    optimise: 'seed',
    relay: null,
  }
}

/** The server of a job as its ends are told; null between two nodes. */
export const targetOf = (job: Job, found: { ttlSeconds: number; families: number }): Target | null =>
  job.goal.to === 'server' && job.pair !== null
    ? { name: job.goal.name, ...job.pair, ttlSeconds: found.ttlSeconds, families: found.families }
    : null

/** Nobody answered in time. */
export const SILENT = refusal('peer-silent', 'no answer in time', 2000)

const isTerminator = (member: Member | null): boolean => member !== null && (member.roles & ROLE_TT) !== 0
