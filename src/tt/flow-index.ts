import { type FiveTuple, tupleHash } from '#ntm-lib/packet/five-tuple.ts'
import type { FlowNode } from './flow-node.ts'
import { type FlowSide, sameSide, sideHash, sideMatches } from './flow-side.ts'

/** What can be found by either of its sides. The two links are the index's. */
export type Indexed<F> = {
  readonly node: FlowNode
  /** Host → server as in the tunnel. */
  readonly inner: FlowSide
  /** Host → server as at the edge. */
  readonly edge: FlowSide
  nextInner: F | null
  nextEdge: F | null
}

/** Flows by their inner and by their edge side. Lookups allocate nothing. */
export class FlowIndex<F extends Indexed<F>> {
  readonly #seed: number
  readonly #inner = new Map<number, F>()
  readonly #edge = new Map<number, F>()
  readonly #all = new Set<F>()

  /** `seed` is random per process: nobody can aim at one hash bucket. */
  constructor(seed: number) {
    this.#seed = seed
  }

  get size(): number {
    return this.#all.size
  }

  /** All of them, the oldest first; what is looked at may be deleted. */
  get all(): Iterable<F> {
    return this.#all
  }

  has(flow: F): boolean {
    return this.#all.has(flow)
  }

  /** The flow of a packet from `node`'s tunnel. */
  findInner(v: DataView, t: FiveTuple, node: FlowNode): F | null {
    let flow = this.#inner.get(tupleHash(v, t, this.#seed)) ?? null
    while (flow !== null && !(flow.node === node && sideMatches(flow.inner, v, t))) flow = flow.nextInner
    return flow
  }

  /** The flow at the edge, `t` in the direction host → server. */
  findEdge(v: DataView, t: FiveTuple): F | null {
    let flow = this.#edge.get(tupleHash(v, t, this.#seed)) ?? null
    while (flow !== null && !sideMatches(flow.edge, v, t)) flow = flow.nextEdge
    return flow
  }

  /** The flow that looks like this at the edge. */
  atEdge(edge: FlowSide): F | null {
    let flow = this.#edge.get(sideHash(edge, this.#seed)) ?? null
    while (flow !== null && !sameSide(flow.edge, edge)) flow = flow.nextEdge
    return flow
  }

  add(flow: F): void {
    const [i, e] = [sideHash(flow.inner, this.#seed), sideHash(flow.edge, this.#seed)]
    flow.nextInner = this.#inner.get(i) ?? null
    flow.nextEdge = this.#edge.get(e) ?? null
    this.#inner.set(i, flow)
    this.#edge.set(e, flow)
    this.#all.add(flow)
  }

  /** False when it is not there. */
  delete(flow: F): boolean {
    if (!this.#all.delete(flow)) return false
    const i = sideHash(flow.inner, this.#seed)
    const first = this.#inner.get(i) ?? null
    if (first === flow) replaceHead(this.#inner, i, flow.nextInner)
    else for (let f = first; f !== null; f = f.nextInner) if (f.nextInner === flow) f.nextInner = flow.nextInner
    const e = sideHash(flow.edge, this.#seed)
    const head = this.#edge.get(e) ?? null
    if (head === flow) replaceHead(this.#edge, e, flow.nextEdge)
    else for (let f = head; f !== null; f = f.nextEdge) if (f.nextEdge === flow) f.nextEdge = flow.nextEdge
    return true
  }
}

function replaceHead<F>(map: Map<number, F>, key: number, next: F | null): void {
  if (next === null) map.delete(key)
  else map.set(key, next)
}
