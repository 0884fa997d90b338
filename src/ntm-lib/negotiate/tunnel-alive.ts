import { after, type Instant, millis, sooner } from '../base/time.ts'
import { CELLS } from './mirror.ts'
import { LIMITS, TIMERS } from './timers.ts'

/** A row's cells as a path starts with them: nothing sent, nothing outstanding, nothing counted. */
export function startCells(cells: Float64Array, now: Instant): void {
  cells.fill(0)
  cells[CELLS.lastSent] = now
  cells[CELLS.lastInner] = now
  cells[CELLS.unansweredSince] = Number.NaN
  cells[CELLS.owedSince] = Number.NaN
}

/**
 * What a path remembers to know whether anybody is there. What every packet touches lies in cells: packet workers write
 * them too, without a word (`mirror.ts`). Null = nothing of the kind is outstanding.
 */
export class Alive {
  readonly #cells: Float64Array
  /** The silence that the rest is about, by the moment it began. */
  #about: Instant | null = null
  #challenges = 0
  /** When the next challenge is due, or the next call for help. */
  #nextAt: Instant | null = null
  /** Since when the peer is astray, and how often that was said. */
  #astraySince: Instant | null = null
  #astrays = 0
  #silent = false

  constructor(cells: Float64Array) {
    this.#cells = cells
  }

  get lastSent(): Instant {
    return (this.#cells[CELLS.lastSent] ?? 0) as Instant
  }

  set lastSent(at: Instant) {
    this.#cells[CELLS.lastSent] = at
  }

  /** Newest inner packet either way. */
  get lastInner(): Instant {
    return (this.#cells[CELLS.lastInner] ?? 0) as Instant
  }

  set lastInner(at: Instant) {
    this.#cells[CELLS.lastInner] = at
  }

  /** First inner packet we sent that nothing has answered. */
  get unansweredSince(): Instant | null {
    return orNull(this.#cells[CELLS.unansweredSince])
  }

  set unansweredSince(at: Instant | null) {
    this.#cells[CELLS.unansweredSince] = at ?? Number.NaN
  }

  /** First inner packet we received since we last sent anything. */
  get owedSince(): Instant | null {
    return orNull(this.#cells[CELLS.owedSince])
  }

  set owedSince(at: Instant | null) {
    this.#cells[CELLS.owedSince] = at ?? Number.NaN
  }

  /** The peer did not answer the challenges of the silence that still lasts. */
  get astray(): boolean {
    this.#settle()
    return this.#astraySince !== null
  }

  /** Nor did it for long after. */
  get silent(): boolean {
    this.#settle()
    return this.#silent
  }

  /** When the next step of a silence is due. */
  get nextStep(): Instant | null {
    this.#settle()
    if (this.#silent || this.#about === null) return null
    return this.#nextAt ?? after(this.#about, TIMERS.silence.millis)
  }

  /** A step is due: three challenges, then calls for help that become rarer, then the peer is silent. */
  step(now: Instant): 'challenge' | 'astray' | 'silent' {
    this.#settle()
    if (this.#challenges < LIMITS.challenges) {
      this.#challenges++
      this.#nextAt = after(now, TIMERS.challenge.millis)
      return 'challenge'
    }
    this.#astraySince ??= now
    const end = after(this.#astraySince, TIMERS.astrayGiveUp.millis)
    if (now >= end) {
      this.#silent = true
      return 'silent'
    }
    const wait = Math.min(TIMERS.astray1.millis * 2 ** this.#astrays++, TIMERS.astrayMost.millis)
    this.#nextAt = sooner(after(now, millis(wait)), end)
    return 'astray'
  }

  /** Another silence, or none: a worker has seen an answer since. No silence is challenged within 3 s of the last, so moments tell them apart. */
  #settle(): void {
    const since = this.unansweredSince
    if (since === this.#about) return
    this.#about = since
    this.#challenges = 0
    this.#nextAt = null
    this.#astraySince = null
    this.#astrays = 0
    this.#silent = false
  }
}

/** Fresh, in cells of its own unless told otherwise. */
export function alive(now: Instant, cells: Float64Array = new Float64Array(CELLS.words)): Alive {
  startCells(cells, now)
  return new Alive(cells)
}

export function onSent(a: Alive, inner: boolean, now: Instant): void {
  a.lastSent = now
  a.owedSince = null
  if (!inner) return
  a.lastInner = now
  a.unansweredSince ??= now
}

export function onReceived(a: Alive, inner: boolean, now: Instant): void {
  a.unansweredSince = null
  if (!inner) return
  a.lastInner = now
  a.owedSince ??= now
}

export type AliveOutput = 'idle' | 'challenge' | 'astray' | 'silent' | 'keep-alive' | null

/** The next thing to do now; call again until null. `keeps`: we may sit behind a NAT whose mapping is ours to keep. */
export function aliveClock(a: Alive, keeps: boolean, now: Instant): AliveOutput {
  if (now >= after(a.lastInner, TIMERS.idle.millis)) return 'idle'
  const stepAt = a.nextStep
  if (stepAt !== null && now >= stepAt) return a.step(now)
  return now >= keepAliveAt(a, keeps) ? 'keep-alive' : null
}

export function aliveDeadline(a: Alive, keeps: boolean): Instant | null {
  return sooner(sooner(after(a.lastInner, TIMERS.idle.millis), a.nextStep), keepAliveAt(a, keeps))
}

function keepAliveAt(a: Alive, keeps: boolean): Instant {
  const passive = a.owedSince === null ? null : after(a.owedSince, TIMERS.passiveKeepAlive.millis)
  const nat = keeps ? after(a.lastSent, TIMERS.natKeepAlive.millis) : null
  return sooner(passive, nat) ?? (Number.POSITIVE_INFINITY as Instant)
}

const orNull = (cell: number | undefined): Instant | null =>
  cell === undefined || Number.isNaN(cell) ? null : (cell as Instant)
