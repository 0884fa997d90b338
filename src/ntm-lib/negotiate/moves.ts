import { same } from '../base/bytes.ts'
import { after, between, type Instant, type Millis, millis, seconds, sooner } from '../base/time.ts'
import { ROLE_TT } from '../wire/certificate.ts'
import type { Response } from '../wire/message.ts'
import type { DirectionRequest, DirectionResponse } from '../wire/messages/direction.ts'
import type { Path, Tunnels } from './tunnels.ts'

type Move = {
  readonly path: Path
  readonly tag: string
  /** Whether it is ours to repeat; a path that went astray is named again by the tunnels while that lasts. */
  readonly ours: boolean
  tries: number
  /** Null while the coordinator is being asked. */
  askAt: Instant | null
  /** We moved again while it was asked. */
  again: boolean
}

export type MovesOut = { readonly out: 'ask'; readonly tag: string; readonly message: DirectionRequest }

/**
 * Directions nobody waits for: where the peers of standing paths are, after we moved and when one is not heard any more
 * (SEED 002 §4). An answer changes where a path is tried, or brings another contract; a refusal leaves everything as it runs.
 */
export class Moves {
  readonly #tunnels: Tunnels
  readonly #hash: (bytes: Uint8Array) => Uint8Array
  readonly #moves = new Map<string, Move>()
  readonly #out: MovesOut[] = []

  constructor(tunnels: Tunnels, hash: (bytes: Uint8Array) => Uint8Array) {
    this.#tunnels = tunnels
    this.#hash = hash
  }

  has(tag: string): boolean {
    return this.#moves.has(tag)
  }

  /** We are elsewhere: about every path that was in use lately. */
  own(now: Instant): void {
    for (const path of this.#tunnels.paths()) {
      if (!path.isOpen || path.alive === null || between(path.alive.lastInner, now) > IN_USE) continue
      const known = this.#moves.get(tagOf(path))
      // The answer that is on its way may be about where we were.
      if (known?.askAt === null) known.again = true
      else this.#moves.set(tagOf(path), fresh(path, now, true))
    }
    this.tick(now)
  }

  /** Nothing comes from this peer any more. */
  astray(path: Path, now: Instant): void {
    if (this.has(tagOf(path))) return
    this.#moves.set(tagOf(path), fresh(path, now, false))
    this.tick(now)
  }

  onResponse(tag: string, message: Response, now: Instant): void {
    const move = this.#moves.get(tag)
    if (move === undefined) return
    if (message.kind === 'direction-response') this.#directed(move.path, message, now)
    const refused = message.kind === 'refusal' && !FINAL.includes(message.code)
    this.#after(move, refused, now)
  }

  /** The coordinator did not answer. */
  silent(tag: string, now: Instant): void {
    const move = this.#moves.get(tag)
    if (move !== undefined) this.#after(move, true, now)
  }

  gone(path: Path): void {
    this.#moves.delete(tagOf(path))
  }

  tick(now: Instant): void {
    let asking = [...this.#moves.values()].filter((m) => m.askAt === null).length
    for (const move of this.#moves.values()) {
      if (asking >= AT_ONCE) return
      if (move.askAt === null || move.askAt > now) continue
      move.askAt = null
      move.tries++
      asking++
      this.#out.push({ out: 'ask', tag: move.tag, message: question(move.path) })
    }
  }

  deadline(): Instant | null {
    let [first, asking]: [Instant | null, number] = [null, 0]
    for (const m of this.#moves.values()) {
      if (m.askAt === null) asking++
      first = sooner(first, m.askAt)
    }
    // Those that wait for room are asked when an answer makes it.
    return asking >= AT_ONCE ? null : first
  }

  poll(): MovesOut | null {
    return this.#out.shift() ?? null
  }

  #directed(path: Path, { contractHash, moved, route }: DirectionResponse, now: Instant): void {
    if (route !== null && same(this.#hash(route.contract), contractHash)) {
      const { name, roles } = path.peer
      const expected = (roles & ROLE_TT) !== 0 ? { peerName: name, terminatorRequired: true } : { peerName: name }
      this.#tunnels.install(route, expected, now)
    } else if (moved !== null) {
      // Of a contract that is not known here nothing is moved.
      this.#tunnels.relocate(contractHash, moved, now)
    }
  }

  #after(move: Move, failed: boolean, now: Instant): void {
    const retry = failed && move.ours && move.tries < TRIES && move.path.isOpen
    if (!retry && !move.again) this.#moves.delete(move.tag)
    else {
      move.askAt = after(now, move.again ? millis(0) : waitAfter(move.tries))
      move.again = false
    }
    this.tick(now)
  }
}

const fresh = (path: Path, now: Instant, ours: boolean): Move => ({
  path,
  tag: tagOf(path),
  ours,
  tries: 0,
  askAt: now,
  again: false,
})

const question = (path: Path): DirectionRequest => ({
  kind: 'direction-request',
  sought: { by: 'node', node: path.peer.node },
  why: 'moved',
  sources: [],
  lost: new Uint8Array(32),
})

/** 1, 2, 4 … 30 s. */
const waitAfter = (tries: number): Millis => millis(Math.min(30_000, 1000 * 2 ** (tries - 1)))
const tagOf = (path: Path): string => `moved ${path.key}`
/** Traffic within this makes a path worth a question after a move. */
const IN_USE = seconds(30)
/** Questions that may be out at the same time: a busy box that moves must not flood its coordinator. */
const AT_ONCE = 32
/** After about a minute and a half the peer has long been found, or the path is silent. */
const TRIES = 6
/** Asking again would not change these. */
const FINAL: readonly string[] = ['forbidden', 'unknown-name', 'revoked', 'unsupported']
