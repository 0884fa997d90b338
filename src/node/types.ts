import type { DnsFlow } from '#dnsfn/flow.ts'
import type { Ip } from '#ntm-lib/addr/ip.ts'
import type { Prefix } from '#ntm-lib/addr/prefix.ts'
import type { VirtualPair } from '#ntm-lib/addr/virtual.ts'
import type { Sought } from '#ntm-lib/wire/messages/direction.ts'
import type { RefusalCode } from '#ntm-lib/wire/messages/refusal.ts'

export type Transport = 'udp' | 'tcp'

/** A question of a local program's on its way. `asker` is who gets the answer, opaque here. */
export type NodeFlow<A> = DnsFlow & { readonly asker: A; readonly transport: Transport }

/** `pair` is null when the coordinator named none: then only the address that was sought leads to the path. */
export type NodeDirected =
  | { readonly ok: true; readonly row: number; readonly ttlSeconds: number; readonly pair: VirtualPair | null }
  | { readonly ok: false; readonly why: RefusalCode | 'unreachable' }

export type NodeIn<A> =
  /** From the Registration Response, each time. `name` is this node's own. Zones are normalised. */
  | {
      readonly in: 'network'
      readonly name: string
      readonly pair: VirtualPair
      readonly zones: readonly string[]
      readonly virtual: readonly Prefix[]
    }
  /** Which families this machine reaches the Internet with. */
  | { readonly in: 'families'; readonly hasIp4: boolean; readonly hasGlobalIp6: boolean }
  /** A local program's DNS message. `from` and `port` tell programs apart. */
  | {
      readonly in: 'query'
      readonly asker: A
      readonly from: Ip
      readonly port: number
      readonly transport: Transport
      readonly bytes: Uint8Array
    }
  /** A former resolver's answer to what was forwarded for this flow. */
  | { readonly in: 'reply'; readonly flow: NodeFlow<A>; readonly bytes: Uint8Array }
  /** Packets go to a virtual address that no path leads to. */
  | { readonly in: 'wanted'; readonly vip: Ip }
  /** Outcome of the `direct` with this tag, given once the tunnel stands. */
  | { readonly in: 'directed'; readonly tag: string; readonly result: NodeDirected }

export type NodeCoreOut<A> =
  | { readonly out: 'answer'; readonly asker: A; readonly bytes: Uint8Array }
  /** To a former resolver, untouched; its answer comes back as `reply` with the same flow. */
  | {
      readonly out: 'forward'
      readonly flow: NodeFlow<A>
      readonly transport: Transport
      readonly bytes: Uint8Array
    }
  /** Ask the coordinator, have the tunnel stand, then answer with `directed`. */
  | {
      readonly out: 'direct'
      readonly tag: string
      readonly sought: Sought
      readonly why: 'dns' | 'data'
      readonly sources: readonly Ip[]
    }
  /** Packets to these addresses take this path, those that waited first. */
  | { readonly out: 'route'; readonly vips: readonly Ip[]; readonly row: number }
  /** No path leads to this address. */
  | { readonly out: 'no-path'; readonly vip: Ip }
