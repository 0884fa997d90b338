import { after, type Instant, instant } from '#ntm-lib/base/time.ts'
import type { FiveTuple } from '#ntm-lib/packet/five-tuple.ts'
import { TCP, UDP } from '#ntm-lib/packet/protocol.ts'
import { flags, SYN, TCP_BYTES } from '#ntm-lib/packet/tcp.ts'
import { FlowIndex } from './flow-index.ts'
import { type FlowNode, takeToken } from './flow-node.ts'
import { type FlowSide, pairsOf } from './flow-side.ts'
import { endsOf, SEEN_FIN_IN, SEEN_FIN_OUT, SEEN_RST, SEEN_SYN_IN, SEEN_SYN_OUT } from './packet-shape.ts'
import { avoid, type ServerEntry } from './server-entry.ts'
import { TT_TIMERS } from './timers.ts'
import type { DropReason } from './verdict.ts'
import type { AddressPairs } from './xlat/addr.ts'

/**
 * One conversation of a host behind a node with a real server. Replies carry only the server's real address, and several
 * names may have that same address: only the flow knows which virtual address the host used.
 */
export type Flow = {
  readonly node: FlowNode
  readonly entry: ServerEntry
  /** Host → server as in the tunnel: virtual addresses, the host's family. */
  readonly inner: FlowSide
  /** Host → server as at the edge: the host's virtual and the server's real address, the server's family. */
  readonly edge: FlowSide
  /** What stands for what, when the two sides differ in family. */
  readonly pairs: AddressPairs | null
  until: Instant
  /** TCP: bit 0 SYN out, 1 SYN in, 2 FIN out, 3 FIN in, 4 RST. */
  seen: number
  /** TCP: SYNs sent that nothing came back for. */
  unanswered: number
  /** Something came back. */
  answered: boolean
  /** Version of the egress policy that let it be opened. */
  allowedBy: number
  nextInner: Flow | null
  nextEdge: Flow | null
}

/** Told of every flow that is opened and of its end; for operators' logs. */
export type FlowWatch = { opened(flow: Flow): void; closed(flow: Flow): void }

export const watchAll = (watches: readonly FlowWatch[]): FlowWatch => ({
  opened: (flow) => {
    for (const w of watches) w.opened(flow)
  },
  closed: (flow) => {
    for (const w of watches) w.closed(flow)
  },
})

export type FlowLimits = { readonly total: number; readonly perNode: number }

/** All flows of a terminator, found by either side. Lookups allocate nothing. */
export class FlowTable {
  readonly #limits: FlowLimits
  readonly #watch: FlowWatch | null
  readonly #index: FlowIndex<Flow>
  #sweepAt: Instant = instant(0)

  /** `seed` is random per process: nobody can aim at one hash bucket. */
  constructor(limits: FlowLimits, seed: number, watch: FlowWatch | null = null) {
    this.#limits = limits
    this.#index = new FlowIndex(seed)
    this.#watch = watch
  }

  get size(): number {
    return this.#index.size
  }

  /** The flow of a packet from a tunnel. For the packet embedded in an error, `t` is reversed first. */
  findInner(v: DataView, t: FiveTuple, node: FlowNode): Flow | null {
    return this.#index.findInner(v, t, node)
  }

  /** The flow at the edge, `t` in the direction host → server: a reply's tuple is reversed first (`reverse`). */
  findEdge(v: DataView, t: FiveTuple): Flow | null {
    return this.#index.findEdge(v, t)
  }

  /**
   * Opens a flow. Two flows of one host that would look alike at the edge (two names, one real address, same ports)
   * cannot both get their replies: an open TCP flow keeps them (`flow-conflict`: the caller may try another address);
   * otherwise the newer flow takes them, as the older's answers have come or will not.
   */
  open(node: FlowNode, entry: ServerEntry, inner: FlowSide, edge: FlowSide, now: Instant): Flow | DropReason {
    const twin = this.#index.atEdge(edge)
    if (twin !== null && edge.protocol === TCP && isOpen(twin) && twin.until > now) return 'flow-conflict'
    if (node.flows >= this.#limits.perNode || this.#index.size >= this.#limits.total) return 'flow-limit'
    if (!takeToken(node, now)) return 'rate-limit'
    if (twin !== null) this.remove(twin)
    const flow: Flow = { node, entry, inner, edge, pairs: pairsOf(inner, edge), until: now, seen: 0, unanswered: 0, answered: false, allowedBy: 0, nextInner: null, nextEdge: null } // biome-ignore format: one record
    flow.until = after(now, lifetime(flow))
    this.#index.add(flow)
    node.flows++
    entry.flows++
    entry.lastUsed = now
    this.#watch?.opened(flow)
    return flow
  }

  /** Notes a packet of the flow: outbound is host → server. Keeps the flow alive as RFC 6146 §3.5 says. */
  touch(flow: Flow, v: DataView, t: FiveTuple, end: number, outbound: boolean, now: Instant): void {
    flow.entry.lastUsed = now
    if (!outbound) flow.answered = true
    if (t.protocol === TCP && t.fragment !== 'later' && t.upperAt + TCP_BYTES <= end) {
      const f = flags(v, t.upperAt)
      // The host uses the ports of a closed connection again: it is a new one.
      if ((f & SYN) !== 0 && outbound && !isOpen(flow)) {
        flow.seen = flow.unanswered = 0
        flow.answered = false
      }
      if ((f & SYN) !== 0) flow.seen |= outbound ? SEEN_SYN_OUT : SEEN_SYN_IN
      flow.seen |= endsOf(v, t, outbound)
      if (!outbound) flow.unanswered = 0
      else if ((f & SYN) !== 0 && (flow.seen & SEEN_SYN_IN) === 0 && ++flow.unanswered >= SILENT_SYNS)
        this.#silent(flow, now)
    }
    this.#refresh(flow, outbound, now)
  }

  /** Plain data of the flow went by elsewhere lately: as `touch` of each. */
  used(flow: Flow, outbound: boolean, inbound: boolean, now: Instant): void {
    flow.entry.lastUsed = now
    if (inbound) {
      flow.answered = true
      flow.unanswered = 0
    }
    this.#refresh(flow, outbound, now)
  }

  /** RFC 6146 §3.5.1.1: an inbound packet alone does not refresh UDP; a chatty stranger could hold flows open. */
  #refresh(flow: Flow, outbound: boolean, now: Instant): void {
    if (outbound || flow.edge.protocol !== UDP) flow.until = after(now, lifetime(flow))
  }

  remove(flow: Flow): void {
    if (!this.#index.delete(flow)) return
    this.#watch?.closed(flow)
    flow.node.flows--
    flow.entry.flows--
  }

  /** Removes a node's flows: its path closed or its certificate was revoked. */
  removeNode(node: FlowNode): void {
    for (const flow of this.#index.all) if (flow.node === node) this.remove(flow)
  }

  /** Removes dead flows. Safe to call early or twice. */
  tick(now: Instant): void {
    if (now < this.#sweepAt) return
    this.#sweepAt = after(now, TT_TIMERS.flowSweep)
    for (const flow of this.#index.all) if (flow.until <= now) this.remove(flow)
  }

  deadline(): Instant | null {
    return this.#index.size === 0 ? null : this.#sweepAt
  }

  /** The server says nothing: its address is avoided, and where there is another, the host's next SYN goes there. */
  #silent(flow: Flow, now: Instant): void {
    avoid(flow.entry, flow.edge.destination, now)
    if (flow.entry.addresses.length > 1) this.remove(flow)
  }
}

/** SYNs at 0, 1 and 3 s without an answer: three seconds are more than any path takes. */
const SILENT_SYNS = 3

/** Swaps a tuple's direction in place: a reply's tuple becomes its flow's. */
export function reverse(t: FiveTuple): void {
  const port = t.sourcePort
  const at = t.sourceAt
  t.sourcePort = t.destinationPort
  t.destinationPort = port
  t.sourceAt = t.destinationAt
  t.destinationAt = at
}

/** Its packets need no looking at: opened in both directions and closed in none, or without such states. */
export const stands = (flow: Flow): boolean =>
  flow.edge.protocol === TCP ? flow.seen === OPENED : flow.edge.protocol === UDP

/** Opened in both directions, and neither closed in both nor reset. */
const isEstablished = (seen: number): boolean => (seen & OPENED) === OPENED && !isOver(seen)
/** Not known to be over: its replies must not go elsewhere. */
const isOpen = (flow: Flow): boolean => !isOver(flow.seen)
const isOver = (seen: number): boolean => (seen & SEEN_RST) !== 0 || (seen & CLOSED) === CLOSED

function lifetime(flow: Flow): (typeof TT_TIMERS)[keyof typeof TT_TIMERS] {
  switch (flow.edge.protocol) {
    case TCP:
      return isEstablished(flow.seen) ? TT_TIMERS.tcpEstablished : TT_TIMERS.tcpTransitory
    case UDP:
      return TT_TIMERS.udp
    case 1:
    case 58:
      return TT_TIMERS.icmp
    default:
      return TT_TIMERS.other
  }
}
const OPENED = SEEN_SYN_OUT | SEEN_SYN_IN
const CLOSED = SEEN_FIN_OUT | SEEN_FIN_IN
