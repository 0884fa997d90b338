import { after, type Instant, instant } from '#ntm-lib/base/time.ts'
import { avalanche, type FiveTuple, mix } from '#ntm-lib/packet/five-tuple.ts'
import type { FlowNode } from './flow-node.ts'
import type { Flow } from './flows.ts'
import { TT_TIMERS } from './timers.ts'

type Row = {
  readonly key: number
  readonly protocol: number
  readonly id: number
  /** Source then destination, 8 bytes (IPv4) or 32 (IPv6). */
  readonly addresses: Uint8Array
  readonly flow: Flow
  readonly until: Instant
}

/**
 * Which flow the later fragments of a packet belong to: only the first one has ports. Fragments that overtake their first
 * one are dropped; TCP never fragments here and UDP repeats. Bounded in all and per node, so that no node pushes
 * another's rows out; the oldest go first.
 */
export class Fragments {
  readonly #seed: number
  readonly #rows = new Map<number, Row>()
  readonly #perNode = new Map<FlowNode, Set<Row>>()
  #sweepAt: Instant = instant(0)

  /** `seed` is random per process: nobody can aim at another packet's row. */
  constructor(seed: number) {
    this.#seed = seed
  }

  get size(): number {
    return this.#rows.size
  }

  /** Remembers the flow of a first fragment. */
  note(v: DataView, t: FiveTuple, flow: Flow, now: Instant): void {
    const key = this.#key(v, t)
    this.#remove(this.#rows.get(key))
    const own = this.#perNode.get(flow.node) ?? new Set()
    if (own.size >= MOST_PER_NODE) this.#remove(own.values().next().value)
    if (this.#rows.size >= MOST_ROWS) this.#remove(this.#rows.values().next().value)
    const addresses = addressesOf(v, t)
    const until = after(now, TT_TIMERS.fragment)
    const row: Row = { key, protocol: t.protocol, id: t.fragmentId, addresses, flow, until }
    this.#rows.set(key, row)
    own.add(row)
    this.#perNode.set(flow.node, own)
  }

  /**
   * The flow of a later fragment; null when its first one has not passed. From a tunnel, `node` is the sender: a fragment
   * never follows another node's. From the edge it is null.
   */
  find(v: DataView, t: FiveTuple, node: FlowNode | null, now: Instant): Flow | null {
    const row = this.#rows.get(this.#key(v, t))
    if (row === undefined || row.until <= now || !matches(row, v, t)) return null
    return node === null || row.flow.node === node ? row.flow : null
  }

  tick(now: Instant): void {
    if (now < this.#sweepAt) return
    this.#sweepAt = after(now, TT_TIMERS.fragment)
    for (const row of this.#rows.values()) if (row.until <= now) this.#remove(row)
  }

  /** The node's path is gone. */
  removeNode(node: FlowNode): void {
    for (const row of this.#perNode.get(node) ?? []) this.#remove(row)
  }

  #remove(row: Row | undefined): void {
    if (row === undefined) return
    this.#rows.delete(row.key)
    const own = this.#perNode.get(row.flow.node)
    own?.delete(row)
    if (own?.size === 0) this.#perNode.delete(row.flow.node)
  }

  #key(v: DataView, t: FiveTuple): number {
    let h = mix(mix(this.#seed | 0, t.fragmentId | 0), t.protocol)
    for (let i = 0; i < (t.family === 4 ? 4 : 16); i += 4) {
      h = mix(mix(h, v.getUint32(t.sourceAt + i)), v.getUint32(t.destinationAt + i))
    }
    return avalanche(h)
  }
}

function addressesOf(v: DataView, t: FiveTuple): Uint8Array {
  const bytes = t.family === 4 ? 4 : 16
  const out = new Uint8Array(2 * bytes)
  for (let i = 0; i < bytes; i++) {
    out[i] = v.getUint8(t.sourceAt + i)
    out[bytes + i] = v.getUint8(t.destinationAt + i)
  }
  return out
}

function matches(row: Row, v: DataView, t: FiveTuple): boolean {
  const bytes = t.family === 4 ? 4 : 16
  const a = row.addresses
  if (row.protocol !== t.protocol || row.id !== t.fragmentId || a.length !== 2 * bytes) return false
  for (let i = 0; i < bytes; i++) {
    if (a[i] !== v.getUint8(t.sourceAt + i) || a[bytes + i] !== v.getUint8(t.destinationAt + i)) return false
  }
  return true
}

const MOST_ROWS = 16_384
/** More fragmented packets of one node are not under way at once. */
const MOST_PER_NODE = 1024
