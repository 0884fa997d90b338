import type { LinkEnd } from '#io/thread-link.ts'
import type { UdpOptions } from '#io/udp-native.ts'
import type { Endpoint } from '#ntm-lib/addr/endpoint.ts'
import type { Via } from '#ntm-lib/addr/via.ts'
import type { MirrorCommand, MirrorEvent } from '#ntm-lib/negotiate/mirror.ts'
import type { RoleKind } from './role-plane.ts'

/** The memory of one worker's gates (`gates.ts`), shared with the control thread. */
export type GateMemory = readonly [strangers: SharedArrayBuffer, peers: SharedArrayBuffer]

/** What a packet worker is started with. */
export type PacketWorkerConfig = {
  readonly kind: RoleKind
  /** The role's own settings. */
  readonly role: unknown
  readonly udp: UdpOptions
  /** `CELLS`, shared by all threads. */
  readonly cells: Float64Array
  readonly gates: GateMemory
  /** This worker's number, from 0, of `workers`. It seals in lane `index` + 1. */
  readonly index: number
  readonly workers: number
  /** To the other workers: the first one's to each of the others, in their order; each of the others' to the first. */
  readonly links: readonly LinkEnd[]
}

/** What a packet worker answers when it has started. */
export type PacketWorkerStarted = { readonly udpPort: number; readonly role: unknown }

/** What the control thread wants done, in this order. */
export type PacketOrder =
  | { readonly order: 'mirror'; readonly command: MirrorCommand }
  | { readonly order: 'send'; readonly to: Endpoint; readonly bytes: Uint8Array; readonly via: Via | null }
  | { readonly order: 'role'; readonly input: unknown }

/** What is told to a worker (`orders`), asked of its role, or asked of itself: to share its UDP port out among all workers. */
export type ToPacketWorker =
  | { readonly orders: readonly PacketOrder[] }
  | { readonly role: unknown }
  | { readonly steer: number }

/** What a packet worker says. */
export type PacketSaid =
  | { readonly said: 'mirror'; readonly events: readonly MirrorEvent[] }
  | { readonly said: 'udp-error'; readonly to: Endpoint; readonly code: string }
  | { readonly said: 'role'; readonly out: unknown }
