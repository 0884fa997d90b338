import type { ThreadLink } from '#io/thread-link.ts'
import type { Instant } from '#ntm-lib/base/time.ts'
import type { Counters } from '#ntm-lib/ports/counters.ts'
import type { Clock } from '#ntm-lib/ports/machine.ts'
import { type SuperBatch, slotAt, superBatch } from '#ntm-lib/ports/packet-port.ts'
import type { FlowNode } from '#tt/flow-node.ts'
import type { ToFollower, ToLead } from '#tt/share/flow-copy.ts'
import { FollowCache, type Held } from '#tt/share/follow-cache.ts'
import { FollowTraffic } from '#tt/share/follow-traffic.ts'
import type { Customers } from './tt-customers.ts'
import { FROM_EDGE, FROM_TUNNEL } from './tt-lead.ts'
import { TtLoop, type TtLoopParts } from './tt-loop.ts'

export type TtFollowParts = Omit<TtLoopParts, 'onRound'> & {
  /** To the lead. */
  readonly link: Pick<ThreadLink, 'serve' | 'hand' | 'tell' | 'flush' | 'isSettled' | 'settle'>
  readonly customers: Pick<Customers, 'at' | 'nodeOf'>
  readonly counters: Counters
  readonly clock: Clock
}

/** A follower's packets: the loop, the flows it carries by itself, and its end of the link. */
export class TtFollow {
  readonly loop: TtLoop<FollowTraffic>
  readonly #p: TtFollowParts
  readonly #cache: FollowCache
  /** For packets that were held; made when there are any. */
  #batch: SuperBatch | null = null
  /** How often the egress policy changed. */
  #version = 0
  /** Bytes handed over since the lead had taken everything. */
  #ahead = 0

  constructor(parts: TtFollowParts) {
    this.#p = parts
    const hand = (row: number, bytes: Uint8Array, gso: number): void => {
      this.#ahead += bytes.length
      // A connection ends before another one of the same ports begins.
      this.#tellEnds()
      parts.link.hand(row === 0 ? FROM_EDGE : FROM_TUNNEL, row, bytes, 0, bytes.length, gso)
    }
    this.#cache = new FollowCache(parts.seed, hand)
    this.loop = new TtLoop(
      { ...parts, onRound: () => this.endRound() },
      (crossing) => new FollowTraffic(crossing, this.#cache, hand),
    )
    parts.link.serve({ packets: () => {}, word: (word) => this.#word(word as ToFollower) })
  }

  get flows(): number {
    return this.#cache.size
  }

  /** What went on by itself has left: now what was handed over leaves, so that it stays behind. Where the lead is slow, it is waited for. */
  endRound(): void {
    const { link } = this.#p
    this.#leave()
    if (link.isSettled) this.#ahead = 0
    else if (this.#ahead > MOST_AHEAD) {
      this.#ahead = 0
      link.settle()
    }
  }

  /** Other places are allowed now: the lead judges every flow anew. */
  policyChanged(): void {
    this.#version++
    this.#cache.clear()
    this.#leave()
  }

  removeNode(node: FlowNode): void {
    this.#cache.removeNode(node)
  }

  /** Once a second. */
  tick(now: Instant): void {
    const used = this.#cache.tick(now)
    if (used !== null) this.#p.link.tell({ used } satisfies ToLead)
    this.#leave()
  }

  #word({ offers = [], voids = [], renewed, passed }: ToFollower): void {
    const { clock, customers } = this.#p
    const now = clock.now()
    for (const copy of offers) {
      const node = customers.nodeOf(copy.peer)
      // What an older policy let through, the lead offers again when it has seen it by the new one.
      if (node !== null && copy.version >= this.#version) this.#cache.offer(copy, node, now)
    }
    for (const id of voids) this.#cache.void(id)
    if (renewed !== undefined) this.#cache.renew(renewed, now)
    if (passed !== undefined) this.#release(passed, now)
    this.#leave()
  }

  #release(fence: number, now: Instant): void {
    this.#batch ??= superBatch(HELD_SLOTS)
    const b = this.#batch
    this.#cache.passed(fence, (held) => {
      this.#carry(held, b, now)
      if (b.count === HELD_SLOTS) this.#sendOn(b, now)
    })
    this.#sendOn(b, now)
  }

  #carry({ row, bytes, gso }: Held, b: SuperBatch, now: Instant): void {
    const i = b.count++
    b.arena.set(bytes, slotAt(b, i))
    b.lens[i] = bytes.length
    b.gso[i] = gso
    if (row === 0) return this.loop.fromEdge(b, i, now)
    const customer = this.#p.customers.at(row)
    if (customer === null) return this.#p.counters.count('tt.drop.not-open')
    this.loop.fromTunnel(row, customer, b, i, now)
  }

  #sendOn(b: SuperBatch, now: Instant): void {
    this.loop.finish(now)
    b.count = 0
  }

  #tellEnds(): void {
    const used = this.#cache.ended()
    if (used !== null) this.#p.link.tell({ used } satisfies ToLead)
  }

  #leave(): void {
    const { link } = this.#p
    const fence = this.#cache.fence()
    this.#tellEnds()
    if (fence !== null) link.tell({ fence } satisfies ToLead)
    link.flush()
  }
}

const HELD_SLOTS = 8
/** So much may be on its way to the lead before it is waited for; the link holds several times this. */
const MOST_AHEAD = 1 << 20
