import type { BridgeCore } from '#bridge/core.ts'
import { type FollowedFlow, type ToFollower, VERSION_WORDS } from '#bridge/follow-words.ts'
import type { KnownFlow } from '#bridge/known-flows.ts'
import { Lead } from '#bridge/lead.ts'
import type { ThreadLink } from '#io/thread-link.ts'
import type { Instant } from '#ntm-lib/base/time.ts'
import type { Clock } from '#ntm-lib/ports/machine.ts'
import type { SuperBatch } from '#ntm-lib/ports/packet-port.ts'

/** What a packet is that a follower hands to the lead. */
export const HANDED = {
  /** A frame from the TAP. */
  frame: 0,
  /** The same, from a follower that was away for so long that the diversion may have lapsed. */
  lateFrame: 1,
  /** An inner packet out of a tunnel. */
  inner: 2,
} as const

/** Takes the followers' packets as if they had come in here. */
export type TakeHanded = (
  b: SuperBatch,
  kinds: Int32Array,
  now: Instant,
  went: (dir: FollowedFlow['dir'], flow: KnownFlow | null) => void,
) => void

export type BridgeLeadParts = {
  readonly links: readonly Pick<ThreadLink, 'serve' | 'tell' | 'flush'>[]
  readonly clock: Clock
  readonly core: BridgeCore
  /** When it returns, everything has left. */
  readonly take: TakeHanded
}

/** The first of several packet workers, as the others see it: it does what they cannot, and tells them what it went by. */
export class BridgeLead {
  readonly #lead: Lead
  /** Told since the last packets came: once is enough for many packets of a flow. */
  readonly #told = new Set<KnownFlow>()

  constructor({ links, clock, core, take }: BridgeLeadParts) {
    const versions = new Int32Array(new SharedArrayBuffer(4 * VERSION_WORDS))
    this.#lead = new Lead(versions, core.routes)
    for (const link of links) {
      const tell = (word: ToFollower): void => link.tell(word)
      link.serve({
        packets: (b, kinds) => {
          const now = clock.now()
          this.#told.clear()
          take(b, kinds, now, (dir, known) => {
            if (known === null || this.#told.has(known)) return
            this.#told.add(known)
            const flow = this.#lead.flow(dir, known, now)
            if (flow !== null) tell({ say: 'flow', flow })
          })
          this.#lead.publish()
        },
        word: () => {},
      })
      tell({ say: 'versions', versions })
      link.flush()
    }
  }

  /** Something may have changed. */
  publish(): void {
    this.#lead.publish()
  }
}
