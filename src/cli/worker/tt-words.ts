import type { Endpoint } from '#ntm-lib/addr/endpoint.ts'
import type { Family } from '#ntm-lib/addr/ip.ts'
import type { Prefix } from '#ntm-lib/addr/prefix.ts'
import type { RefusalCode } from '#ntm-lib/wire/messages/refusal.ts'
import type { EgressSettings } from '#tt/egress.ts'
import type { Asked } from '#tt/servers.ts'

/** What the terminator's packet side is started with. */
export type TtPlaneConfig = {
  readonly resolvers: readonly Endpoint[]
  /** Without the network's own ranges: those are known at `open`. */
  readonly egress: Omit<EgressSettings, 'virtual'>
  /** Families that the uplink can reach. */
  readonly families: readonly Family[]
  readonly uplinkMtuBytes: number
  /** Random per process, for hash tables and IPv4 identifications. */
  readonly seed: number
  /** Every flow is logged, `flow-log.ts`. */
  readonly flowLog: boolean
}

/** A network's virtual ranges as the coordinator tells them. */
export type VirtualPlan = {
  readonly nodes4: Prefix
  readonly servers4: Prefix
  readonly nodes6: Prefix
  readonly servers6: Prefix
}

/** How packets reach the ordinary side. `raw`: `name` is the interface of the pair that replies are captured on; it exists. */
export type EdgeKind = { readonly port: 'tun' | 'raw'; readonly name: string }

/** To the terminator's packet side. */
export type TtIn =
  /** Once, asked: the answer comes when the edge is open, an IoFault when the machine refuses. */
  | { readonly say: 'open'; readonly virtual: VirtualPlan; readonly edge: EdgeKind }
  /** A server that the coordinator directs a box to; answered by one `ready` or `refused`. */
  | { readonly say: 'server'; readonly asked: Asked }
  /** This machine's addresses or routes changed. */
  | {
      readonly say: 'addresses'
      readonly egress: Pick<EgressSettings, 'own' | 'subnets'>
      readonly families: readonly Family[]
    }
  /** Asked: how full the tables are, a `TtTables`. */
  | { readonly say: 'tables' }

export type TtTables = {
  readonly customers: number
  readonly flows: number
  readonly servers: number
  /** Servers that one customer may know at a time. */
  readonly serversEach: number
}

/** From it. `families`: bit 0 = reachable over IPv4, bit 1 = over IPv6. */
export type TtOut =
  | {
      readonly say: 'ready'
      readonly id: string
      readonly name: string
      readonly ttlSeconds: number
      readonly families: number
    }
  | { readonly say: 'refused'; readonly id: string; readonly code: RefusalCode; readonly text: string }
