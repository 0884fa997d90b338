import type { Ip } from '#ntm-lib/addr/ip.ts'
import type { LinkAddr } from '#ntm-lib/addr/link.ts'
import { contains, type Prefix } from '#ntm-lib/addr/prefix.ts'

/** What the bridge's core is told at start. Survives a structured clone. */
export type BridgeConfig = {
  /** The box's own Ethernet address (br0's and net0's). */
  readonly box: LinkAddr
  /** Every virtual prefix in use, both families: nodes and servers. */
  readonly virtual: readonly Prefix[]
  /** `dns.hold`: a host never waits longer for an answer; milliseconds. */
  readonly holdMillis: number
  /** `fail = "closed"`: names of the network's zones never reach a resolver, also while the coordinator is away. */
  readonly closed?: boolean
}

/** Whether an address is one of the network's virtual ones. */
export function isVirtual(config: BridgeConfig, ip: Ip): boolean {
  for (const p of config.virtual) if (contains(p, ip)) return true
  return false
}
