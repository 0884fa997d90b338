import { type FiveTuple, newFiveTuple, readTuple } from '#ntm-lib/packet/five-tuple.ts'
import { validInner } from '#ntm-lib/packet/inner.ts'
import { TCP, UDP } from '#ntm-lib/packet/protocol.ts'
import { Crossing } from '../crossing.ts'
import type { FlowNode } from '../flow-node.ts'
import { reverse } from '../flows.ts'
import type { PacketPath } from '../packet-path.ts'
import { endsOf, isPlainData, mayBeSuper, wholeLength } from '../packet-shape.ts'
import type { CrossingParts } from '../traffic-parts.ts'
import { DROP_COUNTER, type DropReason, type Verdict } from '../verdict.ts'
import type { Translated } from '../xlat/context.ts'
import type { FollowCache, Followed, Hand } from './follow-cache.ts'

/**
 * The packet path of a follower: plain data of the flows that it knows crosses as it does in `Traffic`, everything else is the lead's,
 * as it came. What was handed over or held waits, as far as the caller is concerned.
 */
export class FollowTraffic implements PacketPath {
  flow: Followed | null = null
  readonly #p: CrossingParts
  readonly #cache: FollowCache
  readonly #hand: Hand
  readonly #crossing: Crossing
  readonly #t: FiveTuple = newFiveTuple()

  constructor(parts: CrossingParts, cache: FollowCache, hand: Hand) {
    this.#p = parts
    this.#cache = cache
    this.#hand = hand
    this.#crossing = new Crossing(parts)
  }

  get result(): Translated {
    return this.#crossing.result
  }

  outward(
    v: DataView,
    low: number,
    at: number,
    len: number,
    gso: number,
    node: FlowNode,
    _pairOf: unknown,
    _now: unknown,
    row: number,
  ): Verdict {
    const t = this.#t
    this.flow = null
    const fault = validInner(v, at, len)
    if (fault !== 'ok') return this.#drop(fault)
    if (!readTuple(v, at, len, t)) return this.#drop('short')
    if (gso !== 0 && !mayBeSuper(t)) return this.#drop('bad-length')
    const flow = mayBeKnown(t) ? this.#cache.findInner(v, t, node) : null
    if (flow === null || !isPlainData(v, t, at + len)) return this.#toLead(flow, row, v, at, len, gso)
    if (!this.#cache.admits(flow, true)) return this.#hold(flow, true, row, v, at, len, gso)
    this.#note(v, flow, true)
    return this.#crossing.toEdge(v, low, at, len, gso, t, flow)
  }

  released(): null {
    return null
  }

  inward(v: DataView, low: number, at: number, room: number, gso: number): Verdict {
    const t = this.#t
    this.flow = null
    const len = wholeLength(v, at, room)
    if (len < 0 || !readTuple(v, at, len, t)) return this.#drop('short')
    if (gso !== 0 && !mayBeSuper(t)) return this.#drop('bad-length')
    reverse(t)
    const flow = mayBeKnown(t) ? this.#cache.findEdge(v, t) : null
    reverse(t)
    if (flow === null || !isPlainData(v, t, at + len)) return this.#toLead(flow, EDGE, v, at, len, gso)
    if (!this.#cache.admits(flow, false)) return this.#hold(flow, false, EDGE, v, at, len, gso)
    this.#note(v, flow, false)
    this.flow = flow
    return this.#crossing.toHost(v, low, at, len, gso, t, flow)
  }

  #note(v: DataView, flow: Followed, outward: boolean): void {
    const seen = endsOf(v, this.#t, outward)
    if (seen !== 0) this.#cache.ends(flow, seen)
  }

  /** What opens a flow or comes in fragments is the lead's, and nothing may overtake it: so is the whole flow from here on. */
  #toLead(flow: Followed | null, row: number, v: DataView, at: number, len: number, gso: number): Verdict {
    if (flow !== null) this.#cache.giveUp(flow)
    this.#hand(row, bytesOf(v, at, len), gso)
    return 'wait'
  }

  #hold(flow: Followed, out: boolean, row: number, v: DataView, at: number, len: number, gso: number): Verdict {
    this.#cache.hold(flow, out, row, bytesOf(v, at, len), gso)
    return 'wait'
  }

  #drop(reason: DropReason): Verdict {
    this.#p.counters.count(DROP_COUNTER[reason])
    this.result.reason = reason
    return 'drop'
  }
}

/** Ports can be read: only then a packet says which flow it is of. */
const mayBeKnown = (t: FiveTuple): boolean => (t.protocol === TCP || t.protocol === UDP) && t.fragment !== 'later'

const bytesOf = (v: DataView, at: number, len: number): Uint8Array => new Uint8Array(v.buffer, v.byteOffset + at, len)

/** In the place of a tunnel's row. */
const EDGE = 0
