import { type Ip, isIp4, sameIp } from '#ntm-lib/addr/ip.ts'
import type { Instant } from '#ntm-lib/base/time.ts'
import { type FiveTuple, newFiveTuple, readTuple } from '#ntm-lib/packet/five-tuple.ts'
import * as icmp4 from '#ntm-lib/packet/icmp4.ts'
import * as icmp6 from '#ntm-lib/packet/icmp6.ts'
import { validInner } from '#ntm-lib/packet/inner.ts'
import * as ip4 from '#ntm-lib/packet/ip4.ts'
import * as ip6 from '#ntm-lib/packet/ip6.ts'
import { ICMP4, ICMP6, TCP, UDP } from '#ntm-lib/packet/protocol.ts'
import { embeddedAt4, embeddedAt6 } from '#ntm-lib/packet/rewrite.ts'
import { Crossing } from './crossing.ts'
import type { FlowNode } from './flow-node.ts'
import { flowSide } from './flow-side.ts'
import { type Flow, reverse } from './flows.ts'
import { Fragments } from './fragments.ts'
import type { PacketPath } from './packet-path.ts'
import { mayBeSuper, wholeLength } from './packet-shape.ts'
import { candidates, hasOther } from './server-entry.ts'
import type { PairOf, TrafficParts } from './traffic-parts.ts'
import { DROP_COUNTER, type DropReason, type Verdict } from './verdict.ts'
import type { Translated } from './xlat/context.ts'

/**
 * The terminator's packet path, in place (SEED 000 §4.3): from a tunnel to the edge the destination becomes the server's
 * real address and the family may change; from the edge back the flow says which virtual address the host used.
 */
export class Traffic implements PacketPath {
  /** The flow of the last packet that had one and went on: whose node it comes from or goes to. */
  flow: Flow | null = null
  readonly #p: TrafficParts
  readonly #t: FiveTuple = newFiveTuple()
  readonly #fragments: Fragments
  readonly #crossing: Crossing

  constructor(parts: TrafficParts) {
    this.#p = parts
    this.#fragments = new Fragments(parts.seed)
    this.#crossing = new Crossing(parts)
  }

  /** Where the packet of the last `forward` is, or why it is not. Valid until the next call. */
  get result(): Translated {
    return this.#crossing.result
  }

  /**
   * An authenticated inner packet of `node`, `len` bytes at `at`, on its way to a server. `low`: first byte it may move
   * back to; `gso` as in `SuperBatch`.
   */
  outward(
    v: DataView,
    low: number,
    at: number,
    len: number,
    gso: number,
    node: FlowNode,
    pairOf: PairOf,
    now: Instant,
  ): Verdict {
    const t = this.#t
    this.flow = null
    const fault = validInner(v, at, len)
    if (fault !== 'ok') return this.#drop(fault)
    if (!readTuple(v, at, len, t)) return this.#drop('short')
    if (gso !== 0 && !mayBeSuper(t)) return this.#drop('bad-length')
    if (!carriesIcmp(v, t)) return this.#drop('icmp-type')
    if (t.icmpError) return this.#errorOutward(v, low, at, len, node, now)
    const later = t.fragment === 'later'
    const flow = later ? this.#fragments.find(v, t, node, now) : this.#outFlow(v, at, node, pairOf, now)
    if (flow === null) {
      return this.#fragments.park(v, t, at, len, node, now) ? 'wait' : this.#drop('fragment-unknown')
    }
    if (typeof flow === 'string') return flow === 'no-address' ? this.#unreachable(v, at, len) : this.#drop(flow)
    if (!this.#stillAllowed(flow)) return this.#drop('egress-refused')
    if (t.fragment === 'first') this.#fragments.note(v, t, flow, now)
    this.#p.flows.touch(flow, v, t, at + len, true, now)
    this.flow = flow
    return this.#crossing.toEdge(v, low, at, len, gso, t, flow)
  }

  /** After each `outward`, until null: packets that waited for the one just treated, to be given to `outward` again. */
  released(): Uint8Array | null {
    return this.#fragments.released()
  }

  /** A packet from the edge, on its way to a host; `flow.node` says through which tunnel. */
  inward(v: DataView, low: number, at: number, room: number, gso: number, now: Instant): Verdict {
    const t = this.#t
    this.flow = null
    const len = wholeLength(v, at, room)
    if (len < 0 || !readTuple(v, at, len, t)) return this.#drop('short')
    if (gso !== 0 && !mayBeSuper(t)) return this.#drop('bad-length')
    if (!carriesIcmp(v, t)) return this.#drop('icmp-type')
    const flow = t.icmpError ? this.#aboutEdge(v, at, len) : this.#inFlow(v, now)
    if (flow === null) return this.#drop(t.fragment === 'later' ? 'fragment-unknown' : 'unknown-flow')
    if (t.icmpError) {
      if (this.#leaves(v, t, flow, now)) return this.#drop('failed-over')
    } else {
      if (t.fragment === 'first') this.#fragments.note(v, t, flow, now)
      this.#p.flows.touch(flow, v, t, at + len, false, now)
    }
    this.flow = flow
    return this.#crossing.toHost(v, low, at, len, gso, t, flow)
  }

  /** The node's path is gone: its flows and fragments. */
  removeNode(node: FlowNode): void {
    this.#p.flows.removeNode(node)
    this.#fragments.removeNode(node)
  }

  tick(now: Instant): void {
    this.#p.flows.tick(now)
    this.#fragments.tick(now)
  }

  #outFlow(v: DataView, at: number, node: FlowNode, pairOf: PairOf, now: Instant): Flow | DropReason {
    const { flows, table, egress, counters } = this.#p
    const t = this.#t
    const known = flows.findInner(v, t, node)
    if (known !== null) return known
    const four = t.family === 4
    const source: Ip = four ? ip4.source(v, at) : ip6.source(v, at)
    const virtual: Ip = four ? ip4.destination(v, at) : ip6.destination(v, at)
    const pair = pairOf(source)
    // Another node's address, a server's, ours: the tunnel's filter lets none of them through, and neither do we.
    if (pair === null) return 'bad-source'
    const entry = table.byVirtual(node.key, virtual)
    if (entry === null) return 'no-address'
    const inner = flowSide(t.protocol, source, t.sourcePort, virtual, t.destinationPort)
    let why: DropReason = 'egress-refused'
    for (const real of candidates(entry, t.family, now)) {
      const refused = egress.refuses(real)
      if (refused !== null) {
        counters.count(`tt.egress.${refused}`)
        continue
      }
      const protocol = crossed(t.protocol, isIp4(real) ? 4 : 6)
      const from = isIp4(real) ? pair.vip4 : pair.vip6
      const edge = flowSide(protocol, from, t.sourcePort, real, t.destinationPort)
      const flow = flows.open(node, entry, inner, edge, now)
      if (typeof flow !== 'string') {
        flow.allowedBy = egress.version
        return flow
      }
      why = flow
      if (why !== 'flow-conflict') break
    }
    return why
  }

  /** The policy may have changed since the flow was opened: an address of this machine came, a subnet, a coordinator. */
  #stillAllowed(flow: Flow): boolean {
    const { egress, flows, counters } = this.#p
    if (flow.allowedBy === egress.version) return true
    const refused = egress.refuses(flow.edge.destination)
    flow.allowedBy = egress.version
    if (refused === null) return true
    counters.count(`tt.egress.${refused}`)
    flows.remove(flow)
    return false
  }

  #inFlow(v: DataView, now: Instant): Flow | null {
    const t = this.#t
    if (t.fragment === 'later') return this.#fragments.find(v, t, null, now)
    reverse(t)
    const flow = this.#p.flows.findEdge(v, t)
    reverse(t)
    return flow
  }

  /** The flow that an ICMP error from the edge is about: its embedded packet went host → server. */
  #aboutEdge(v: DataView, at: number, len: number): Flow | null {
    const inner = embeddedAt(v, at, len)
    return inner >= 0 && readTuple(v, inner, at + len - inner, EMBEDDED) && !EMBEDDED.icmpError
      ? this.#p.flows.findEdge(v, EMBEDDED)
      : null
  }

  /** A host complains about a reply it got: the embedded packet went server → host. Only to that server, as that host. */
  #errorOutward(v: DataView, low: number, at: number, len: number, node: FlowNode, now: Instant): Verdict {
    const inner = embeddedAt(v, at, len)
    if (inner < 0 || !readTuple(v, inner, at + len - inner, EMBEDDED) || EMBEDDED.icmpError) {
      return this.#drop('unknown-flow')
    }
    reverse(EMBEDDED)
    const flow = this.#p.flows.findInner(v, EMBEDDED, node)
    if (flow === null || !isBetween(v, at, flow)) return this.#drop('unknown-flow')
    if (!this.#stillAllowed(flow)) return this.#drop('egress-refused')
    flow.entry.lastUsed = now
    return this.#crossing.toEdge(v, low, at, len, 0, this.#t, flow)
  }

  /**
   * Destination unreachable from the server or on the way: new flows take another of its addresses for a while. True when
   * nothing ever came back on this flow and there is another address: the flow goes, the host hears nothing, and its
   * next try gets that address (most hosts give up at once when they hear).
   */
  #leaves(v: DataView, t: FiveTuple, flow: Flow, now: Instant): boolean {
    const type = v.getUint8(t.upperAt)
    const code = v.getUint8(t.upperAt + 1)
    const gone = t.family === 4 ? type === icmp4.UNREACHABLE && code <= 1 : type === icmp6.UNREACHABLE && code !== 4
    // RFC 5927 §5.2: once a connection stands, an error that anybody can forge says nothing about the server.
    if (!gone || (flow.edge.protocol === TCP && flow.answered)) return false
    this.#p.table.unreachable(flow.entry, flow.edge.destination, now)
    if (flow.answered || !hasOther(flow.entry, now)) return false
    this.#p.flows.remove(flow)
    return true
  }

  /** Nobody here knows that virtual address: the host is told at once. */
  #unreachable(v: DataView, at: number, len: number): Verdict {
    const { UNREACHABLE: type4, HOST_UNREACHABLE: code4 } = icmp4
    const { UNREACHABLE: type6, ADDRESS_UNREACHABLE: code6 } = icmp6
    return this.#crossing.answer(v, at, len, this.#p.out, 'no-address', type4, code4, type6, code6)
  }

  #drop(reason: DropReason): Verdict {
    this.#p.counters.count(DROP_COUNTER[reason])
    this.result.reason = reason
    return 'drop'
  }
}

/** Of ICMP only echo and the errors of RFC 7915 §4.2 and §5.2: no redirect, no neighbour discovery, in any family. */
function carriesIcmp(v: DataView, t: FiveTuple): boolean {
  if (t.protocol === TCP || t.protocol === UDP) return true
  const four = t.family === 4 && t.protocol === ICMP4
  const six = t.family === 6 && t.protocol === ICMP6
  // The other family's ICMP means nothing to anybody.
  if (!four && !six) return t.protocol !== ICMP4 && t.protocol !== ICMP6
  if (t.fragment === 'later') return true
  const type = v.getUint8(t.upperAt)
  if (six) return icmp6.isEcho(type) || (type >= icmp6.UNREACHABLE && type <= icmp6.PARAMETER_PROBLEM)
  return icmp4.isEcho(type) || (icmp4.isError(type) && type !== icmp4.REDIRECT && type !== icmp4.SOURCE_QUENCH)
}

/** Whether the packet goes from the flow's host to the flow's server. */
function isBetween(v: DataView, at: number, { inner }: Flow): boolean {
  return ip4.version(v, at) === 4
    ? sameIp(inner.source, ip4.source(v, at)) && sameIp(inner.destination, ip4.destination(v, at))
    : sameIp(inner.source, ip6.source(v, at)) && sameIp(inner.destination, ip6.destination(v, at))
}

const embeddedAt = (v: DataView, at: number, len: number): number =>
  ip4.version(v, at) === 4 ? embeddedAt4(v, at, len) : embeddedAt6(v, at, len)

/** ICMP has a number per family; everything else keeps its own. */
function crossed(protocol: number, to: 4 | 6): number {
  if (protocol === ICMP4 && to === 6) return ICMP6
  return protocol === ICMP6 && to === 4 ? ICMP4 : protocol
}

/** Scratch for the packet inside an ICMP error; nothing in it outlives one call. */
const EMBEDDED = newFiveTuple()
