import { invariant } from '../base/invariant.ts'
import type { NodeId } from './ids.ts'
import { type Ip4, ip4FromWord, parseIp4 } from './ip4.ts'
import { type Ip6, ip6FromBytes } from './ip6.ts'
import type { Prefix } from './prefix.ts'

/** The pair of in-tunnel addresses a node or a server keeps for ever. */
export type VirtualPair = { readonly vip4: Ip4; readonly vip6: Ip6 }

/** The ranges one network takes its virtual addresses from. */
export type VirtualPlan = {
  /** Nodes' IPv4 addresses; default 198.18.0.0/16. */
  readonly nodes4: Prefix
  /** Ordinary servers' IPv4 addresses, one per (node, name); default 198.19.0.0/16. */
  readonly servers4: Prefix
  /** ULA /48 in front of 80 bits of the Node ID. */
  readonly nodes6: Prefix
  /** /64 of ordinary servers' IPv6 addresses. */
  readonly servers6: Prefix
}

/**
 * What one coordinator gives out of its network's `nodes4`: each zone's has a slice of its own, so that no two give the same
 * address. SEED 002 §3.
 */
export type NodeSlice = {
  readonly own: Prefix
  /** Parts of `own` that were passed on to coordinators of other zones. */
  readonly given: readonly Prefix[]
}

/** A node's virtual IPv6 address: the network's ULA /48 and the first 80 bits of its Node ID. */
export function nodeVip6(nodes6: Prefix, id: NodeId): Ip6 {
  invariant(nodes6.bits === 48 && typeof nodes6.base !== 'number', 'nodes6 is an IPv6 /48')
  const out = new Uint8Array(16)
  out.set(nodes6.base.subarray(0, 6))
  out.set(id.subarray(0, 10), 6)
  return ip6FromBytes(out)
}

export const DEFAULT_NODES4 = {
  base: parseIp4('198.18.0.0') as Ip4,
  bits: 16,
} satisfies Prefix
export const DEFAULT_SERVERS4 = {
  base: parseIp4('198.19.0.0') as Ip4,
  bits: 16,
} satisfies Prefix

/** Addresses of the servers' pools that name no server: they speak for routers and for the terminator in ICMP errors. */
export type RouterStandIns = {
  /** The last usable address of the IPv4 pool. */
  readonly router4: Ip4
  readonly router6: Ip6
  /** The last /96 of the IPv6 pool: a router's IPv4 address is embedded in it (RFC 6052 §2.2). `router6` is in it. */
  readonly routers6: Ip6
}

/** The stand-ins of a network; its coordinator never gives them to a server. `servers6` is a /64. */
export function routerStandIns(servers4: Prefix, servers6: Prefix): RouterStandIns {
  invariant(typeof servers4.base === 'number' && typeof servers6.base !== 'number', 'one pool of each family')
  const router4 = ip4FromWord(servers4.base + 2 ** (32 - servers4.bits) - 2)
  const routers6 = ip6FromBytes(servers6.base)
  routers6.set([0xff, 0xff, 0xff, 0xff], 8)
  const router6 = ip6FromBytes(routers6)
  router6.set([0, 0, 0, 1], 12)
  return { router4, router6, routers6 }
}

/** Whether the address stands for routers rather than for a server. */
export const isStandIn6 = (standIns: RouterStandIns, ip: Ip6): boolean =>
  standIns.routers6.subarray(0, 12).every((byte, i) => byte === ip[i])
