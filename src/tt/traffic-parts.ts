import type { Ip } from '#ntm-lib/addr/ip.ts'
import type { Ip4 } from '#ntm-lib/addr/ip4.ts'
import type { Ip6 } from '#ntm-lib/addr/ip6.ts'
import type { VirtualPair } from '#ntm-lib/addr/virtual.ts'
import type { Counters } from '#ntm-lib/ports/counters.ts'
import type { EgressPolicy } from './egress.ts'
import type { FlowTable } from './flows.ts'
import type { TranslationTable } from './translation-table.ts'
import type { PairMap } from './xlat/addr.ts'
import type { XlatContext } from './xlat/context.ts'

/** The host that sent a packet, by its virtual pair; null when the address is no host's of this path. */
export type PairOf = (source: Ip) => VirtualPair | null

export type TrafficParts = {
  readonly table: TranslationTable
  readonly flows: FlowTable
  readonly egress: EgressPolicy
  readonly counters: Counters
  readonly pairs: PairMap
  /** What stands for routers and for us in ICMP errors towards hosts: addresses of the servers' pool. */
  readonly router4: Ip4
  readonly router6: Ip6
  /** Towards the servers (`lastHop` 1) and towards the hosts (0); their `map` is `pairs`. */
  readonly out: XlatContext
  readonly back: XlatContext
}
