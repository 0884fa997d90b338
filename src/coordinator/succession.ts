import { type NodeId, nodeKey } from '#ntm-lib/addr/ids.ts'
import { Expiring } from '#ntm-lib/base/expiring.ts'
import { hex } from '#ntm-lib/base/hex.ts'
import { after, type Instant, seconds, sooner } from '#ntm-lib/base/time.ts'
import { TIMERS } from '#ntm-lib/negotiate/timers.ts'
import type { RelayLegs } from './relay-legs.ts'
import type { Sessions } from './sessions.ts'

type Old = { readonly node: NodeId; readonly hash: Uint8Array }

/**
 * What follows a new contract. For a while it is known to be fresh: both ends were just told. Contracts that gave way to
 * a newer one of their pair stay until that one has had its time to open; then the ends are told to close them, so that
 * one path per pair is left.
 */
export class Succession {
  readonly #sessions: Pick<Sessions, 'request'>
  readonly #old = new Expiring<string, Old>(8192)

  readonly #fresh = new Expiring<string, true>(8192)

  readonly #legs: Pick<RelayLegs, 'release'>

  constructor(sessions: Pick<Sessions, 'request'>, legs: Pick<RelayLegs, 'release'>) {
    this.#sessions = sessions
    this.#legs = legs
  }

  enacted(hash: Uint8Array, now: Instant): void {
    this.#fresh.set(hex(hash), true, after(now, TIMERS.provisional.millis))
  }

  isFresh(hash: Uint8Array): boolean {
    return this.#fresh.get(hex(hash)) === true
  }

  superseded(nodes: readonly NodeId[], hash: Uint8Array, now: Instant): void {
    for (const node of nodes)
      this.#old.set(`${nodeKey(node)} ${hex(hash)}`, { node, hash }, after(now, TIMERS.provisional.millis))
  }

  tick(now: Instant): void {
    this.#fresh.sweep(now)
    // Unanswered is fine: a box that is away has lost the path too.
    for (const [, { node, hash }] of this.#old.sweep(now)) {
      const close = { kind: 'path-close', contractHash: hash, reason: 'replaced' } as const
      this.#sessions.request(node, 'close', close, PATIENCE, now)
      this.#legs.release(hash, now)
    }
  }

  deadline(): Instant | null {
    return sooner(this.#old.deadline(), this.#fresh.deadline())
  }
}

const PATIENCE = seconds(5)
