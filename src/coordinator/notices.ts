import { type NodeId, nodeKey } from '#ntm-lib/addr/ids.ts'
import { Expiring } from '#ntm-lib/base/expiring.ts'
import { hex } from '#ntm-lib/base/hex.ts'
import { after, type Instant } from '#ntm-lib/base/time.ts'
import { TIMERS } from '#ntm-lib/negotiate/timers.ts'
import type { Counters } from '#ntm-lib/ports/counters.ts'
import type { Calendar } from '#ntm-lib/ports/machine.ts'
import type { Contracts } from './contracts.ts'
import type { Ends } from './ends.ts'
import type { RelayLegs } from './relay-legs.ts'
import type { CoordinatorSettings } from './settings.ts'
import { whereaboutsFor } from './whereabouts.ts'

export type NoticesParts = {
  readonly ends: Ends
  readonly contracts: Contracts
  readonly legs: RelayLegs
  readonly calendar: Calendar
  readonly counters: Counters
  readonly settings: Pick<CoordinatorSettings, 'optimise'>
}

/**
 * Peer Moved (SEED 002 §4): says to one end of a contract where the other is now. For an end that is between two networks
 * it is kept for 30 s, and then says what is true when it comes back.
 */
export class Notices {
  readonly #p: NoticesParts
  readonly #kept = new Expiring<string, { readonly to: NodeId; readonly hash: Uint8Array }>(8192)
  #tags = 0

  constructor(parts: NoticesParts) {
    this.#p = parts
  }

  /** Notices for ends that cannot be told now. */
  get kept(): number {
    return this.#kept.size
  }

  tell(to: NodeId, hash: Uint8Array, now: Instant): void {
    const { contracts, ends, legs, calendar, settings } = this.#p
    const standing = contracts.standing(hash)
    if (standing === null) return
    const { opener, acceptor } = standing.contract
    const peer = nodeKey(to) === nodeKey(opener) ? acceptor : opener
    const question = { end: to, peer, legs: legs.of(hash), ends, optimise: settings.optimise, today: calendar.today() }
    const message = { kind: 'peer-moved', contractHash: hash, whereabouts: whereaboutsFor(question) } as const
    this.#p.counters.count('coordinator.peer-moved')
    const patience = TIMERS.queuedDirection.millis
    if (!ends.tell(to, `${NOTICE}${++this.#tags}`, message, patience, now))
      this.#kept.set(`${nodeKey(to)} ${hex(hash)}`, { to, hash }, after(now, patience))
  }

  /** An end is there again. */
  wake(node: NodeId, now: Instant): void {
    if (this.#kept.size === 0) return
    const own = [...this.#kept.entries()].filter(([, { to }]) => nodeKey(to) === nodeKey(node))
    for (const [key, { to, hash }] of own) {
      this.#kept.delete(key)
      this.tell(to, hash, now)
    }
  }

  tick(now: Instant): void {
    this.#kept.sweep(now)
  }

  deadline(): Instant | null {
    return this.#kept.deadline()
  }
}

/** What the tags of notices begin with: nobody waits for their answers. */
export const NOTICE = 'notice '
