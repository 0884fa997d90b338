import type { Ip } from '#ntm-lib/addr/ip.ts'
import type { Prefix } from '#ntm-lib/addr/prefix.ts'

/** What source NAT the terminator wants, as data. `ruleset.ts` renders it for nftables, `edge.ts` for routes and sysctls. */
export type NatPlan = {
  /** Name of our nftables table; one per running terminator. */
  readonly table: string
  /** The interface inner packets pass: the TUN, or the pair device of the raw port. */
  readonly inside: string
  /** Interfaces that face the ordinary Internet. */
  readonly uplinks: readonly string[]
  /** Virtual addresses of nodes: what may come out of tunnels and is translated. A family without a prefix is refused. */
  readonly nodes: readonly Prefix[]
  /** UDP port of the tunnels, never given to a node's flow and not tracked. */
  readonly tunnelPort: number
  /** Ports that nodes' TCP and UDP flows leave with. */
  readonly ports: readonly [first: number, last: number]
  /** Source addresses to use instead of the uplink's own; both ends inclusive, same family. */
  readonly pool4: readonly [first: Ip, last: Ip] | null
  readonly pool6: readonly [first: Ip, last: Ip] | null
  /** Largest inner packet (M of `docs/wire.md`): the kernel then tells servers itself what does not fit. Null: the device's. */
  readonly innerMtuBytes: number | null
}

/** Masquerading starts here, so that a node's flow can never take the tunnel port. */
export const DEFAULT_PORTS = [10000, 65535] as const
