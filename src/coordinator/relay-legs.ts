import type { Endpoint } from '#ntm-lib/addr/endpoint.ts'
import { type NodeId, nodeKey } from '#ntm-lib/addr/ids.ts'
import { Expiring } from '#ntm-lib/base/expiring.ts'
import { hex } from '#ntm-lib/base/hex.ts'
import { after, type Instant, millis, seconds, sooner, type WallTime } from '#ntm-lib/base/time.ts'
import { TIMERS } from '#ntm-lib/negotiate/timers.ts'
import type { Counters } from '#ntm-lib/ports/counters.ts'
import type { Log } from '#ntm-lib/ports/log.ts'
import type { Calendar, Random } from '#ntm-lib/ports/machine.ts'
import type { Contract } from '#ntm-lib/wire/contract.ts'
import type { Response } from '#ntm-lib/wire/message.ts'
import type { Presence, PresenceTable } from './presence.ts'
import { chooseRelay, relayEndpoints } from './relay-choice.ts'
import type { Sessions } from './sessions.ts'
import type { CoordinatorSettings } from './settings.ts'

/** A contract that wants a relay. */
export type Wanted = {
  readonly hash: Uint8Array
  readonly contract: Contract
  /** Until when the relay keeps the path. */
  readonly until: WallTime
}

/** Two legs of one path at a relay. The keys are only ever here, at the relay, and each at its own end. */
export type Legs = Wanted & {
  readonly relay: NodeId
  readonly endpoints: readonly Endpoint[]
  readonly openerKey: Uint8Array
  readonly acceptorKey: Uint8Array
}

export type RelayLegsParts = {
  readonly sessions: Sessions
  readonly presences: PresenceTable
  /** Where an end is, of whatever zone. */
  readonly locate: (node: NodeId) => Presence | null
  readonly random: Random
  readonly calendar: Calendar
  readonly log: Log
  readonly counters: Counters
  readonly settings: Pick<CoordinatorSettings, 'relayed'>
}

export type Wish = {
  /** The legs the path has: kept when their relay is chosen again and knows them still. */
  readonly current: Legs | null
  /** An end gets nothing through that relay: another one if there is any. */
  readonly avoid: boolean
}

/** `legs` null: no relay took the path. */
type Done = (legs: Legs | null, now: Instant) => void
type Task = Wish & {
  readonly wanted: Wanted
  readonly done: Done[]
  readonly tried: Set<string>
  legs: Legs
  tag: string
}

/**
 * Relay Directions, and which relay has which path (SEED 002 §3.3: Path ID and key go to the relay before an end comes).
 * In memory only: after a restart legs are made anew when somebody asks. A relay that refuses or is silent for
 * `PATIENCE` is followed by the next one.
 */
export class RelayLegs {
  readonly #p: RelayLegsParts
  readonly #legs = new Map<string, Legs>()
  readonly #tasks = new Map<string, Task>()
  readonly #byTag = new Map<string, Task>()
  /** Relay Directions under way that nobody wants any more, by tag. */
  readonly #unwanted = new Map<string, Legs>()
  readonly #suspects = new Expiring<string, true>(256)
  /** Legs that gave way: released when their ends have had time to leave. */
  readonly #old = new Expiring<string, Legs>(8192)
  #tags = 0
  #swept: Instant | null = null

  constructor(parts: RelayLegsParts) {
    this.#p = parts
  }

  /** Relay Directions under way. */
  get open(): number {
    return this.#tasks.size + this.#unwanted.size
  }

  /** Paths that have legs. */
  get size(): number {
    return this.#legs.size
  }

  of(hash: Uint8Array): Legs | null {
    return this.#legs.get(hex(hash)) ?? null
  }

  /** Paths through one relay. */
  at(relay: NodeId): Legs[] {
    return [...this.#legs.values()].filter((l) => nodeKey(l.relay) === nodeKey(relay))
  }

  /**
   * Asks a relay for this path. What comes back is what will be if the first relay says yes, and may be told to an end
   * already; `done` is called once with what came of it. Null, without `done`: there is no relay for these ends.
   */
  make(wanted: Wanted, wish: Wish, done: Done, now: Instant): Legs | null {
    const running = this.#tasks.get(hex(wanted.hash))
    if (running !== undefined) {
      running.done.push(done)
      return running.legs
    }
    const task = { ...wish, wanted, done: [done], tried: new Set<string>() }
    const asked = this.#ask(task, now)
    if (asked === null) return null
    const made: Task = { ...task, ...asked }
    this.#tasks.set(hex(wanted.hash), made)
    this.#byTag.set(made.tag, made)
    return made.legs
  }

  /** Takes a relay's answer; false when nobody waits for this tag. */
  answer(tag: string, message: Response, now: Instant): boolean {
    const task = this.#take(tag)
    if (task === null) return this.#forgo(tag, message.kind === 'relay-accept', now)
    if (message.kind === 'relay-accept') {
      this.#p.presences.putLoad(task.legs.relay, message.loadPercent)
      const endpoints = message.endpoints.length > 0 ? message.endpoints : task.legs.endpoints
      this.#settle(task, { ...task.legs, endpoints }, now)
      return true
    }
    const code = message.kind === 'refusal' ? message.code : 'unsupported'
    this.#p.counters.count(`coordinator.relay.${code}`)
    this.#p.log.warn('relay.refused', { relay: nodeKey(task.legs.relay), code })
    this.#next(task, now)
    return true
  }

  silent(tag: string, now: Instant): boolean {
    const task = this.#take(tag)
    if (task === null) return this.#forgo(tag, true, now)
    const relay = nodeKey(task.legs.relay)
    // Said once while it lasts.
    if (this.#suspects.get(relay) !== true) this.#p.log.warn('relay.unanswered', { relay })
    this.#p.counters.count('coordinator.relay.unanswered')
    this.#suspects.set(relay, true, after(now, SUSPECT))
    this.#old.set(legsKey(task.legs), task.legs, after(now, TIMERS.provisional.millis))
    this.#next(task, now)
    return true
  }

  /** The path is over: its relay forgets it at once (attack test 12). */
  release(hash: Uint8Array, now: Instant): void {
    const key = hex(hash)
    const [task, legs] = [this.#tasks.get(key), this.#legs.get(key)]
    this.#tasks.delete(key)
    this.#legs.delete(key)
    if (task !== undefined) {
      // Its Relay Direction is on the way, and a later copy would come after a release: that waits for the answer.
      this.#byTag.delete(task.tag)
      this.#unwanted.set(task.tag, task.legs)
    }
    if (legs !== undefined) this.#send(legs, now)
  }

  /** The contract lasts longer: its relay is told, and not waited for. */
  prolong(hash: Uint8Array, until: WallTime, now: Instant): void {
    const legs = this.of(hash)
    if (legs === null) return
    const longer = { ...legs, until }
    this.#legs.set(hex(hash), longer)
    this.#p.sessions.request(legs.relay, UNAWAITED, this.#direction(longer), seconds(10), now)
  }

  /** The relay has lost the path, or is lost itself: nothing is left to be released. */
  drop(hash: Uint8Array): void {
    this.#legs.delete(hex(hash))
  }

  tick(now: Instant): void {
    this.#suspects.sweep(now)
    for (const [, old] of this.#old.sweep(now)) if (!this.#uses(old)) this.#send(old, now)
    if (this.#swept !== null && now < after(this.#swept, SWEEP)) return
    this.#swept = now
    const today = this.#p.calendar.today()
    for (const [key, legs] of this.#legs) if (legs.until <= today) this.#legs.delete(key)
  }

  deadline(): Instant | null {
    return sooner(this.#suspects.deadline(), this.#old.deadline())
  }

  #next(task: Task, now: Instant): void {
    const asked = task.tried.size < MAX_TRIES ? this.#ask(task, now) : null
    if (asked === null) return this.#settle(task, null, now)
    Object.assign(task, asked)
    this.#byTag.set(task.tag, task)
  }

  #ask(task: Pick<Task, 'wanted' | 'current' | 'avoid' | 'tried'>, now: Instant): Pick<Task, 'legs' | 'tag'> | null {
    for (;;) {
      const relay = this.#choose(task)
      if (relay === null) return null
      task.tried.add(nodeKey(relay.node))
      const { current, wanted } = task
      const again = current !== null && nodeKey(current.relay) === nodeKey(relay.node)
      const legs = again ? { ...current, ...wanted } : this.#fresh(wanted, relay)
      const tag = `relay ${++this.#tags}`
      if (this.#p.sessions.request(relay.node, tag, this.#direction(legs), PATIENCE, now)) return { legs, tag }
    }
  }

  #choose({ wanted, current, avoid, tried }: Pick<Task, 'wanted' | 'current' | 'avoid' | 'tried'>): Presence | null {
    const { presences, sessions, calendar } = this.#p
    const key = current === null ? null : nodeKey(current.relay)
    return chooseRelay({
      ends: [wanted.contract.opener, wanted.contract.acceptor].flatMap((n) => this.#p.locate(n) ?? []),
      present: presences.all().filter((p) => sessions.peer(p.node) !== null),
      today: calendar.today(),
      tried,
      suspect: (k) => this.#suspects.get(k) === true || (avoid && k === key),
      current: key,
    })
  }

  #fresh(wanted: Wanted, relay: Presence): Legs {
    const [openerKey, acceptorKey] = [this.#p.random.bytes(32), this.#p.random.bytes(32)]
    return { ...wanted, relay: relay.node, endpoints: relayEndpoints(relay), openerKey, acceptorKey }
  }

  #direction({ contract, openerKey, acceptorKey, until }: Legs) {
    const leaseSeconds = Math.max(1, Math.ceil((until - this.#p.calendar.today()) / 1000))
    const { relayed } = this.#p.settings
    return {
      ...({ kind: 'relay-direction', pathIds: contract.pathIds, openerKey, acceptorKey } as const),
      ...{ ...relayed, leaseSeconds },
    }
  }

  #settle(task: Task, legs: Legs | null, now: Instant): void {
    const key = hex(task.wanted.hash)
    this.#tasks.delete(key)
    const before = this.#legs.get(key)
    if (legs !== null) {
      this.#legs.set(key, legs)
      if (before !== undefined && nodeKey(before.relay) !== nodeKey(legs.relay))
        this.#old.set(legsKey(before), before, after(now, TIMERS.provisional.millis))
    }
    for (const done of task.done) done(legs, now)
  }

  #uses(old: Legs): boolean {
    const key = hex(old.hash)
    const [task, legs] = [this.#tasks.get(key)?.legs, this.#legs.get(key)]
    return [task, legs].some((l) => l !== undefined && nodeKey(l.relay) === nodeKey(old.relay))
  }

  #take(tag: string): Task | null {
    const task = this.#byTag.get(tag) ?? null
    this.#byTag.delete(tag)
    return task
  }

  /** The answer to what nobody wants; `has`: the relay may have the path. */
  #forgo(tag: string, has: boolean, now: Instant): boolean {
    const legs = this.#unwanted.get(tag)
    this.#unwanted.delete(tag)
    if (legs !== undefined && has && !this.#uses(legs)) this.#send(legs, now)
    return legs !== undefined
  }

  #send({ relay, contract }: Legs, now: Instant): void {
    const [pathId] = contract.pathIds
    this.#p.sessions.request(relay, UNAWAITED, { kind: 'relay-release', pathId }, seconds(10), now)
  }
}

const legsKey = (l: Legs): string => `${hex(l.hash)} ${nodeKey(l.relay)}`
/** The tag of what is said to relays without waiting for an answer. */
export const UNAWAITED = 'unawaited'
const PATIENCE = millis(400)
const MAX_TRIES = 3
const SUSPECT = seconds(30)
const SWEEP = seconds(60)
