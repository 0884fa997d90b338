import type { BridgeConfig } from '#bridge/config.ts'
import type { BridgeIn, BridgeOut } from '#bridge/types.ts'

/** Interfaces of the wire: the port towards the hosts, the port towards the LAN, and the TAP that is made between them. */
export type WireNames = { readonly host: string; readonly net: string; readonly tap: string }

/** To the bridge's packet side. What concerns tunnels is not told here: it follows the mirrored paths. */
export type BridgeToPlane =
  /** Once, before anything else: what the network told, so that hosts can be looked after. */
  | { readonly say: 'begin'; readonly config: BridgeConfig }
  /** Asked: the answer comes when every port is open and being read; an IoFault when one cannot be. */
  | { readonly say: 'wire-up'; readonly names: WireNames }
  /** Asked: answered when the ports are closed. What the core has learnt stays. */
  | { readonly say: 'wire-down' }
  /** Asked, before the end: everything held is let go now, replies and names alike. */
  | { readonly say: 'let-go' }
  /** Asked: the hosts behind the bridge, `HostShown[]`. */
  | { readonly say: 'hosts' }
  | { readonly say: 'core'; readonly input: Exclude<BridgeIn, { in: 'tunnel-mtu' | 'tunnel-ends' | 'tunnel-gone' }> }

/** From it. */
export type BridgeFromPlane =
  | Extract<BridgeOut, { out: 'direct' | 'claim-hosts' | 'remember' }>
  /** An interface of the wire was removed: the wire is to be taken down. */
  | { readonly out: 'port-gone'; readonly name: string }
