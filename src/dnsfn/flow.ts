import type { Ip } from '#ntm-lib/addr/ip.ts'
import type { Prefix } from '#ntm-lib/addr/prefix.ts'
import type { VirtualPair } from '#ntm-lib/addr/virtual.ts'
import type { RefusalCode } from '#ntm-lib/wire/messages/refusal.ts'

/** One host's conversation with one resolver, as the bridge sees it in a frame. Callers may add fields of their own. */
export type DnsFlow = {
  /** Names the host; stable. */
  readonly host: string
  readonly hostPort: number
  readonly resolver: Ip
  /** The host has a virtual pair: without one nothing of ours can help it. */
  readonly granted: boolean
  readonly hasIp4: boolean
  /** The host uses global IPv6 itself: no IPv6 server needs us. */
  readonly hasGlobalIp6: boolean
  /** Every ordinary server is to be reached through a tunnel too, so that its connections outlive a move (SEED 002 §3.3). */
  readonly tunnelsAll?: boolean
}

/** Why a direction was not given; `unreachable` is the coordinator's silence. */
export type DirectedResult =
  | (VirtualPair & {
      readonly ok: true
      readonly ttlSeconds: number
      /** Which families a host of ours has: bit 0 IPv4, bit 1 IPv6. Servers are translated to either. */
      readonly families?: number
    })
  | { readonly ok: false; readonly why: RefusalCode | 'unreachable' }

export type HoldOut<F> =
  /** Send `bytes` to the resolver as the host (from `flow.hostPort`). */
  | { readonly out: 'ask'; readonly flow: F; readonly bytes: Uint8Array }
  /** Send `bytes` to the host as the resolver. */
  | { readonly out: 'answer'; readonly flow: F; readonly bytes: Uint8Array }
  /** Send this reply on to the host, unchanged. */
  | { readonly out: 'release'; readonly flow: F; readonly frame: Uint8Array }
  /** Ask for a direction for `name`; answer with `directed(id, …)`, once the tunnel stands. */
  | { readonly out: 'direct'; readonly id: number; readonly name: string; readonly host: string }

/** `taken`: the frame must not go on; whatever follows comes from `poll`. */
export type HoldVerdict = 'pass' | 'taken'

export type HoldConfig = {
  readonly holdMillis: number
  readonly virtual: readonly Prefix[]
  /** Queries for our zones that would pass get SERVFAIL instead: nobody else is to hear them. */
  readonly closed?: boolean
  /** In front of the names of its counters; `bridge.dns` by default. */
  readonly countedAs?: string
}
