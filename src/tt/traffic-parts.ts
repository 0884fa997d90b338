import type { Ip } from '#ntm-lib/addr/ip.ts'
import type { Ip4 } from '#ntm-lib/addr/ip4.ts'
import type { Ip6 } from '#ntm-lib/addr/ip6.ts'
import type { VirtualPair } from '#ntm-lib/addr/virtual.ts'
import type { Counters } from '#ntm-lib/ports/counters.ts'
import type { EgressPolicy } from './egress.ts'
import type { FlowNode } from './flow-node.ts'
import type { FlowSide } from './flow-side.ts'
import type { FlowTable } from './flows.ts'
import type { TranslationTable } from './translation-table.ts'
import type { AddressPairs, PairMap } from './xlat/addr.ts'
import type { XlatContext } from './xlat/context.ts'

/** The host that sent a packet, by its virtual pair; null when the address is no host's of this path. */
export type PairOf = (source: Ip) => VirtualPair | null

/** What taking a packet across needs to know of its flow. */
export type CrossingFlow = {
  readonly node: FlowNode
  readonly inner: FlowSide
  readonly edge: FlowSide
  readonly pairs: AddressPairs | null
}

export type CrossingParts = {
  readonly counters: Counters
  readonly pairs: PairMap
  /** What stands for routers and for us in ICMP errors towards hosts: addresses of the servers' pool. */
  readonly router4: Ip4
  readonly router6: Ip6
  /** M of the node's tunnel now: the largest inner packet it takes, at least 1280. */
  readonly innerMtu: (node: FlowNode) => number
  /**
   * Towards the servers (`lastHop` 1, own addresses the routers') and towards the hosts (0, no own address: errors to
   * servers come from the host's virtual address, which source NAT knows). `map` is `pairs`; the MTUs of `back` are set
   * per packet.
   */
  readonly out: XlatContext
  readonly back: XlatContext
}

export type TrafficParts = CrossingParts & {
  readonly table: TranslationTable
  readonly flows: FlowTable
  readonly egress: EgressPolicy
  /** Random per process, for hash tables. */
  readonly seed: number
}
