import { routerStandIns } from '#ntm-lib/addr/virtual.ts'
import { Rate } from '#ntm-lib/base/rate.ts'
import { MIN_INNER } from '#ntm-lib/negotiate/mtu.ts'
import type { TunnelPlane } from '#ntm-lib/plane/tunnel-plane.ts'
import type { Counters } from '#ntm-lib/ports/counters.ts'
import type { Clock } from '#ntm-lib/ports/machine.ts'
import { batch } from '#ntm-lib/ports/packet-port.ts'
import type { CrossingParts } from '#tt/traffic-parts.ts'
import { PairMap } from '#tt/xlat/addr.ts'
import type { XlatContext } from '#tt/xlat/context.ts'
import type { VirtualPlan } from './tt-words.ts'

export type CrossingSettings = {
  readonly plane: Pick<TunnelPlane, 'innerMtu'>
  readonly counters: Counters
  readonly clock: Clock
  readonly virtual: VirtualPlan
  readonly uplinkMtuBytes: number
  readonly seed: number
  /** This worker's number, from 0, of `of` that share the edge; alone unless told. */
  readonly share?: { readonly index: number; readonly of: number }
}

/** What one worker's packets need to cross: batches for what they become, and its part of what all workers share out. */
export function crossingParts(s: CrossingSettings): CrossingParts {
  const { index, of } = s.share ?? { index: 0, of: 1 }
  const { router4, router6, routers6 } = routerStandIns(s.virtual.servers4, s.virtual.servers6)
  const pairs = new PairMap(routers6, router4)
  const ids = new Ids(index, of, s.seed)
  // RFC 7915 §4.4, RFC 4443 §2.4(f): errors are rate-limited.
  const replies = new Rate(REPLIES_PER_SECOND / of, REPLIES_PER_SECOND / of)
  const context = (own: Pick<XlatContext, 'lastHop' | 'own4' | 'own6'>): XlatContext => ({
    ...own,
    map: pairs,
    mtu4: s.uplinkMtuBytes,
    mtu6: s.uplinkMtuBytes,
    fragmentTo: 1280,
    copyTrafficClass: true,
    udpZero: 'compute',
    nextId: (count) => ids.next(count),
    mayReply: () => replies.take(s.clock.now()),
    reply: batch(SLOTS, SLOT_BYTES),
    spill: batch(SLOTS, SLOT_BYTES),
  })
  return {
    counters: s.counters,
    innerMtu: (node) => (node.via === 0 ? MIN_INNER : s.plane.innerMtu(node.via)),
    pairs,
    router4,
    router6,
    out: context({ lastHop: 1, own4: router4, own6: router6 }),
    // Errors to servers come from the host's own virtual address: source NAT knows whose flow they belong to.
    back: context({ lastHop: 0, own4: null, own6: null }),
  }
}

/** IPv4 identifications. What one worker calls a packet, no other does. */
class Ids {
  readonly #first: number
  readonly #most: number
  #next: number

  constructor(index: number, of: number, seed: number) {
    this.#most = Math.floor(0x10000 / of)
    this.#first = index * this.#most
    this.#next = (seed + 1) % this.#most
  }

  /** The first of `count` in a row. */
  next(count: number): number {
    if (this.#next + count > this.#most) this.#next = 0
    const id = this.#first + this.#next
    this.#next += count
    return id
  }
}

export const SLOTS = 64
export const SLOT_BYTES = 10_240
const REPLIES_PER_SECOND = 1000
