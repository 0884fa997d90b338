import type { Ip } from '#ntm-lib/addr/ip.ts'
import type { Ip4 } from '#ntm-lib/addr/ip4.ts'
import type { VirtualPair } from '#ntm-lib/addr/virtual.ts'
import type { HostClaim, HostGrant } from '#ntm-lib/wire/messages/common.ts'
import type { Sought } from '#ntm-lib/wire/messages/direction.ts'
import type { RefusalCode } from '#ntm-lib/wire/messages/refusal.ts'
import type { HostMemory, Recalled } from './memory.ts'
import type { TunnelEnds, TunnelRef } from './routes.ts'

/**
 * What becomes of a frame or packet. `dropped` has been counted as `bridge.drop.*`; `consumed` led to outputs or to none.
 * `cut-first`: a UDP super-packet that cannot go on as one: to be cut into plain frames, each to be judged for itself.
 */
export type Verdict = 'to-net' | 'to-host' | 'to-tunnel' | 'cut-first' | 'consumed' | 'dropped'

/** A frame or IP packet in the memory it came in: `len` bytes at absolute offset `at`; `gso` as in a `SuperBatch`. */
export type Piece = { at: number; len: number; gso: number }
/** An inner packet, its source rewritten. */
export type ToTunnel = Piece & { tunnel: TunnelRef }

export type BridgeDirected =
  | (VirtualPair & {
      readonly ok: true
      readonly ttlSeconds: number
      readonly families?: number
      readonly tunnel: TunnelRef
    })
  | { readonly ok: false; readonly why: RefusalCode | 'unreachable' }

/** An IPv4 subnet that the box itself is in, at `own`. */
export type Subnet = { readonly own: Ip4; readonly bits: number }

export type BridgeIn =
  /** Where silent hosts may be looked for, whenever it changes; never told, they are not looked for. */
  | { readonly in: 'subnets'; readonly subnets: readonly Subnet[] }
  /** From the Registration Response: zones whose names are NTM names, normalised. */
  | { readonly in: 'zones'; readonly zones: readonly string[] }
  /** Whether the coordinator answers. While it does not, names that would need it pass untouched. */
  | { readonly in: 'online'; readonly online: boolean }
  /** Who a visitor is, for hosts that look up the addresses of those who come to them. */
  | ({ readonly in: 'visitor'; readonly name: string } & VirtualPair)
  /** Hosts of an earlier run, at the beginning; and hosts that somebody else saw behind us. */
  | { readonly in: 'remembered'; readonly hosts: readonly Recalled[] }
  | { readonly in: 'granted'; readonly hosts: readonly HostGrant[] }
  /** Outcome of the `direct` with this id, given once the tunnel stands. May come any time later; once per id counts. */
  | { readonly in: 'directed'; readonly id: number; readonly result: BridgeDirected }
  /** M and T of a tunnel, in bytes of inner packet; what TCP is clamped to where that is not T. Again whenever they change. */
  | {
      readonly in: 'tunnel-mtu'
      readonly tunnel: TunnelRef
      readonly innerBytes: number
      readonly wholeBytes: number
      readonly clampBytes?: number
    }
  /** Who may speak through a tunnel, as its contract says: its peer's own hosts are behind it while it leads. Again whenever `leads` changes. */
  | { readonly in: 'tunnel-ends'; readonly tunnel: TunnelRef; readonly ends: TunnelEnds }
  /** The tunnel is no more: its virtual addresses are asked for again when used. */
  | { readonly in: 'tunnel-gone'; readonly tunnel: TunnelRef }

/** `families` it is known to have: bit 0 IPv4, bit 1 IPv6. */
export type PresentHost = HostClaim & { readonly families: number }

export type BridgeOut =
  /** Frames to inject at either leg, whole. */
  | { readonly out: 'to-host'; readonly frame: Uint8Array }
  | { readonly out: 'to-net'; readonly frame: Uint8Array }
  /** An inner packet that waited or was cut. */
  | {
      readonly out: 'to-tunnel'
      readonly tunnel: TunnelRef
      readonly packet: Uint8Array
      readonly gso: number
    }
  /** Ask the coordinator, have the tunnel stand, then answer with `directed`. `sources`: the host's virtual pair. */
  | {
      readonly out: 'direct'
      readonly id: number
      readonly sought: Sought
      readonly why: 'dns' | 'data'
      readonly sources: readonly Ip[]
    }
  /** All hosts there are, whenever one came or went or showed a family: for the next Registration Request or NTM Update. */
  | { readonly out: 'claim-hosts'; readonly hosts: readonly PresentHost[] }
  /** What to give back as `remembered` in the next run; now and then, when it has changed. */
  | { readonly out: 'remember'; readonly hosts: readonly HostMemory[] }
