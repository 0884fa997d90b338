import { type NodeId, nodeKey } from '#ntm-lib/addr/ids.ts'
import { type Ip, isIp4 } from '#ntm-lib/addr/ip.ts'
import { ip6Key } from '#ntm-lib/addr/ip6.ts'
import type { Prefix } from '#ntm-lib/addr/prefix.ts'
import type { VirtualPair } from '#ntm-lib/addr/virtual.ts'
import type { Path, Tunnels } from '#ntm-lib/negotiate/tunnels.ts'
import { decodeContract } from '#ntm-lib/wire/contract.ts'
import type { PathExtend, RouteDirection } from '#ntm-lib/wire/messages/direction.ts'
import { type FlowNode, newFlowNode } from '#tt/flow-node.ts'

/** A box as the terminator's packet side knows it: the newest path that its packets came on, and its hosts. */
export type Customer = {
  path: Path
  readonly node: FlowNode
  pairs: ReadonlyMap<number | string, VirtualPair>
}

/**
 * The boxes that use this terminator, by Node ID. A pair of boxes gets another contract when a host joins or a box starts
 * anew; the names and connections of its hosts belong to the box and go on over the new path.
 */
export class Customers {
  readonly #tunnels: Tunnels
  readonly #byNode = new Map<string, Customer>()

  constructor(tunnels: Tunnels) {
    this.#tunnels = tunnels
  }

  get size(): number {
    return this.#byNode.size
  }

  get(key: string): Customer | undefined {
    return this.#byNode.get(key)
  }

  /** Key of the box that a direction is for; null when the direction names none. */
  keyFor(message: RouteDirection | PathExtend): string | null {
    if (message.kind === 'path-extend') {
      const path = this.#tunnels.byContract(message.contractHash)
      return path === null ? null : nodeKey(path.peer.node)
    }
    const contract = decodeContract(message.route.contract)
    if (!contract.ok) return null
    return nodeKey(message.route.youAre === 'opener' ? contract.value.acceptor : contract.value.opener)
  }

  /** The customer whose packet came on `path`. Answers go over the path that opened last. */
  of(path: Path): Customer {
    const key = nodeKey(path.peer.node)
    const known = this.#byNode.get(key)
    if (known === undefined) {
      const customer = { path, node: newFlowNode(key), pairs: pairsOf(path.peerPrefixes) }
      this.#byNode.set(key, customer)
      return customer
    }
    if (known.path !== path && newer(path, known.path)) use(known, path)
    return known
  }

  /** One of the box's paths is gone. Gives its key and what it had, when that was its last one. */
  gone(peer: NodeId): { readonly key: string; readonly customer: Customer | undefined } | null {
    const key = nodeKey(peer)
    const customer = this.#byNode.get(key)
    const left = this.#tunnels.byPeer(peer)
    if (left.length === 0) {
      this.#byNode.delete(key)
      return { key, customer }
    }
    for (const path of left) if (customer !== undefined && newer(path, customer.path)) use(customer, path)
    return null
  }
}

function use(customer: Customer, path: Path): void {
  customer.path = path
  customer.pairs = pairsOf(path.peerPrefixes)
}

const newer = (a: Path, b: Path): boolean => b.state === 'gone' || (a.openedAt ?? -1) > (b.openedAt ?? -1)

/** Hosts' virtual pairs as the contract lists them: each IPv4 address is followed by its IPv6 one. */
function pairsOf(prefixes: readonly Prefix[]): ReadonlyMap<number | string, VirtualPair> {
  const pairs = new Map<number | string, VirtualPair>()
  const fours = prefixes.flatMap(({ base, bits }) => (isIp4(base) && bits === 32 ? [base] : []))
  const sixes = prefixes.flatMap(({ base, bits }) => (!isIp4(base) && bits === 128 ? [base] : []))
  for (const [i, vip4] of fours.entries()) {
    const vip6 = sixes[i]
    if (vip6 === undefined) continue
    pairs.set(vip4, { vip4, vip6 })
    pairs.set(ip6Key(vip6), { vip4, vip6 })
  }
  return pairs
}

/** Key of a host's address in `Customer.pairs`. */
export const pairKey = (ip: Ip): number | string => (isIp4(ip) ? ip : ip6Key(ip))
