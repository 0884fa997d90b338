import { type Ip, isIp4 } from '#ntm-lib/addr/ip.ts'
import { ip6Key } from '#ntm-lib/addr/ip6.ts'
import type { Prefix } from '#ntm-lib/addr/prefix.ts'
import type { VirtualPair } from '#ntm-lib/addr/virtual.ts'
import type { MirrorCommand, MirroredPath } from '#ntm-lib/negotiate/mirror.ts'
import { type FlowNode, newFlowNode } from '#tt/flow-node.ts'
import type { PairOf } from '#tt/traffic-parts.ts'

/** A tunnel as the terminator's packet side knows it: whose it is, and which hosts its contract names. */
export type Customer = { readonly node: FlowNode; readonly pairOf: PairOf }

type Boxed = { readonly node: FlowNode; readonly rows: Set<number> }

/**
 * The boxes that use this terminator, by row of their tunnels and by Node ID. A pair of boxes gets another contract when a host
 * joins or a box starts anew; the names and connections of its hosts belong to the box and go on over the new path.
 */
export class Customers {
  readonly #byRow: (Customer | null)[] = []
  readonly #boxes = new Map<string, Boxed>()
  readonly #keys = new Map<number, string>()

  get size(): number {
    return this.#boxes.size
  }

  /** Whose packet came on this row. Allocates nothing. */
  at(row: number): Customer | null {
    return this.#byRow[row] ?? null
  }

  /** The box with this `nodeKey`; null when it has no tunnel here. */
  nodeOf(peer: string): FlowNode | null {
    return this.#boxes.get(peer)?.node ?? null
  }

  /** Follows the tunnel table. Gives the box that is gone with its last path. */
  mirrored(command: MirrorCommand): FlowNode | null {
    if (command.mirror === 'gone') return this.#gone(command.row)
    const { path } = command
    const known = this.#boxes.get(path.peer)
    const box = known ?? { node: newFlowNode(path.peer), rows: new Set() }
    if (known === undefined) this.#boxes.set(path.peer, box)
    if (!box.rows.has(path.row)) this.#add(box, path)
    // Answers go over the path that opened last.
    if (path.leads || box.node.via === 0) box.node.via = path.row
    return null
  }

  #add(box: Boxed, path: MirroredPath): void {
    const pairs = pairsOf(path.peerAllowed)
    box.rows.add(path.row)
    this.#keys.set(path.row, path.peer)
    this.#byRow[path.row] = { node: box.node, pairOf: (source) => pairs.get(pairKey(source)) ?? null }
  }

  #gone(row: number): FlowNode | null {
    const key = this.#keys.get(row)
    const box = key === undefined ? undefined : this.#boxes.get(key)
    if (key === undefined || box === undefined) return null
    this.#keys.delete(row)
    this.#byRow[row] = null
    box.rows.delete(row)
    if (box.rows.size === 0) {
      this.#boxes.delete(key)
      return box.node
    }
    if (box.node.via === row) box.node.via = [...box.rows].at(-1) ?? 0
    return null
  }
}

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

const pairKey = (ip: Ip): number | string => (isIp4(ip) ? ip : ip6Key(ip))
