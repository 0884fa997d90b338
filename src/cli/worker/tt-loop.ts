import type { Instant } from '#ntm-lib/base/time.ts'
import * as ip4 from '#ntm-lib/packet/ip4.ts'
import * as ip6 from '#ntm-lib/packet/ip6.ts'
import type { TunnelPlane } from '#ntm-lib/plane/tunnel-plane.ts'
import {
  type Batch,
  batch,
  HEADROOM,
  type SuperBatch,
  type SuperPort,
  slotAt,
  superBatch,
} from '#ntm-lib/ports/packet-port.ts'
import type { FlowNode } from '#tt/flow-node.ts'
import type { PacketPath } from '#tt/packet-path.ts'
import type { CrossingParts } from '#tt/traffic-parts.ts'
import type { XlatContext } from '#tt/xlat/context.ts'
import { Leg } from './leg.ts'
import { type CrossingSettings, crossingParts, SLOT_BYTES, SLOTS } from './tt-crossing.ts'
import type { Customer } from './tt-customers.ts'

export type TtLoopParts = CrossingSettings & {
  readonly edge: SuperPort
  readonly plane: Pick<TunnelPlane, 'put' | 'flush' | 'innerMtu'>
  /** The kernel's route spends the packet's hop (TUN); where it does not (raw socket), we do. */
  readonly kernelSpendsHop: boolean
  /** Cuts a super-packet into complete packets: `PacketIo.segment` into the slots of `into`. How many, negative when it cannot. */
  readonly segment: (arena: Uint8Array, at: number, len: number, gso: number, into: Batch) => number
  /** After each reading of the edge, when all that was put has left. */
  readonly onRound?: () => void
}

/**
 * The terminator's packet loop: inner packets become ordinary ones on the edge port, packets from the edge go back into
 * their tunnel. Both directions work where the packet lies; only what is cut is copied. Batches are made once.
 */
export class TtLoop<Path extends PacketPath> {
  readonly path: Path
  readonly #p: TtLoopParts
  readonly #in: SuperBatch = superBatch(EDGE_SLOTS)
  /** Packets for the edge; flushed before the memory they lie in is written to again. */
  readonly #edge: Leg
  /** The segments of a super-packet that had to be cut. */
  readonly #cut = batch(CUT_SLOTS, SLOT_BYTES)
  /** A fragment that waited for its first one. */
  readonly #one = batch(1, SLOT_BYTES)
  readonly #out: XlatContext
  readonly #back: XlatContext
  /** Rows of the replies that wait in `#out.reply`. */
  readonly #replyRows = new Int32Array(SLOTS)

  /** `makePath` is given what crossing needs. */
  constructor(parts: TtLoopParts, makePath: (parts: CrossingParts) => Path) {
    this.#p = parts
    this.#edge = new Leg(parts.edge)
    const crossing = crossingParts(parts)
    this.#out = crossing.out
    this.#back = crossing.back
    this.path = makePath(crossing)
    parts.edge.onReadable(() => this.readEdge(ROUNDS))
  }

  /** A genuine inner packet: slot `i` of `b`, sent at `afterOpen`. */
  fromTunnel(row: number, customer: Customer, b: SuperBatch, i: number, now: Instant): void {
    this.#outward(row, customer, b, i * b.slotBytes, slotAt(b, i), b.lens[i] ?? 0, b.gso[i] ?? 0, now)
    for (let p = this.path.released(); p !== null; p = this.path.released()) {
      const one = this.#one
      if (p.length > SLOT_BYTES - HEADROOM) {
        this.#p.counters.count('tt.drop.jumbo')
        continue
      }
      one.arena.set(p, slotAt(one, 0))
      this.#outward(row, customer, one, 0, slotAt(one, 0), p.length, 0, now)
      this.#edge.flush()
    }
  }

  /** A packet from the edge, read by somebody else: slot `i` of `b`, sent at `finish`. */
  fromEdge(b: SuperBatch, i: number, now: Instant): void {
    this.#inward(b, i * b.slotBytes, slotAt(b, i), b.lens[i] ?? 0, b.gso[i] ?? 0, now)
  }

  /** All that was put, whichever way, leaves. */
  finish(now: Instant): void {
    this.#p.plane.flush(now)
    this.afterOpen(now)
    this.#sendReplies()
  }

  /** What was put together from one opening leaves. */
  afterOpen(now: Instant): void {
    this.#edge.flush()
    const { reply } = this.#out
    if (reply.count === 0) return
    for (let k = 0; k < reply.count; k++) {
      this.#p.plane.put(this.#replyRows[k] ?? 0, reply, slotAt(reply, k), reply.lens[k] ?? 0, 0, now)
    }
    reply.count = 0
    this.#p.plane.flush(now)
  }

  #outward(
    row: number,
    customer: Customer,
    b: Batch,
    low: number,
    at: number,
    len: number,
    gso: number,
    now: Instant,
  ): void {
    const { path } = this
    const { reply, spill } = this.#out
    const replies = reply.count
    const verdict = path.outward(b.view, low, at, len, gso, customer.node, customer.pairOf, now, row)
    if (verdict === 'forward') this.#toEdge(b, path.result.at, path.result.len, path.result.gso)
    else if (verdict === 'split') {
      for (let k = 0; k < spill.count; k++) this.#toEdge(spill, slotAt(spill, k), spill.lens[k] ?? 0, 0)
      this.#edge.flush()
    } else if (verdict === 'cut') {
      const cut = this.#segmented(b, at, len, gso)
      for (let k = 0; k < cut.count; k++) {
        this.#outward(row, customer, cut, k * cut.slotBytes, slotAt(cut, k), cut.lens[k] ?? 0, 0, now)
      }
      this.#edge.flush()
    }
    if (reply.count > replies) this.#replyRows[replies] = row
  }

  /** At most so many readings: readiness is level-triggered, so what is left brings us back next turn. */
  readEdge(rounds: number): void {
    const { edge, plane, clock, onRound } = this.#p
    const b = this.#in
    for (let round = 0; round < rounds; round++) {
      const n = edge.recvSuper(b)
      if (n === 0) break
      const now = clock.now()
      for (let i = 0; i < n; i++) this.fromEdge(b, i, now)
      // The slots are read into next.
      plane.flush(now)
      this.#sendReplies()
      onRound?.()
      if (n < b.lens.length) break
    }
  }

  #inward(b: Batch, low: number, at: number, room: number, gso: number, now: Instant): void {
    const { path } = this
    const { plane } = this.#p
    const verdict = path.inward(b.view, low, at, room, gso, now)
    const node = path.flow?.node
    if (node === undefined) return
    if (verdict === 'forward') {
      const { result } = path
      if (plane.put(node.via, b, result.at, result.len, result.gso, now) !== 'cut-first') return
      plane.flush(now)
      const cut = this.#segmented(b, result.at, result.len, result.gso)
      this.#putAll(node, cut, now)
    } else if (verdict === 'split') {
      plane.flush(now)
      this.#putAll(node, this.#back.spill, now)
    } else if (verdict === 'cut') {
      plane.flush(now)
      const cut = this.#segmented(b, at, room, gso)
      for (let k = 0; k < cut.count; k++) {
        this.#inward(cut, k * cut.slotBytes, slotAt(cut, k), cut.lens[k] ?? 0, 0, now)
      }
      plane.flush(now)
    }
  }

  #putAll(node: FlowNode, b: Batch, now: Instant): void {
    const { plane } = this.#p
    for (let k = 0; k < b.count; k++) plane.put(node.via, b, slotAt(b, k), b.lens[k] ?? 0, 0, now)
    plane.flush(now)
  }

  #segmented(b: Batch, at: number, len: number, gso: number): Batch {
    const n = this.#p.segment(b.arena, at, len, gso, this.#cut)
    if (n < 0) this.#p.counters.count('tt.drop.uncuttable')
    this.#cut.count = Math.max(0, n)
    return this.#cut
  }

  #toEdge(b: Batch, at: number, len: number, gso: number): void {
    if (!this.#p.kernelSpendsHop) spendHop(b.view, at)
    this.#edge.add(b.arena, at, len, gso)
  }

  #sendReplies(): void {
    const { reply } = this.#back
    for (let k = 0; k < reply.count; k++) this.#toEdge(reply, slotAt(reply, k), reply.lens[k] ?? 0, 0)
    reply.count = 0
    this.#edge.flush()
  }
}

/** Our own errors start at 64 and everything else was checked to have a hop to spend. */
function spendHop(v: DataView, at: number): void {
  if (ip4.version(v, at) === 4) ip4.setTtl(v, at, Math.max(0, ip4.ttl(v, at) - 1))
  else v.setUint8(at + 7, Math.max(0, ip6.hopLimit(v, at) - 1))
}

/** Super-packets of one reading. Eight or four cost the same per byte. */
const EDGE_SLOTS = 32
/** Datagrams that one UDP send may hold, in Linux. */
const CUT_SLOTS = 128
const ROUNDS = 4
