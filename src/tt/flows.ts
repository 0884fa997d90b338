import { after, type Instant, instant } from '#ntm-lib/base/time.ts'
import { type FiveTuple, tupleHash } from '#ntm-lib/packet/five-tuple.ts'
import { TCP, UDP } from '#ntm-lib/packet/protocol.ts'
import { FIN, flags, RST, SYN, TCP_BYTES } from '#ntm-lib/packet/tcp.ts'
import { type FlowNode, takeToken } from './flow-node.ts'
import { type FlowSide, pairsOf, sideHash, sideMatches } from './flow-side.ts'
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

export type FlowLimits = { readonly total: number; readonly perNode: number }

/** All flows of a terminator, found by either side. Lookups allocate nothing. */
export class FlowTable {
  readonly #limits: FlowLimits
  readonly #seed: number
  readonly #watch: FlowWatch | null
  readonly #inner = new Map<number, Flow>()
  readonly #edge = new Map<number, Flow>()
  readonly #all = new Set<Flow>()
  #sweepAt: Instant = instant(0)

  /** `seed` is random per process: nobody can aim at one hash bucket. */
  constructor(limits: FlowLimits, seed: number, watch: FlowWatch | null = null) {
    this.#limits = limits
    this.#seed = seed
    this.#watch = watch
  }

  get size(): number {
    return this.#all.size
  }

  /** The flow of a packet from a tunnel. For the packet embedded in an error, `t` is reversed first. */
  findInner(v: DataView, t: FiveTuple, node: FlowNode): Flow | null {
    let flow = this.#inner.get(tupleHash(v, t, this.#seed)) ?? null
    while (flow !== null && !(flow.node === node && sideMatches(flow.inner, v, t))) flow = flow.nextInner
    return flow
  }

  /** The flow at the edge, `t` in the direction host → server: a reply's tuple is reversed first (`reverse`). */
  findEdge(v: DataView, t: FiveTuple): Flow | null {
    let flow = this.#edge.get(tupleHash(v, t, this.#seed)) ?? null
    while (flow !== null && !sideMatches(flow.edge, v, t)) flow = flow.nextEdge
    return flow
  }

  /**
   * Opens a flow. Two flows of one host that would look alike at the edge (two names, one real address, same ports)
   * cannot both get their replies: an open TCP flow keeps them (`flow-conflict`: the caller may try another address);
   * otherwise the newer flow takes them, as the older's answers have come or will not.
   */
  open(node: FlowNode, entry: ServerEntry, inner: FlowSide, edge: FlowSide, now: Instant): Flow | DropReason {
    const twin = this.#twin(edge)
    if (twin !== null && edge.protocol === TCP && isOpen(twin) && twin.until > now) return 'flow-conflict'
    if (node.flows >= this.#limits.perNode || this.#all.size >= this.#limits.total) return 'flow-limit'
    if (!takeToken(node, now)) return 'rate-limit'
    if (twin !== null) this.remove(twin)
    const flow: Flow = { node, entry, inner, edge, pairs: pairsOf(inner, edge), until: now, seen: 0, unanswered: 0, answered: false, allowedBy: 0, nextInner: null, nextEdge: null } // biome-ignore format: one record
    flow.until = after(now, lifetime(flow))
    const [i, e] = [sideHash(inner, this.#seed), sideHash(edge, this.#seed)]
    flow.nextInner = this.#inner.get(i) ?? null
    flow.nextEdge = this.#edge.get(e) ?? null
    this.#inner.set(i, flow)
    this.#edge.set(e, flow)
    this.#all.add(flow)
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
      if ((f & SYN) !== 0) flow.seen |= outbound ? 1 : 2
      if ((f & FIN) !== 0) flow.seen |= outbound ? 4 : 8
      if ((f & RST) !== 0) flow.seen |= 16
      if (!outbound) flow.unanswered = 0
      else if ((f & SYN) !== 0 && (flow.seen & 2) === 0 && ++flow.unanswered >= SILENT_SYNS) this.#silent(flow, now)
    }
    // RFC 6146 §3.5.1.1: an inbound packet alone does not refresh UDP; a chatty stranger could hold flows open.
    if (outbound || t.protocol !== UDP) flow.until = after(now, lifetime(flow))
  }

  remove(flow: Flow): void {
    if (!this.#all.delete(flow)) return
    this.#watch?.closed(flow)
    flow.node.flows--
    flow.entry.flows--
    const i = sideHash(flow.inner, this.#seed)
    const first = this.#inner.get(i) ?? null
    if (first === flow) replaceHead(this.#inner, i, flow.nextInner)
    else for (let f = first; f !== null; f = f.nextInner) if (f.nextInner === flow) f.nextInner = flow.nextInner
    const e = sideHash(flow.edge, this.#seed)
    const head = this.#edge.get(e) ?? null
    if (head === flow) replaceHead(this.#edge, e, flow.nextEdge)
    else for (let f = head; f !== null; f = f.nextEdge) if (f.nextEdge === flow) f.nextEdge = flow.nextEdge
  }

  /** Removes a node's flows: its path closed or its certificate was revoked. */
  removeNode(node: FlowNode): void {
    for (const flow of [...this.#all]) if (flow.node === node) this.remove(flow)
  }

  /** Removes dead flows. Safe to call early or twice. */
  tick(now: Instant): void {
    if (now < this.#sweepAt) return
    this.#sweepAt = after(now, TT_TIMERS.flowSweep)
    for (const flow of this.#all) if (flow.until <= now) this.remove(flow)
  }

  deadline(): Instant | null {
    return this.#all.size === 0 ? null : this.#sweepAt
  }

  /** The server says nothing: its address is avoided, and where there is another, the host's next SYN goes there. */
  #silent(flow: Flow, now: Instant): void {
    avoid(flow.entry, flow.edge.destination, now)
    if (flow.entry.addresses.length > 1) this.remove(flow)
  }

  #twin(edge: FlowSide): Flow | null {
    let flow = this.#edge.get(sideHash(edge, this.#seed)) ?? null
    while (flow !== null && !sameSide(flow.edge, edge)) flow = flow.nextEdge
    return flow
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

/** Opened in both directions, and neither closed in both nor reset. */
const isEstablished = (seen: number): boolean => (seen & 3) === 3 && (seen & 16) === 0 && (seen & 12) !== 12
/** Not known to be over: its replies must not go elsewhere. */
const isOpen = (flow: Flow): boolean => (flow.seen & 16) === 0 && (flow.seen & 12) !== 12

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

function replaceHead(map: Map<number, Flow>, key: number, next: Flow | null): void {
  if (next === null) map.delete(key)
  else map.set(key, next)
}

function sameSide(a: FlowSide, b: FlowSide): boolean {
  if (a.protocol !== b.protocol || a.sourcePort !== b.sourcePort || a.destinationPort !== b.destinationPort)
    return false
  if (a.addresses.length !== b.addresses.length) return false
  for (let i = 0; i < a.addresses.length; i++) if (a.addresses[i] !== b.addresses[i]) return false
  return true
}
