import { nodeKey } from '#ntm-lib/addr/ids.ts'
import { same } from '#ntm-lib/base/bytes.ts'
import { Expiring } from '#ntm-lib/base/expiring.ts'
import { after, type Instant, type Millis, millis, sooner } from '#ntm-lib/base/time.ts'
import type { TransactionKey } from '#ntm-lib/negotiate/control-events.ts'
import { lower, type Member, pairKey } from '#ntm-lib/ports/coordinator-store.ts'
import type { Response } from '#ntm-lib/wire/message.ts'
import type { DirectionRequest, PathAccept, PathExtend, RouteDirection } from '#ntm-lib/wire/messages/direction.ts'
import type { Refusal } from '#ntm-lib/wire/messages/refusal.ts'
import { beginContract, enactContract, extendContract, lacksRelay, routeDirection } from './contract-making.ts'
import { admit } from './direction-admit.ts'
import { covers, type Job, type RoutingState, type Waiter } from './direction-job.ts'
import { Jobs } from './direction-jobs.ts'
import {
  askedTarget,
  correspondentFor,
  type DirectionParts,
  decisionFor,
  leaseFor,
  patienceFor,
  SILENT,
  standingFor,
} from './direction-parts.ts'
import { answerAll, type Outcome, refuse } from './direction-replies.ts'
import { refusal } from './refuse.ts'
import type { Decision } from './route.ts'
import { Succession } from './succession.ts'

/**
 * Directions, in the seeds' order: the correspondent (or terminator) is told first, the initiator only after its answer
 * (SEED 000 §4.2). One contract is made per pair at a time; whoever meets it on the way waits and shares it. Everything
 * half-made is in memory and gone within `DIRECTION_MILLIS`.
 */
export class Directions {
  readonly #p: DirectionParts
  readonly #jobs = new Jobs()
  readonly #suspects = new Expiring<string, true>(256)
  readonly #succession: Succession

  constructor(parts: DirectionParts) {
    this.#p = parts
    this.#succession = new Succession(parts.sessions, parts.legs)
  }

  /** Directions under way; 0 when nothing is half-made. */
  get open(): number {
    return this.#jobs.size
  }

  /** Takes a Direction Request; answered once, by a direction or a refusal, within `DIRECTION_MILLIS`. */
  ask(node: Member['node'], transaction: TransactionKey, request: DirectionRequest, now: Instant): void {
    this.#ask(node, { transaction, request, deadline: after(now, DIRECTION_MILLIS) }, now)
  }

  /** Whether a contract of this pair (`pairKey`) is being made now. */
  makes(pair: string): boolean {
    return this.#jobs.holder(pair) !== null
  }

  /** Takes the answer to a request of ours; false when nobody waits for this tag. */
  answer(tag: string, message: Response, now: Instant): boolean {
    const job = this.#jobs.take(tag)
    if (job === null) return false
    if (message.kind === 'path-accept') this.#accepted(job, message, now)
    else if (message.kind === 'refusal') this.#refused(job, message, now)
    else this.#fail(job, refusal('unsupported', 'the correspondent answered something else'), now)
    return true
  }

  silent(tag: string, now: Instant): boolean {
    const job = this.#jobs.take(tag)
    if (job === null) return false
    this.#unanswered(job, now)
    return true
  }

  /** A node's session ended: nobody waits for its answers, nor for ours. */
  gone(node: Member['node'], now: Instant): void {
    const key = nodeKey(node)
    for (const job of this.#jobs.all()) {
      if (!this.#jobs.has(job)) continue
      if (nodeKey(job.initiator) === key) this.#fail(job, refusal('peer-silent', 'the asking box has gone'), now)
      else if (job.state.at !== 'queued' && nodeKey(job.state.peer.node) === key) {
        this.#jobs.forget(job)
        this.#unanswered(job, now)
      }
    }
  }

  tick(now: Instant): void {
    this.#suspects.sweep(now)
    for (const job of this.#jobs.all()) if (job.deadline <= now && this.#jobs.has(job)) this.#late(job, now)
    this.#succession.tick(now)
  }

  deadline(): Instant | null {
    let first = sooner(this.#suspects.deadline(), this.#succession.deadline())
    for (const job of this.#jobs.all()) first = sooner(first, job.deadline)
    return first
  }

  #ask(node: Member['node'], waiter: Waiter, now: Instant): void {
    const job = admit(this.#p, node, waiter, this.#jobs)
    if ('code' in job) return refuse(this.#p, node, waiter.transaction, job, now)
    if (this.#jobs.has(job)) return this.#join(job, waiter, now)
    this.#jobs.add(job)
    this.#start(job, now)
  }

  #join(job: Job, waiter: Waiter, now: Instant): void {
    if (job.waiters.length + job.later.length >= MAX_WAITERS)
      return refuse(this.#p, job.initiator, waiter.transaction, refusal('busy', 'asked too often', 1000), now)
    if (covers(job, waiter.request, same)) job.waiters.push(waiter.transaction)
    else job.later.push(waiter)
  }

  /** Chooses whom to ask and asks; called again for the next correspondent, after a wait, or for a new contract. */
  #start(job: Job, now: Instant): void {
    this.#unlock(job, now)
    if (!this.#jobs.has(job)) return
    const initiator = this.#p.ends.location(job.initiator)
    const peer = correspondentFor(this.#p, job, (key) => this.#suspects.get(key) === true)
    if ('code' in peer) return this.#fail(job, peer, now)
    if (initiator === null) return this.#fail(job, SILENT, now)
    const decision = decisionFor(this.#p, initiator, peer)
    if (decision === null) return this.#fail(job, NO_ROUTE, now)
    const lock = pairKey(job.initiator, peer.node)
    const row = standingFor(this.#p, job, peer)
    this.#leave(job, now)
    if (this.#mustWait(job, lock, row !== null, now)) return
    if (row === null) {
      this.#jobs.lock(job, lock)
      return this.#route(job, peer, decision, now)
    }
    if (job.goal.to === 'node' && this.#succession.isFresh(row.hash))
      return this.#answered(job, { peer, hash: row.hash, route: null, found: UNRESOLVED }, now)
    const tag = this.#jobs.tag(job)
    const leaseSeconds = leaseFor(this.#p, job, peer)
    job.state = { at: 'extending', peer, hash: row.hash, leaseSeconds, tag }
    const target = askedTarget(job)
    this.#request(job, peer, tag, { kind: 'path-extend', contractHash: row.hash, target, leaseSeconds }, now)
  }

  /** Where two directions of one pair cross, the lower Node ID's goes on and the other waits for its contract. */
  #mustWait(job: Job, lock: string, standing: boolean, now: Instant): boolean {
    const holder = this.#jobs.holder(lock)
    if (holder === null || holder === job) return false
    const crossing = nodeKey(holder.initiator) !== nodeKey(job.initiator)
    if (standing || !crossing || !lower(job.initiator, holder.initiator)) return true
    if (holder.state.at !== 'queued') holder.tried.delete(nodeKey(holder.state.peer.node))
    this.#leave(holder, now)
    this.#jobs.unlock(holder)
    this.#p.counters.count('coordinator.direction.crossed')
    return false
  }

  #route(job: Job, peer: Member, decision: Decision, now: Instant): void {
    const initiator = this.#p.ends.member(job.initiator)
    if (initiator === null) return this.#fail(job, SILENT, now)
    const tag = this.#jobs.tag(job)
    const relayed = (state: RoutingState, at: Instant): void => this.#relayed(job, state, at)
    const state = beginContract(this.#p, { initiator, peer }, decision, tag, relayed, now)
    if (state === null) {
      this.#jobs.take(tag)
      return this.#fail(job, NO_ROUTE, now)
    }
    job.state = state
    this.#request(job, peer, tag, routeDirection(this.#p, job, initiator, state), now)
  }

  #request(job: Job, peer: Member, tag: string, message: RouteDirection | PathExtend, now: Instant): void {
    job.tried.add(nodeKey(peer.node))
    if (this.#p.ends.tell(peer.node, tag, message, patienceFor(this.#p, job, now), now)) return
    this.#jobs.forget(job)
    this.#unanswered(job, now)
  }

  #accepted(job: Job, accept: PathAccept, now: Instant): void {
    const { state } = job
    if (state.at === 'queued') return
    if (state.at === 'extending') {
      const { peer, hash } = state
      if (!extendContract(this.#p, job, state, accept, now)) return this.#again(job, peer, now)
      return this.#answered(job, { peer, hash, route: null, found: accept }, now)
    }
    state.accept = accept
    if (state.relaying.at !== 'asking') this.#relayed(job, state, now)
  }

  /** Nobody has to be waited for but, perhaps, the correspondent. */
  #relayed(job: Job, state: RoutingState, now: Instant): void {
    if (!this.#jobs.has(job) || job.state !== state) return
    if (lacksRelay(this.#p, state)) return this.#fail(job, NO_RELAY, now)
    if (state.accept !== null) this.#enact(job, state, state.accept, now)
  }

  #enact(job: Job, state: RoutingState, accept: PathAccept, now: Instant): void {
    const route = enactContract(this.#p, this.#succession, job, state, accept, now)
    // From here on the legs are the contract's.
    job.state = { at: 'queued' }
    this.#answered(job, { peer: state.peer, hash: state.minted.hash, route, found: accept }, now)
  }

  #answered(job: Job, outcome: Outcome, now: Instant): void {
    answerAll(this.#p, job, outcome, now)
    this.#finish(job, now)
  }

  #refused(job: Job, no: Refusal, now: Instant): void {
    const { state } = job
    if (state.at === 'extending' && no.code === 'no-route' && !job.rebuilt) {
      job.rebuilt = true
      const row = this.#p.store.contract(job.initiator, state.peer.node)
      if (row !== null && same(row.hash, state.hash)) this.#p.contracts.end(row)
      this.#succession.superseded([job.initiator], state.hash, now)
      return this.#again(job, state.peer, now)
    }
    if (state.at === 'routing' && no.code === 'path-id-in-use' && job.remints < MAX_REMINTS) {
      job.remints++
      const { peer, decision } = state
      this.#leave(job, now)
      return this.#route(job, peer, decision, now)
    }
    if (no.code === 'busy' && job.goal.to === 'server') return this.#unanswered(job, now)
    this.#fail(job, no, now)
  }

  /** The same correspondent once more: it did answer, only the contract is another one. */
  #again(job: Job, peer: Member, now: Instant): void {
    job.tried.delete(nodeKey(peer.node))
    this.#start(job, now)
  }

  /** The time is up. Where only a relay keeps two ends waiting that may do without, they shall. */
  #late(job: Job, now: Instant): void {
    const { state } = job
    if (state.at !== 'routing' || state.accept === null || state.relaying.at !== 'asking')
      return this.#unanswered(job, now)
    this.#p.legs.release(state.minted.hash, now)
    state.relaying = { ...state.relaying, at: 'done' }
    this.#relayed(job, state, now)
  }

  #unanswered(job: Job, now: Instant): void {
    const { state } = job
    if (state.at !== 'queued') {
      const peer = nodeKey(state.peer.node)
      // Said once while it lasts, not for every name that is asked meanwhile.
      if (this.#suspects.get(peer) !== true) this.#p.log.warn('direction.unanswered', { peer, name: state.peer.name })
      this.#suspects.set(peer, true, after(now, SUSPECT_MILLIS))
      this.#p.counters.count('coordinator.direction.unanswered')
    }
    if (job.goal.to === 'server' && job.tried.size < 2 && now < job.deadline) return this.#start(job, now)
    this.#fail(job, SILENT, now)
  }

  #fail(job: Job, why: Refusal, now: Instant): void {
    for (const transaction of job.waiters) refuse(this.#p, job.initiator, transaction, why, now)
    this.#finish(job, now)
  }

  #finish(job: Job, now: Instant): void {
    this.#leave(job, now)
    if (job.goal.to === 'server') this.#p.pool.cancel(job.initiator, job.goal.name)
    this.#jobs.remove(job)
    this.#unlock(job, now)
    for (const waiter of job.later) this.#ask(job.initiator, waiter, now)
  }

  /** Nobody waits any more for what this job asked, and the relay for its contract is free. */
  #leave(job: Job, now: Instant): void {
    this.#jobs.forget(job)
    const { state } = job
    job.state = { at: 'queued' }
    if (state.at === 'routing') this.#p.legs.release(state.minted.hash, now)
  }

  /** Lets the directions go on that waited for this pair. */
  #unlock(job: Job, now: Instant): void {
    if (!this.#jobs.unlock(job)) return
    for (const waiting of this.#jobs.all())
      if (waiting !== job && waiting.state.at === 'queued' && this.#jobs.has(waiting)) this.#start(waiting, now)
  }
}

const NO_ROUTE = refusal('no-route', 'no common family, or two NATs and no relay')
const NO_RELAY = refusal('no-route', 'no relay takes this path', 5000)
/** Under the 2 s in which a host gets its DNS answer, with room for the way back. */
const DIRECTION_MILLIS: Millis = millis(1600)
const SUSPECT_MILLIS = millis(30_000)
const UNRESOLVED = { ttlSeconds: 0, families: 0 }
const MAX_REMINTS = 3
const MAX_WAITERS = 32
