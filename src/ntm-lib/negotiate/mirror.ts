import type { Endpoint } from '../addr/endpoint.ts'
import type { Prefix } from '../addr/prefix.ts'
import type { Instant } from '../base/time.ts'
import type { Direction, SealSecret } from '../crypto/schedule.ts'

/**
 * What packet workers know of a path: the tunnel table's rows. Negotiation is in one thread and packets are in others
 * (D-0007); these values are all that passes between them, and they survive a structured clone.
 */
export type MirroredPath = {
  /** Small number of the path, for as long as it lives; what `TunnelRefs` gives the role. */
  readonly row: number
  /** Ids it receives on. */
  readonly ids: readonly number[]
  /** Id it sends on. */
  readonly id: number
  /** Our D on the wire. */
  readonly direction: Direction
  /** Where the peer is; null until it has proven an address: nothing is sent then. */
  readonly to: Endpoint | null
  /** T and M, bytes of inner packet. */
  readonly wholeBytes: number
  readonly innerBytes: number
  /** Inner sources of ours and of the peer's. */
  readonly ownAllowed: readonly Prefix[]
  readonly peerAllowed: readonly Prefix[]
  readonly epochs: readonly MirroredEpoch[]
  /** The epoch that seals; null when none may. */
  readonly seals: { readonly epoch: number; readonly until: Instant } | null
  /** The next genuine packet is to be told (`heard`), whichever it is: something is in doubt. */
  readonly tell: boolean
}

export type MirroredEpoch = {
  readonly epoch: number
  /** Names these keys among all of this process: the same serial means the same keys, whose counters and windows must be kept. */
  readonly serial: number
  readonly seal: SealSecret
  readonly open: SealSecret
}

/** From the negotiation to the packet workers, in order. */
export type MirrorCommand =
  | { readonly mirror: 'path'; readonly path: MirroredPath }
  | { readonly mirror: 'gone'; readonly row: number }

/** From a packet worker to the negotiation. */
export type MirrorEvent =
  /** A datagram that is no Capsulated Packet of a known path. */
  | { readonly event: 'datagram'; readonly from: Endpoint; readonly bytes: Uint8Array }
  /**
   * Something genuine came that the negotiation must know of: frames, the first packet of an epoch, a packet from another address
   * than `to`, or any packet while `tell` is set. `bytes`: length of the datagrams; `newest`: highest counter so far.
   */
  | {
      readonly event: 'heard'
      readonly row: number
      readonly epoch: number
      readonly from: Endpoint
      readonly bytes: number
      readonly newest: boolean
      readonly frames: Uint8Array | null
    }
  /** A key has sealed so much that a new epoch is due. */
  | { readonly event: 'worn'; readonly row: number; readonly epoch: number }

/**
 * A path's clockwork that both threads write, eight numbers per row in shared memory: what changes with every packet. Times are Instants;
 * NaN stands for null. `tunnel-alive.ts` says what they mean.
 */
export const CELLS = {
  lastSent: 0,
  lastInner: 1,
  unansweredSince: 2,
  owedSince: 3,
  packetsOut: 4,
  packetsIn: 5,
  bytesOut: 6,
  bytesIn: 7,
  words: 8,
} as const
