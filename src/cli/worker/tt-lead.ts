import type { ThreadLink } from '#io/thread-link.ts'
import type { Counters } from '#ntm-lib/ports/counters.ts'
import type { Clock } from '#ntm-lib/ports/machine.ts'
import type { SuperBatch } from '#ntm-lib/ports/packet-port.ts'
import type { ToFollower, ToLead } from '#tt/share/flow-copy.ts'
import type { LeadShare } from '#tt/share/lead-share.ts'
import type { Customers } from './tt-customers.ts'
import type { TtWire } from './tt-wire.ts'

export type TtLeadParts = {
  readonly links: readonly Pick<ThreadLink, 'serve' | 'tell' | 'flush'>[]
  readonly share: LeadShare
  readonly wire: TtWire
  readonly customers: Pick<Customers, 'at'>
  readonly counters: Counters
  readonly clock: Clock
}

/** The lead's end of the links: packets that followers hand over are treated as if they had come in here. */
export class TtLead {
  readonly #p: TtLeadParts

  constructor(parts: TtLeadParts) {
    this.#p = parts
    for (const [who, link] of parts.links.entries()) {
      link.serve({
        packets: (b, kinds, refs) => this.#packets(who, b, kinds, refs),
        word: (word) => this.#word(who, word as ToLead),
      })
    }
  }

  /** Tells every follower what it should know by now. Called after the packets left that led to it. */
  settle(): void {
    for (let who = 0; who < this.#p.links.length; who++) this.#tell(who, null)
  }

  #packets(who: number, b: SuperBatch, kinds: Int32Array, refs: Int32Array): void {
    const { wire, share, customers, counters, clock } = this.#p
    // Their flow's packets came to our queue before they came to the follower's.
    if (kinds.subarray(0, b.count).includes(FROM_EDGE)) wire.readEdge(DRAIN_ROUNDS)
    const now = clock.now()
    for (let i = 0; i < b.count; i++) {
      const row = refs[i] ?? 0
      const customer = kinds[i] === FROM_TUNNEL ? customers.at(row) : null
      if (customer !== null) wire.fromTunnel(row, customer, b, i, now)
      else if (kinds[i] === FROM_EDGE) wire.fromEdge(b, i, now)
      else {
        counters.count('tt.drop.not-open')
        continue
      }
      const { flow } = wire.path
      if (flow !== null) share.handed(who, flow, now)
    }
    // Who is told of a flow may carry it by itself from then on: only behind these.
    wire.finish(now)
    this.settle()
  }

  #word(who: number, { used, fence }: ToLead): void {
    const { share, wire, clock } = this.#p
    if (used !== undefined) this.#tell(who, share.used(who, used, clock.now()))
    if (fence === undefined) return
    wire.readEdge(DRAIN_ROUNDS)
    this.settle()
    this.#tell(who, { passed: fence })
  }

  #tell(who: number, word: ToFollower | null): void {
    const link = this.#p.links[who]
    const news = this.#p.share.poll(who)
    if (news !== null) link?.tell(news)
    if (word !== null) link?.tell(word)
    if (news !== null || word !== null) link?.flush()
  }
}

/** Kinds of handed packets; the reference is the tunnel's row. */
export const FROM_EDGE = 0
export const FROM_TUNNEL = 1

/** More packets than a device's queue holds (500, Linux `tun`). */
const DRAIN_ROUNDS = 32
