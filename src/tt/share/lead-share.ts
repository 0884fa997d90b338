import { between, type Instant, instant, millis } from '#ntm-lib/base/time.ts'
import { UDP } from '#ntm-lib/packet/protocol.ts'
import { type Flow, type FlowWatch, stands } from '../flows.ts'
import { SEEN_FIN_IN, SEEN_FIN_OUT, SEEN_RST } from '../packet-shape.ts'
import { copyOf, type FlowCopy, type ToFollower, USE_WORD, USED_IN, USED_OUT } from './flow-copy.ts'

/** A flow that a follower was told of. */
type Shared = {
  readonly id: number
  readonly flow: Flow
  /** When each follower was last offered it, or `NEVER`. */
  readonly offeredAt: Instant[]
  /** Packets of it that followers handed over. */
  handed: number
}

type Waiting = { offers: FlowCopy[]; voids: number[] }

export type LeadShareParts = {
  /** `FlowTable.used`. */
  readonly use: (flow: Flow, outbound: boolean, inbound: boolean, now: Instant) => void
  /** `EgressPolicy.version`. */
  readonly policy: { readonly version: number }
  /** Workers beside the lead, numbered from 0. */
  readonly followers: number
}

/**
 * The lead's half of sharing flows out. Who handed a packet of a flow that stands is told that it may carry the flow by itself, and told again
 * when the flow goes. What is to be told is fetched with `poll`.
 */
export class LeadShare implements FlowWatch {
  readonly #p: LeadShareParts
  readonly #byFlow = new Map<Flow, Shared>()
  readonly #byId = new Map<number, Shared>()
  readonly #waiting: Waiting[]
  #lastId = 0

  constructor(parts: LeadShareParts) {
    this.#p = parts
    this.#waiting = Array.from({ length: parts.followers }, () => ({ offers: [], voids: [] }))
  }

  /** Flows that some follower was offered. */
  get size(): number {
    return this.#byId.size
  }

  /** Follower `who` handed a packet of `flow` over, and it was treated: it is offered the flow, if that one may be shared. */
  handed(who: number, flow: Flow, now: Instant): void {
    if (!stands(flow) || flow.allowedBy !== this.#p.policy.version) return
    const shared = this.#byFlow.get(flow) ?? this.#share(flow)
    shared.handed++
    // One question and its answer are no flow worth telling of.
    if (flow.edge.protocol === UDP && !flow.answered && shared.handed < 2) return
    const before = shared.offeredAt[who] ?? NEVER
    // It gave the flow up, or it does not know yet; if it gave it up it had a reason, which often comes again at once.
    if (before !== NEVER && between(before, now) < OFFER_AGAIN) return
    shared.offeredAt[who] = now
    this.#waiting[who]?.offers.push(copyOf(flow, shared.id))
  }

  /** Follower `who` carried packets of these flows. Their timers go on and their ends are noted; the answer renews what may go on. */
  used(who: number, words: Float64Array, now: Instant): ToFollower | null {
    const renewed: number[] = []
    for (const word of words) {
      const shared = this.#byId.get(Math.floor(word / USE_WORD))
      if (shared === undefined) continue
      const { flow, id, offeredAt } = shared
      flow.seen |= word & ENDS
      this.#p.use(flow, (word & USED_OUT) !== 0, (word & USED_IN) !== 0, now)
      if (flow.allowedBy === this.#p.policy.version && offeredAt[who] !== NEVER) renewed.push(id)
    }
    return renewed.length === 0 ? null : { renewed: Float64Array.from(renewed) }
  }

  /** What follower `who` is to be told now; null when nothing. */
  poll(who: number): ToFollower | null {
    const waiting = this.#waiting[who]
    if (waiting === undefined || (waiting.offers.length === 0 && waiting.voids.length === 0)) return null
    const { offers, voids } = waiting
    waiting.offers = []
    waiting.voids = []
    return { offers, voids }
  }

  opened(): void {}

  closed(flow: Flow): void {
    const shared = this.#byFlow.get(flow)
    if (shared === undefined) return
    this.#byFlow.delete(flow)
    this.#byId.delete(shared.id)
    for (const [who, at] of shared.offeredAt.entries()) if (at !== NEVER) this.#waiting[who]?.voids.push(shared.id)
  }

  #share(flow: Flow): Shared {
    const offeredAt = Array.from({ length: this.#p.followers }, () => NEVER)
    const shared = { id: ++this.#lastId, flow, offeredAt, handed: 0 }
    this.#byFlow.set(flow, shared)
    this.#byId.set(shared.id, shared)
    return shared
  }
}

const ENDS = SEEN_FIN_OUT | SEEN_FIN_IN | SEEN_RST
const NEVER = instant(Number.NEGATIVE_INFINITY)
const OFFER_AGAIN = millis(250)
