import { nodeKey } from '#ntm-lib/addr/ids.ts'
import { same } from '#ntm-lib/base/bytes.ts'
import { Expiring } from '#ntm-lib/base/expiring.ts'
import { after, type Instant, type Millis, millis, sooner } from '#ntm-lib/base/time.ts'
import type { ControlPeer, TransactionKey } from '#ntm-lib/negotiate/control-events.ts'
import { lower, type Member, pairKey } from '#ntm-lib/ports/coordinator-store.ts'
import type { Response } from '#ntm-lib/wire/message.ts'
import type {
  DirectionRequest,
  PathAccept,
  PathExtend,
  Route,
  RouteDirection,
} from '#ntm-lib/wire/messages/direction.ts'
import type { Refusal } from '#ntm-lib/wire/messages/refusal.ts'
import type { Minted } from './contracts.ts'
import { admit } from './direction-admit.ts'
import { covers, type Job, type Waiter } from './direction-job.ts'
import { correspondentFor, type DirectionParts, routeTo, SILENT, targetOf, terminatorFor } from './direction-parts.ts'
import { refusal } from './refuse.ts'
import { decideRoute, reachability } from './route.ts'
import { Succession } from './succession.ts'

type Found = Pick<PathAccept, 'ttlSeconds' | 'families'>

/**
 * Directions, in the seeds' order: the correspondent (or terminator) is told first, the initiator only after its answer
 * (SEED 000 §4.2). One contract is made per pair at a time; whoever meets it on the way waits and shares it. Everything
 * half-made is in memory and gone within `DIRECTION_MILLIS`.
 */
export class Directions {
  readonly #p: DirectionParts
  readonly #jobs = new Map<string, Job>()
  readonly #byTag = new Map<string, Job>()
  /** Pair → the job that makes its contract. */
  readonly #locks = new Map<string, Job>()
  readonly #suspects = new Expiring<string, true>(256)
  readonly #succession: Succession
  #tags = 0

  constructor(parts: DirectionParts) {
    this.#p = parts
    this.#succession = new Succession(parts.sessions)
  }

  /** Directions under way; 0 when nothing is half-made. */
  get open(): number {
    return this.#jobs.size
  }

  /** Takes a Direction Request; answered once, by a direction or a refusal, within `DIRECTION_MILLIS`. */
  ask(peer: ControlPeer, transaction: TransactionKey, request: DirectionRequest, now: Instant): void {
    this.#ask(peer.node, { transaction, request, deadline: after(now, DIRECTION_MILLIS) }, now)
  }

  /** Takes the answer to a request of ours; false when nobody waits for this tag. */
  answer(tag: string, message: Response, now: Instant): boolean {
    const job = this.#byTag.get(tag)
    if (job === undefined) return false
    this.#byTag.delete(tag)
    if (message.kind === 'path-accept') this.#accepted(job, message, now)
    else if (message.kind === 'refusal') this.#refused(job, message, now)
    else this.#fail(job, refusal('unsupported', 'the correspondent answered something else'), now)
    return true
  }

  silent(tag: string, now: Instant): boolean {
    const job = this.#byTag.get(tag)
    if (job === undefined) return false
    this.#byTag.delete(tag)
    this.#unanswered(job, now)
    return true
  }

  /** A node's session ended: nobody waits for its answers, nor for ours. */
  gone(node: Member['node'], now: Instant): void {
    const key = nodeKey(node)
    for (const job of [...this.#jobs.values()]) {
      if (this.#jobs.get(job.key) !== job) continue
      if (nodeKey(job.initiator) === key) this.#fail(job, refusal('peer-silent', 'the asking box has gone'), now)
      else if (job.state.at !== 'queued' && nodeKey(job.state.peer.node) === key) {
        this.#byTag.delete(job.state.tag)
        this.#unanswered(job, now)
      }
    }
  }

  tick(now: Instant): void {
    this.#suspects.sweep(now)
    for (const job of [...this.#jobs.values()])
      if (job.deadline <= now && this.#jobs.get(job.key) === job) this.#unanswered(job, now)
    this.#succession.tick(now)
  }

  deadline(): Instant | null {
    let first = sooner(this.#suspects.deadline(), this.#succession.deadline())
    for (const job of this.#jobs.values()) first = sooner(first, job.deadline)
    return first
  }

  #ask(node: Member['node'], waiter: Waiter, now: Instant): void {
    const job = admit(this.#p, node, waiter, this.#jobs)
    if ('code' in job) return this.#refuse(node, waiter.transaction, job, now)
    if (this.#jobs.get(job.key) === job) return this.#join(job, waiter, now)
    this.#jobs.set(job.key, job)
    this.#start(job, now)
  }

  #join(job: Job, waiter: Waiter, now: Instant): void {
    if (job.waiters.length + job.later.length >= MAX_WAITERS)
      return this.#refuse(job.initiator, waiter.transaction, refusal('busy', 'asked too often', 1000), now)
    if (covers(job, waiter.request, same)) job.waiters.push(waiter.transaction)
    else job.later.push(waiter)
  }

  /** Chooses whom to ask and asks; called again for the next correspondent, after a wait, or for a new contract. */
  #start(job: Job, now: Instant): void {
    this.#unlock(job, now)
    if (this.#jobs.get(job.key) !== job) return
    const initiator = this.#p.presences.get(job.initiator)
    const peer = correspondentFor(this.#p, job, (key) => this.#suspects.get(key) === true)
    if ('code' in peer) return this.#fail(job, peer, now)
    if (initiator === null) return this.#fail(job, SILENT, now)
    const there = this.#p.presences.get(peer.node)
    const opener = there === null ? null : decideRoute(reachability(initiator), reachability(there))
    if (opener === null)
      return this.#fail(job, refusal('no-route', 'both ends are behind NATs, or no common family'), now)
    const lock = pairKey(job.initiator, peer.node)
    const row = this.#p.contracts.inForce(job.initiator, peer.node, job.sources, job.lost)
    job.state = { at: 'queued' }
    if (this.#mustWait(job, lock, row !== null)) return
    if (row === null) {
      job.lock = lock
      this.#locks.set(lock, job)
      return this.#route(job, peer, opener, now)
    }
    if (job.goal.to === 'node' && this.#succession.isFresh(row.hash))
      return this.#answered(job, peer, row.hash, null, UNRESOLVED, now)
    const tag = this.#tag(job)
    job.state = { at: 'extending', peer, hash: row.hash, tag }
    const target = targetOf(job, UNRESOLVED)
    const leaseSeconds = this.#p.settings.leaseSeconds
    this.#request(job, peer, tag, { kind: 'path-extend', contractHash: row.hash, target, leaseSeconds }, now)
  }

  /** Where two directions of one pair cross, the lower Node ID's goes on and the other waits for its contract. */
  #mustWait(job: Job, lock: string, standing: boolean): boolean {
    const holder = this.#locks.get(lock)
    if (holder === undefined || holder === job) return false
    const crossing = nodeKey(holder.initiator) !== nodeKey(job.initiator)
    if (standing || !crossing || !lower(job.initiator, holder.initiator)) return true
    if (holder.state.at !== 'queued') {
      this.#byTag.delete(holder.state.tag)
      holder.tried.delete(nodeKey(holder.state.peer.node))
    }
    holder.state = { at: 'queued' }
    holder.lock = null
    this.#locks.delete(lock)
    this.#p.counters.count('coordinator.direction.crossed')
    return false
  }

  #route(job: Job, peer: Member, opener: Minted['opener'], now: Instant): void {
    const initiator = this.#p.store.member(job.initiator)
    if (initiator === null) return this.#fail(job, SILENT, now)
    const minted = this.#p.contracts.mint(initiator, peer, opener)
    const tag = this.#tag(job)
    job.state = { at: 'routing', peer, minted, tag }
    const route = routeTo(this.#p, initiator, minted, opener === 'correspondent')
    this.#request(job, peer, tag, { kind: 'route-direction', route, target: targetOf(job, UNRESOLVED) }, now)
  }

  #request(job: Job, peer: Member, tag: string, message: RouteDirection | PathExtend, now: Instant): void {
    job.tried.add(nodeKey(peer.node))
    this.#byTag.set(tag, job)
    const left = Math.max(1, job.deadline - now)
    const another = job.goal.to === 'server' && terminatorFor(this.#p, job, () => false) !== null
    const patience = millis(another ? Math.min(left, FIRST_TRY_MILLIS) : left)
    if (this.#p.sessions.request(peer.node, tag, message, patience, now)) return
    this.#byTag.delete(tag)
    this.#unanswered(job, now)
  }

  #accepted(job: Job, accept: PathAccept, now: Instant): void {
    const { state } = job
    if (state.at === 'queued') return
    const { store, contracts, pool, calendar } = this.#p
    const hash = state.at === 'routing' ? state.minted.hash : state.hash
    const row = store.contract(job.initiator, state.peer.node)
    // Another contract came into force while the correspondent answered for the old one.
    if (state.at === 'extending' && (row === null || !same(row.hash, hash))) return this.#again(job, state.peer, now)
    const settle = store.transaction(() => {
      if (state.at === 'routing') contracts.enact(job.initiator, state.peer.node, state.minted)
      else if (row !== null) contracts.prolong(row)
      if (job.goal.to !== 'server') return null
      return pool.commit(job.initiator, job.goal.name, accept.ttlSeconds, calendar.today())
    })
    settle?.()
    if (state.at === 'routing') {
      if (row !== null) this.#succession.superseded([job.initiator, state.peer.node], row.hash, now)
      this.#succession.enacted(hash, now)
    }
    const opens = state.at === 'routing' && state.minted.opener === 'initiator'
    const route = state.at === 'routing' ? routeTo(this.#p, state.peer, state.minted, opens) : null
    this.#answered(job, state.peer, hash, route, accept, now)
  }

  #answered(job: Job, peer: Member, hash: Uint8Array, route: Route | null, found: Found, now: Instant): void {
    const how = route === null ? 'standing' : 'new'
    this.#p.counters.count(`coordinator.direction.${how}`)
    this.#p.directed(job, peer, how)
    const target = targetOf(job, found)
    for (const transaction of job.waiters)
      this.#p.sessions.respond(
        transaction,
        { kind: 'direction-response', contractHash: hash, route, moved: null, target },
        now,
      )
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
      return this.#route(job, state.peer, state.minted.opener, now)
    }
    if (no.code === 'busy' && job.goal.to === 'server') return this.#unanswered(job, now)
    this.#fail(job, no, now)
  }

  /** The same correspondent once more: it did answer, only the contract is another one. */
  #again(job: Job, peer: Member, now: Instant): void {
    job.tried.delete(nodeKey(peer.node))
    this.#start(job, now)
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
    for (const transaction of job.waiters) this.#refuse(job.initiator, transaction, why, now)
    this.#finish(job, now)
  }

  #finish(job: Job, now: Instant): void {
    if (job.state.at !== 'queued') this.#byTag.delete(job.state.tag)
    if (job.goal.to === 'server') this.#p.pool.cancel(job.initiator, job.goal.name)
    this.#jobs.delete(job.key)
    this.#unlock(job, now)
    for (const waiter of job.later) this.#ask(job.initiator, waiter, now)
  }

  /** Lets the directions go on that waited for this pair. */
  #unlock(job: Job, now: Instant): void {
    const { lock } = job
    if (lock === null) return
    job.lock = null
    if (this.#locks.get(lock) === job) this.#locks.delete(lock)
    for (const waiting of [...this.#jobs.values()])
      if (waiting !== job && waiting.state.at === 'queued' && this.#jobs.get(waiting.key) === waiting)
        this.#start(waiting, now)
  }

  #refuse(node: Member['node'], transaction: TransactionKey, why: Refusal, now: Instant): void {
    this.#p.counters.count(`coordinator.refused.${why.code}`)
    const fields = { node: nodeKey(node), code: why.code, why: why.text }
    this.#p.log[why === SILENT ? 'debug' : 'info']('direction.refused', fields)
    this.#p.sessions.respond(transaction, why, now)
  }

  #tag(job: Job): string {
    return `direction ${++this.#tags} ${job.key}`
  }
}

/** Under the 2 s in which a host gets its DNS answer, with room for the way back. */
const DIRECTION_MILLIS: Millis = millis(1600)
const FIRST_TRY_MILLIS = 800
const SUSPECT_MILLIS = millis(30_000)
const UNRESOLVED: Found = { ttlSeconds: 0, families: 0 }
const MAX_REMINTS = 3
const MAX_WAITERS = 32
