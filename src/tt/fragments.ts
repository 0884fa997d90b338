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

/** A later fragment that overtook its first one. */
type Parked = { readonly node: FlowNode; readonly packet: Uint8Array; readonly until: Instant }

/**
 * Which flow the later fragments of a packet belong to: only the first one has ports. Fragments from a tunnel that
 * overtake their first one wait for it a moment (RFC 6146 §3.4); those from the edge were put in order by the kernel.
 * Bounded in all and per node, so that no node pushes another's rows out; the oldest go first.
 */
export class Fragments {
  readonly #seed: number
  readonly #rows = new Map<number, Row>()
  readonly #perNode = new Map<FlowNode, Set<Row>>()
  /** By row key; each list is one packet's fragments in the order they came. */
  readonly #parked = new Map<number, Parked[]>()
  readonly #released: Uint8Array[] = []
  #parkedCount = 0
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
    this.#release(key, flow.node, now)
  }

  /** Keeps a copy of a later fragment, `len` bytes at `at`, until its first one comes. False when it must be dropped. */
  park(v: DataView, t: FiveTuple, at: number, len: number, node: FlowNode, now: Instant): boolean {
    const key = this.#key(v, t)
    const list = this.#parked.get(key) ?? []
    // One packet of 64 KiB has 45 fragments; the whole store is a few hundred kilobytes.
    if (list.length >= MOST_PARKED_EACH || this.#parkedCount >= MOST_PARKED || node.parked >= MOST_PARKED_PER_NODE) {
      return false
    }
    const packet = new Uint8Array(v.buffer, v.byteOffset + at, len).slice()
    list.push({ node, packet, until: after(now, TT_TIMERS.fragmentWait) })
    this.#parked.set(key, list)
    this.#parkedCount++
    node.parked++
    return true
  }

  /** A parked fragment whose first one has passed just now; to be treated as if it came now. Null when there is none. */
  released(): Uint8Array | null {
    return this.#released.shift() ?? null
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
    this.#sweepAt = after(now, TT_TIMERS.fragmentWait)
    for (const row of this.#rows.values()) if (row.until <= now) this.#remove(row)
    for (const [key, list] of this.#parked) {
      this.#unpark(key, list)
      const fresh = list.filter((p) => p.until > now)
      if (fresh.length === 0) continue
      this.#parked.set(key, fresh)
      for (const p of fresh) p.node.parked++
      this.#parkedCount += fresh.length
    }
  }

  /** The node's path is gone. */
  removeNode(node: FlowNode): void {
    for (const row of this.#perNode.get(node) ?? []) this.#remove(row)
  }

  /** Only the same node's: a stranger's with an equal key stays where it is and dies. */
  #release(key: number, node: FlowNode, now: Instant): void {
    const list = this.#parked.get(key)
    if (list === undefined) return
    this.#unpark(key, list)
    for (const p of list) if (p.node === node && p.until > now) this.#released.push(p.packet)
  }

  #unpark(key: number, list: readonly Parked[]): void {
    this.#parked.delete(key)
    this.#parkedCount -= list.length
    for (const p of list) p.node.parked--
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
const MOST_PARKED = 512
const MOST_PARKED_PER_NODE = 96
const MOST_PARKED_EACH = 48
