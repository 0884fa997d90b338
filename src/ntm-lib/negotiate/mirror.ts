import type { Endpoint } from '../addr/endpoint.ts'
import type { Ip } from '../addr/ip.ts'
import type { Prefix } from '../addr/prefix.ts'
import type { Via } from '../addr/via.ts'
import type { Instant } from '../base/time.ts'
import type { Direction, SealSecret } from '../crypto/schedule.ts'

/**
 * What packet workers know of a path: the tunnel table's rows. Negotiation is in one thread and packets are in others
 * (D-0007); these values are all that passes between them, and they survive a structured clone.
 */
export type MirroredPath = {
  /** Small number of the path, `Path.row`: from 1, its own for as long as it lives and for `ROW_REST` after `gone`. */
  readonly row: number
  /** `nodeKey` of the box at the other end: several paths may lead to one box. */
  readonly peer: string
  /** Ids it receives on. */
  readonly ids: readonly number[]
  /** Id it sends on. */
  readonly id: number
  /** Our D on the wire. */
  readonly direction: Direction
  /** Where the peer is; null until it has proven an address: nothing is sent then. */
  readonly to: Endpoint | null
  /** With which of our addresses, out of which interface; null: the kernel chooses. */
  readonly via: Via | null
  /** The peer speaks from a new address that it has not proven yet; null when it does not. */
  readonly ahead: MirroredAhead | null
  /** T and M, bytes of inner packet. */
  readonly wholeBytes: number
  readonly innerBytes: number
  /** What TCP is clamped to (minus its headers): T, or what it is hoped to be before the first probe is answered. */
  readonly clampBytes: number
  /** Inner packets to the peer's prefixes go here: it is open and no newer path with this peer has taken its place. */
  readonly leads: boolean
  /** Inner sources of ours and of the peer's. */
  readonly ownAllowed: readonly Prefix[]
  readonly peerAllowed: readonly Prefix[]
  readonly epochs: readonly MirroredEpoch[]
  /** The epoch that seals; null when none may. */
  readonly seals: { readonly epoch: number; readonly until: Instant } | null
  /** The next genuine packet is to be told (`heard`), whichever it is: something is in doubt. */
  readonly tell: boolean
}

/**
 * The first `bytes` bytes of datagrams go there, what is more goes to the row's `to`. The same `serial` is the same
 * allowance, of which some may be used up; `bytes` of it only grows. Each of several packet workers keeps to an equal part of it.
 */
export type MirroredAhead = { readonly serial: number; readonly to: Endpoint; readonly bytes: number }

export type MirroredEpoch = {
  readonly epoch: number
  /** Names these keys among all of these tunnels: the same serial means the same keys, whose counters and windows must be kept. */
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
   * Something genuine came that the negotiation must know of: frames, the first packet under a key (serial), a packet from another
   * address than `to`, or any packet while `tell` is set or `to` is null. `serial`: of the key that opened it; an event of a path or
   * epoch that has gone meanwhile is recognised by it. `bytes`: length of the datagrams (those of one burst may be told as one);
   * `newest`: it has the highest counter so far of its lane. `frames`: their plain text, in an array of its own.
   */
  | {
      readonly event: 'heard'
      readonly row: number
      readonly epoch: number
      readonly serial: number
      readonly from: Endpoint
      readonly bytes: number
      readonly newest: boolean
      readonly frames: Uint8Array | null
      /** Address of ours that the frames came to; absent where nobody knows. */
      readonly local?: Ip
    }
  /** A key has sealed so much that a new epoch is due; once per key is enough. */
  | { readonly event: 'worn'; readonly row: number; readonly epoch: number; readonly serial: number }

/**
 * A path's clockwork that both threads write, eight numbers per row in shared memory: what changes with every packet. Times are Instants;
 * NaN stands for null. `tunnel-alive.ts` says what they mean. The negotiation sets a row up before its first `path` command.
 *
 * A worker writes for every inner packet it seals: `lastSent` = `lastInner` = now, `owedSince` = NaN, `unansweredSince` = now where it was
 * NaN, the counts out; for every genuine packet it opens: `unansweredSince` = NaN, and when it was no frames `lastInner` = now, `owedSince` = now
 * where it was NaN, the counts in. The counts are of whole inner packets let through, and of their bytes. The negotiation writes for the
 * frames that it seals itself (lane 0). Nobody locks: where several workers share a path, its counts may come out a little low.
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
