import { after, type Instant, seconds } from '#ntm-lib/base/time.ts'
import type { FiveTuple } from '#ntm-lib/packet/five-tuple.ts'
import { FlowIndex, type Indexed } from '../flow-index.ts'
import type { FlowNode } from '../flow-node.ts'
import { type FlowSide, pairsOf } from '../flow-side.ts'
import type { CrossingFlow } from '../traffic-parts.ts'
import { type FlowCopy, sideOf, USE_WORD, USED_IN, USED_OUT } from './flow-copy.ts'

/** A packet as it came. `row`: of its tunnel; 0 = from the edge. */
export type Held = { readonly row: number; readonly bytes: Uint8Array; readonly gso: number }

/**
 * One direction of a followed flow. `fresh`: no packet met it yet. `held`: packets wait here until all that went through the lead before
 * them has left. `direct`: this worker alone has this direction.
 */
type Way = { state: 'fresh' | 'held' | 'direct'; fence: number; held: Held[]; bytes: number }

/** A flow that this worker carries by itself. */
export interface Followed extends Indexed<Followed>, CrossingFlow {
  readonly node: FlowNode
  readonly inner: FlowSide
  readonly edge: FlowSide
  readonly id: number
  readonly out: Way
  readonly in: Way
  /** Dies then, unless renewed. */
  until: Instant
  /** `USED_OUT` and `USED_IN` since the last `tick`. */
  used: number
  /** Ticks since the last packet out. */
  quiet: number
}

/** Gives a packet to the lead, after all that was given before; its bytes are copied. */
export type Hand = (row: number, bytes: Uint8Array, gso: number) => void

/**
 * A follower's flows. What the lead once carried must stay behind what it carried before: the first packets of each direction are held until
 * the lead has passed a fence, and are then carried in their order. Whatever ends a flow here hands the held ones over instead.
 */
export class FollowCache {
  readonly #hand: Hand
  readonly #index: FlowIndex<Followed>
  readonly #byId = new Map<number, Followed>()
  #waiting: (readonly [Followed, Way])[] = []
  #ended: number[] = []
  #heldBytes = 0
  #nextFence = 1
  #isFenceDue = false

  constructor(seed: number, hand: Hand) {
    this.#index = new FlowIndex(seed)
    this.#hand = hand
  }

  get size(): number {
    return this.#byId.size
  }

  get heldBytes(): number {
    return this.#heldBytes
  }

  findInner(v: DataView, t: FiveTuple, node: FlowNode): Followed | null {
    return this.#index.findInner(v, t, node)
  }

  findEdge(v: DataView, t: FiveTuple): Followed | null {
    return this.#index.findEdge(v, t)
  }

  /** The lead offers a flow of `node`. */
  offer(copy: FlowCopy, node: FlowNode, now: Instant): void {
    const known = this.#byId.get(copy.id)
    const until = after(now, ENTRY_LIFE)
    if (known !== undefined) {
      known.until = until
      return
    }
    const [inner, edge] = [sideOf(copy.inner), sideOf(copy.edge)]
    // An older flow that looks like it is on its way out.
    const twin = this.#index.atEdge(edge)
    if (twin !== null) this.giveUp(twin)
    const flow: Followed = { id: copy.id, node, inner, edge, pairs: pairsOf(inner, edge), out: way(), in: way(), until, used: 0, quiet: 0, nextInner: null, nextEdge: null } // biome-ignore format: one record
    this.#index.add(flow)
    this.#byId.set(flow.id, flow)
  }

  /** Whether a packet of the flow may go on at once; else it is to be given to `hold`. */
  admits(flow: Followed, outward: boolean): boolean {
    flow.used |= outward ? USED_OUT : USED_IN
    if (!outward) return flow.in.state === 'direct'
    // The kernel's memory of who sends this flow may have run out meanwhile, and answers may have gone through the lead.
    if (flow.quiet >= QUIET_TICKS && flow.in.state === 'direct') flow.in.state = 'fresh'
    flow.quiet = 0
    return flow.out.state === 'direct'
  }

  /** Takes a copy of a packet until the lead has passed the fence; where too much is held, all of it and the packet are handed over. */
  hold(flow: Followed, outward: boolean, row: number, bytes: Uint8Array, gso: number): void {
    const w = outward ? flow.out : flow.in
    const size = bytes.length
    if (w.bytes + size > MOST_HELD_EACH || this.#heldBytes + size > MOST_HELD) {
      this.giveUp(flow)
      return this.#hand(row, bytes, gso)
    }
    if (w.state === 'fresh') {
      w.state = 'held'
      w.fence = this.#nextFence
      this.#isFenceDue = true
      this.#waiting.push([flow, w])
    }
    w.held.push({ row, bytes: bytes.slice(), gso })
    w.bytes += size
    this.#heldBytes += size
  }

  /** A packet that went on at once closes a direction or resets the flow (`Flow.seen`): the lead is to hear of it. */
  ends(flow: Followed, seen: number): void {
    this.#ended.push(USE_WORD * flow.id + flow.used + seen)
  }

  /** What ended, as `ToLead.used` has it, to be told before anything of what follows is handed over; null when nothing did. */
  ended(): Float64Array | null {
    if (this.#ended.length === 0) return null
    const words = Float64Array.from(this.#ended)
    this.#ended = []
    return words
  }

  /** What must be told to the lead at the end of a turn, after all that was handed: the fence, if one is due. */
  fence(): number | null {
    if (!this.#isFenceDue) return null
    this.#isFenceDue = false
    return this.#nextFence++
  }

  /** The lead has passed the fence: gives all packets that waited for it to `carry`, in their order. */
  passed(fence: number, carry: (held: Held) => void): void {
    const ready = this.#waiting.filter(([, w]) => w.fence <= fence)
    this.#waiting = this.#waiting.filter(([, w]) => w.fence > fence)
    for (const [, w] of ready) {
      const held = this.#take(w)
      w.state = 'direct'
      for (const p of held) carry(p)
    }
  }

  /** The flow is the lead's again, beginning with what is held of it. */
  giveUp(flow: Followed): void {
    for (const w of this.#forget(flow)) for (const { row, bytes, gso } of w) this.#hand(row, bytes, gso)
  }

  void(id: number): void {
    const flow = this.#byId.get(id)
    if (flow !== undefined) this.giveUp(flow)
  }

  renew(ids: Float64Array, now: Instant): void {
    for (const id of ids) {
      const flow = this.#byId.get(id)
      if (flow !== undefined) flow.until = after(now, ENTRY_LIFE)
    }
  }

  /** The node's last path is gone, and its packets with it. */
  removeNode(node: FlowNode): void {
    for (const flow of this.#index.all) if (flow.node === node) this.#forget(flow)
  }

  /** What was allowed is no more known to be: the lead judges anew. */
  clear(): void {
    for (const flow of this.#index.all) this.giveUp(flow)
  }

  /** Once a second: gives up what was not renewed. What was used since the last time, as `ToLead.used` has it; null when nothing was. */
  tick(now: Instant): Float64Array | null {
    const used: number[] = []
    for (const flow of this.#index.all) {
      if (flow.until <= now) {
        this.giveUp(flow)
        continue
      }
      if (flow.used !== 0) used.push(USE_WORD * flow.id + flow.used)
      if ((flow.used & USED_OUT) === 0) flow.quiet++
      flow.used = 0
    }
    return used.length === 0 ? null : Float64Array.from(used)
  }

  #take(w: Way): Held[] {
    const { held } = w
    this.#heldBytes -= w.bytes
    w.held = []
    w.bytes = 0
    return held
  }

  /** What was held, out and in. */
  #forget(flow: Followed): [Held[], Held[]] {
    this.#index.delete(flow)
    this.#byId.delete(flow.id)
    if (flow.out.state === 'held' || flow.in.state === 'held') {
      this.#waiting = this.#waiting.filter(([f]) => f !== flow)
    }
    return [this.#take(flow.out), this.#take(flow.in)]
  }
}

const way = (): Way => ({ state: 'fresh', fence: 0, held: [], bytes: 0 })

/** What the lead does not renew is forgotten: it may have forgotten it too. */
const ENTRY_LIFE = seconds(10)
/** Linux forgets after three seconds which queue of a device a flow was last written to (TUN_FLOW_EXPIRE). */
const QUIET_TICKS = 2
const MOST_HELD_EACH = 2 * 1024 * 1024
const MOST_HELD = 8 * 1024 * 1024
