import type { Instant } from '#ntm-lib/base/time.ts'
import type { FlowNode } from './flow-node.ts'
import type { PairOf } from './traffic-parts.ts'
import type { Verdict } from './verdict.ts'
import type { Translated } from './xlat/context.ts'

/** Where a packet's way through the terminator is decided: by `Traffic`, or by a follower's `FollowTraffic`. */
export interface PacketPath {
  /** The flow of the last packet that had one and went on. */
  readonly flow: { readonly node: FlowNode } | null
  /** Where the packet of the last `forward` is, or why it is not. */
  readonly result: Translated
  /** See `Traffic.outward`. `row`: of the tunnel that it came by. */
  outward(
    v: DataView,
    low: number,
    at: number,
    len: number,
    gso: number,
    node: FlowNode,
    pairOf: PairOf,
    now: Instant,
    row: number,
  ): Verdict
  /** See `Traffic.inward`. */
  inward(v: DataView, low: number, at: number, room: number, gso: number, now: Instant): Verdict
  /** See `Traffic.released`. */
  released(): Uint8Array | null
}
