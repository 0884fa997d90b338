import type { Ip } from '#ntm-lib/addr/ip.ts'
import type { LinkAddr } from '#ntm-lib/addr/link.ts'
import type { Instant } from '#ntm-lib/base/time.ts'
import type { Way } from './frame.ts'
import type { Pair } from './pair-table.ts'
import type { TunnelRef } from './routes.ts'

/** A decision of the lead about packets from one address to another, as a follower may go by it. Survives a structured clone. */
export type FollowedFlow = {
  /** `out`: from a host into a tunnel; `in`: out of a tunnel to a host. */
  readonly dir: 'out' | 'in'
  readonly pair: Pair
  readonly tunnel: TunnelRef
  /** What the source (`out`) or the destination (`in`) becomes. */
  readonly ip: Ip
  /** How frames get to the host; `out`: its link address and tag are those that its frames must have. */
  readonly way: Way
  /** `out`: the Ethernet address that the host sends to. */
  readonly far: LinkAddr
  /** Which of the shared versions is the host's. It is void when one of the two has moved on. */
  readonly hostWord: number
  readonly hostVersion: number
  readonly routeVersion: number
  /** Then a packet goes to the lead again, who notes what depends on packets. */
  readonly until: Instant
}

/** From the lead to a follower, over their link. */
export type ToFollower =
  /** First of all. `versions`: `VERSION_WORDS` words, shared; word 0 is that of the routes. */
  | { readonly say: 'versions'; readonly versions: Int32Array<ArrayBufferLike> }
  | { readonly say: 'flow'; readonly flow: FollowedFlow }

export const VERSION_WORDS = 256
