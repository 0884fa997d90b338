import type { NodeId } from '#ntm-lib/addr/ids.ts'
import type { Ip } from '#ntm-lib/addr/ip.ts'
import type { VirtualPair } from '#ntm-lib/addr/virtual.ts'
import type { Instant } from '#ntm-lib/base/time.ts'
import type { TransactionKey } from '#ntm-lib/negotiate/control-events.ts'
import type { Member } from '#ntm-lib/ports/coordinator-store.ts'
import type { DirectionRequest, PathAccept } from '#ntm-lib/wire/messages/direction.ts'
import type { Minted } from './contracts.ts'
import type { Goal } from './goal.ts'
import type { Legs } from './relay-legs.ts'
import type { Decision } from './route.ts'

/** Somebody to be answered. */
export type Waiter = {
  readonly transaction: TransactionKey
  readonly request: DirectionRequest
  readonly deadline: Instant
}

/**
 * The relay of a direction under way: not wanted or none there, being asked, or asked. `told`: what the correspondent heard
 * already, in case the relay says yes; what it said is with the legs.
 */
export type Relaying = { readonly at: 'none' } | { readonly at: 'asking' | 'done'; readonly told: Legs }

/** A contract on its way: the correspondent and a relay are asked at the same time. */
export type RoutingState = {
  readonly at: 'routing'
  readonly peer: Member
  readonly minted: Minted
  readonly decision: Decision
  readonly tag: string
  relaying: Relaying
  /** The correspondent's yes. */
  accept: PathAccept | null
}

/** A standing contract that its correspondent is asked to extend. */
export type ExtendingState = {
  readonly at: 'extending'
  readonly peer: Member
  readonly hash: Uint8Array
  readonly leaseSeconds: number
  readonly tag: string
}

/** Where a direction stands. `queued`: another direction of the same pair is making the contract. */
export type JobState = { readonly at: 'queued' } | RoutingState | ExtendingState

/** One direction under way: an initiator, what it is after, and everybody who waits for the same. */
export type Job = {
  readonly key: string
  readonly initiator: NodeId
  readonly goal: Goal
  /** The server's pair, promised; null towards a node. */
  readonly pair: VirtualPair | null
  readonly sources: readonly Ip[]
  /** The contract the initiator cannot use. */
  readonly lost: Uint8Array
  /** The end of patience for all of it. */
  readonly deadline: Instant
  readonly waiters: TransactionKey[]
  /** The same goal, but with other sources or another lost contract: asked again when this one is done. */
  readonly later: Waiter[]
  /** Correspondents asked so far, by key. */
  readonly tried: Set<string>
  /** The pair this job holds the right to make a contract for. */
  lock: string | null
  state: JobState
  remints: number
  rebuilt: boolean
}

/** Whether one more request can share this job's answer. */
export function covers(job: Job, request: DirectionRequest, same: (a: Uint8Array, b: Uint8Array) => boolean): boolean {
  return same(job.lost, request.lost) && request.sources.every((ip) => job.sources.some((own) => equal(own, ip)))
}

const equal = (a: Ip, b: Ip): boolean =>
  typeof a === 'number' || typeof b === 'number' ? a === b : a.every((byte, i) => byte === b[i])
