import type { Ip } from '#ntm-lib/addr/ip.ts'
import { isIp4 } from '#ntm-lib/addr/ip.ts'
import type { Instant } from '#ntm-lib/base/time.ts'
import { type FiveTuple, newFiveTuple, readTuple } from '#ntm-lib/packet/five-tuple.ts'
import { mayAnswer, writeError4, writeError6 } from '#ntm-lib/packet/icmp-error.ts'
import * as icmp4 from '#ntm-lib/packet/icmp4.ts'
import * as icmp6 from '#ntm-lib/packet/icmp6.ts'
import * as ip4 from '#ntm-lib/packet/ip4.ts'
import * as ip6 from '#ntm-lib/packet/ip6.ts'
import { ICMP4, ICMP6 } from '#ntm-lib/packet/protocol.ts'
import {
  embeddedAt4,
  embeddedAt6,
  rewriteDestination4,
  rewriteDestination6,
  rewriteEmbeddedDestination4,
  rewriteEmbeddedDestination6,
  rewriteSource4,
  rewriteSource6,
} from '#ntm-lib/packet/rewrite.ts'
import { HEADROOM, slotAt } from '#ntm-lib/ports/packet-port.ts'
import type { FlowNode } from './flow-node.ts'
import { flowSide } from './flow-side.ts'
import { type Flow, reverse } from './flows.ts'
import { Fragments } from './fragments.ts'
import { candidates } from './server-entry.ts'
import type { PairOf, TrafficParts } from './traffic-parts.ts'
import { DROP_COUNTER, type DropReason, type Verdict } from './verdict.ts'
import { newTranslated, type Translated, type XlatContext } from './xlat/context.ts'
import { fourToSix } from './xlat/four-to-six.ts'
import { sixToFour } from './xlat/six-to-four.ts'

/**
 * The terminator's packet path, in place (SEED 000 §4.3): from a tunnel to the edge the destination becomes the server's
 * real address and the family may change; from the edge back the flow says which virtual address the host used.
 */
export class Traffic {
  /** Where the packet of the last `forward` is. Valid until the next call. */
  readonly result: Translated = newTranslated()
  /** The flow of the last `inward` packet: whose node it goes to. */
  flow: Flow | null = null
  readonly #p: TrafficParts
  readonly #t: FiveTuple = newFiveTuple()
  readonly #fragments = new Fragments()
  readonly #address = new DataView(new ArrayBuffer(16))
  readonly #other = new DataView(new ArrayBuffer(16))

  constructor(parts: TrafficParts) {
    this.#p = parts
  }

  /** A genuine inner packet of `node`, `len` bytes at `at`, on its way to a server. `low`: first byte it may move back to. */
  outward(v: DataView, low: number, at: number, len: number, node: FlowNode, pairOf: PairOf, now: Instant): Verdict {
    const t = this.#t
    if (!readTuple(v, at, len, t)) return this.#drop('short')
    if (t.icmpError) return this.#errorOutward(v, low, at, len, node, now)
    const flow = t.fragment === 'later' ? this.#fragments.find(v, t, now) : this.#outFlow(v, at, node, pairOf, now)
    if (flow === null) return this.#drop('fragment-unknown')
    if (typeof flow === 'string') return flow === 'no-address' ? this.#unreachable(v, at, len) : this.#drop(flow)
    if (t.fragment === 'first') this.#fragments.note(v, t, flow, now)
    this.#p.flows.touch(flow, v, t, at + len, true, now)
    return this.#toEdge(v, low, at, len, flow)
  }

  /** A packet from the edge, on its way to a host; `flow.node` says through which tunnel. */
  inward(v: DataView, low: number, at: number, len: number, now: Instant): Verdict {
    const t = this.#t
    this.flow = null
    if (!readTuple(v, at, len, t)) return this.#drop('short')
    const flow = t.icmpError ? this.#aboutEdge(v, at, len) : this.#inFlow(v, now)
    if (flow === null) return this.#drop(t.fragment === 'later' ? 'fragment-unknown' : 'unknown-flow')
    this.flow = flow
    if (!t.icmpError) {
      if (t.fragment === 'first') this.#fragments.note(v, t, flow, now)
      this.#p.flows.touch(flow, v, t, at + len, false, now)
    } else this.#noteUnreachable(v, t, flow, now)
    return this.#toHost(v, low, at, len, flow)
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
    const entry = table.byVirtual(node.key, virtual)
    if (pair === null || entry === null) return 'no-address'
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
      if (typeof flow !== 'string') return flow
      why = flow
      if (why !== 'flow-conflict') break
    }
    return why
  }

  #inFlow(v: DataView, now: Instant): Flow | null {
    const t = this.#t
    if (t.fragment === 'later') return this.#fragments.find(v, t, now)
    reverse(t)
    const flow = this.#p.flows.findEdge(v, t)
    reverse(t)
    return flow
  }

  /** The flow that an ICMP error from the edge is about: its embedded packet went host → server. */
  #aboutEdge(v: DataView, at: number, len: number): Flow | null {
    const inner = this.#embedded(v, at, len)
    return inner !== null && readTuple(v, inner, at + len - inner, EMBEDDED)
      ? this.#p.flows.findEdge(v, EMBEDDED)
      : null
  }

  /** A host complains about a reply it got: the embedded packet went server → host. */
  #errorOutward(v: DataView, low: number, at: number, len: number, node: FlowNode, now: Instant): Verdict {
    const inner = this.#embedded(v, at, len)
    if (inner === null || !readTuple(v, inner, at + len - inner, EMBEDDED)) return this.#drop('unknown-flow')
    reverse(EMBEDDED)
    const flow = this.#p.flows.findInner(v, EMBEDDED, node)
    if (flow === null) return this.#drop('unknown-flow')
    flow.entry.lastUsed = now
    return this.#toEdge(v, low, at, len, flow)
  }

  #toEdge(v: DataView, low: number, at: number, len: number, { inner, edge }: Flow): Verdict {
    const { out } = this.#p
    const [from, to] = [inner.destination, edge.destination]
    if (isIp4(from) !== isIp4(to)) return this.#translate(v, low, at, len, inner, edge, out)
    const hops = isIp4(from) ? ip4.ttl(v, at) : ip6.hopLimit(v, at)
    if (hops <= out.lastHop) return this.#expired(v, at, len)
    if (isIp4(to)) rewriteDestination4(v, at, len, to)
    else {
      ip6.putAddress(this.#address, 0, to)
      rewriteDestination6(v, at, len, this.#address, 0)
    }
    return this.#forward(at, len)
  }

  #toHost(v: DataView, low: number, at: number, len: number, { inner, edge }: Flow): Verdict {
    const { back, router4, router6 } = this.#p
    const [real, virtual] = [edge.destination, inner.destination]
    if (isIp4(real) !== isIp4(virtual)) return this.#translate(v, low, at, len, inner, edge, back)
    if (isIp4(real) && isIp4(virtual)) {
      const fromServer = ip4.source(v, at) === real
      rewriteSource4(v, at, len, fromServer ? virtual : router4)
      if (!fromServer) rewriteEmbeddedDestination4(v, at, len, real, virtual)
    } else if (!isIp4(real) && !isIp4(virtual)) {
      const fromServer = ip6.isAddress(v, at + ip6.SOURCE_AT, real)
      ip6.putAddress(this.#address, 0, virtual)
      if (fromServer) rewriteSource6(v, at, len, this.#address, 0)
      else {
        ip6.putAddress(this.#other, 0, router6)
        rewriteSource6(v, at, len, this.#other, 0)
        ip6.putAddress(this.#other, 0, real)
        rewriteEmbeddedDestination6(v, at, len, this.#other, 0, this.#address, 0)
      }
    }
    return this.#forward(at, len)
  }

  /** The host's and the server's address pairs stand for each other; the rest is RFC 7915. */
  #translate(
    v: DataView,
    low: number,
    at: number,
    len: number,
    inner: Flow['inner'],
    edge: Flow['edge'],
    ctx: XlatContext,
  ): Verdict {
    const { pairs, counters } = this.#p
    pairs.clear()
    for (const [a, b] of [
      [inner.source, edge.source],
      [inner.destination, edge.destination],
    ] as const) {
      if (isIp4(a) && !isIp4(b)) pairs.pair(a, b)
      else if (!isIp4(a) && isIp4(b)) pairs.pair(b, a)
    }
    const verdict =
      ip4.version(v, at) === 4 ? fourToSix(v, low, at, len, ctx, this.result) : sixToFour(v, at, len, ctx, this.result)
    if (this.result.reason !== null) counters.count(DROP_COUNTER[this.result.reason])
    return verdict
  }

  #embedded(v: DataView, at: number, len: number): number | null {
    const inner = ip4.version(v, at) === 4 ? embeddedAt4(v, at, len) : embeddedAt6(v, at, len)
    return inner < 0 ? null : inner
  }

  /** Destination unreachable from the server or on the way: new flows take another of its addresses for a while. */
  #noteUnreachable(v: DataView, t: FiveTuple, flow: Flow, now: Instant): void {
    const type = v.getUint8(t.upperAt)
    const code = v.getUint8(t.upperAt + 1)
    const gone = t.family === 4 ? type === icmp4.UNREACHABLE && code <= 1 : type === icmp6.UNREACHABLE && code !== 4
    if (gone) this.#p.table.unreachable(flow.entry, flow.edge.destination, now)
  }

  /** Nobody here knows that virtual address: the host is told at once. */
  #unreachable(v: DataView, at: number, len: number): Verdict {
    const { UNREACHABLE, HOST_UNREACHABLE } = icmp4
    return this.#answer(
      v,
      at,
      len,
      'no-address',
      UNREACHABLE,
      HOST_UNREACHABLE,
      icmp6.UNREACHABLE,
      icmp6.ADDRESS_UNREACHABLE,
    )
  }

  #expired(v: DataView, at: number, len: number): Verdict {
    return this.#answer(v, at, len, 'ttl-expired', icmp4.TIME_EXCEEDED, 0, icmp6.TIME_EXCEEDED, 0)
  }

  #answer(
    v: DataView,
    at: number,
    len: number,
    reason: DropReason,
    t4: number,
    c4: number,
    t6: number,
    c6: number,
  ): Verdict {
    const { out, router4, router6 } = this.#p
    const { reply } = out
    this.#drop(reason)
    if (reply.count >= reply.lens.length || !mayAnswer(v, at, len) || !out.mayReply()) return 'drop'
    const to = slotAt(reply, reply.count)
    const room = reply.slotBytes - HEADROOM
    ip6.putAddress(this.#other, 0, router6)
    reply.lens[reply.count++] =
      ip4.version(v, at) === 4
        ? writeError4(reply.view, to, room, router4, t4, c4, 0, v, at, len)
        : writeError6(reply.view, to, room, this.#other, 0, t6, c6, 0, v, at, len)
    return 'reply'
  }

  #forward(at: number, len: number): Verdict {
    this.result.at = at
    this.result.len = len
    this.result.reason = null
    return 'forward'
  }

  #drop(reason: DropReason): Verdict {
    this.#p.counters.count(DROP_COUNTER[reason])
    this.result.reason = reason
    return 'drop'
  }
}

/** ICMP has a number per family; everything else keeps its own. */
function crossed(protocol: number, to: 4 | 6): number {
  if (protocol === ICMP4 && to === 6) return ICMP6
  return protocol === ICMP6 && to === 4 ? ICMP4 : protocol
}

/** Scratch for the packet inside an ICMP error; nothing in it outlives one call. */
const EMBEDDED = newFiveTuple()
