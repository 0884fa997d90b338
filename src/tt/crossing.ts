import type { FiveTuple } from '#ntm-lib/packet/five-tuple.ts'
import { fillTransport, fitted, isSuper } from '#ntm-lib/packet/gso.ts'
import * as icmp4 from '#ntm-lib/packet/icmp4.ts'
import * as icmp6 from '#ntm-lib/packet/icmp6.ts'
import * as ip4 from '#ntm-lib/packet/ip4.ts'
import * as ip6 from '#ntm-lib/packet/ip6.ts'
import {
  rewriteDestination4,
  rewriteDestination6,
  rewriteEmbeddedDestination4,
  rewriteEmbeddedDestination6,
  rewriteSource4,
  rewriteSource6,
} from '#ntm-lib/packet/rewrite.ts'
import { split4 } from '#ntm-lib/packet/split4.ts'
import type { FlowSide } from './flow-side.ts'
import type { CrossingFlow, CrossingParts } from './traffic-parts.ts'
import { DROP_COUNTER, type DropReason, type Verdict } from './verdict.ts'
import { newTranslated, type Translated, type XlatContext } from './xlat/context.ts'
import { fourToSix } from './xlat/four-to-six.ts'
import { answer4, answer6 } from './xlat/reply.ts'
import { sixToFour } from './xlat/six-to-four.ts'

/**
 * Takes packets of known flows to the other side, in place: the destination (or, back, the source) is exchanged, and the
 * family where host and server differ. What the next hop cannot carry is cut if it may be, else answered; answers
 * stand in the context's reply batch and go back to the packet's sender as it knows its peer.
 */
export class Crossing {
  /** Where the packet is after `forward`. Valid until the next call. */
  readonly result: Translated = newTranslated()
  readonly #p: CrossingParts
  readonly #address = new DataView(new ArrayBuffer(16))
  readonly #other = new DataView(new ArrayBuffer(16))

  constructor(parts: CrossingParts) {
    this.#p = parts
  }

  /** From a tunnel to the edge. `low`: first byte that the packet may move back to; `t`: its tuple. */
  toEdge(v: DataView, low: number, at: number, len: number, gso: number, t: FiveTuple, flow: CrossingFlow): Verdict {
    const { out } = this.#p
    if (flow.pairs !== null) return this.#translate(v, low, at, len, gso, flow, out)
    const four = t.family === 4
    const hops = four ? ip4.ttl(v, at) : ip6.hopLimit(v, at)
    if (hops <= out.lastHop) {
      return this.answer(v, at, len, out, 'ttl-expired', icmp4.TIME_EXCEEDED, 0, icmp6.TIME_EXCEEDED, 0)
    }
    const each = sized(v, t, at, len, gso, out)
    if (each === CUT) return 'cut'
    if (each === TOO_BIG) return this.#tooBig(v, at, len, out)
    if (four) rewriteDestination4(v, at, len, destination4(flow.edge))
    else {
      putDestination6(this.#address, flow.edge)
      rewriteDestination6(v, at, len, this.#address, 0)
    }
    return this.#forward(v, at, len, each, out)
  }

  /** From the edge to the flow's host, whose tunnel takes packets of up to `innerMtu`. */
  toHost(v: DataView, low: number, at: number, len: number, gso: number, t: FiveTuple, flow: CrossingFlow): Verdict {
    const { back, router4, router6 } = this.#p
    back.mtu4 = back.mtu6 = this.#p.innerMtu(flow.node)
    if (flow.pairs !== null) return this.#translate(v, low, at, len, gso, flow, back)
    const each = sized(v, t, at, len, gso, back)
    if (each === CUT) return 'cut'
    if (each === TOO_BIG) return this.#tooBig(v, at, len, back)
    if (t.family === 4) {
      const [real, virtual] = [destination4(flow.edge), destination4(flow.inner)]
      if (v.getInt32(at + ip4.SOURCE_AT) === real) rewriteSource4(v, at, len, virtual)
      else {
        rewriteSource4(v, at, len, router4)
        rewriteEmbeddedDestination4(v, at, len, real, virtual)
      }
    } else {
      putDestination6(this.#address, flow.inner)
      putDestination6(this.#other, flow.edge)
      if (ip6.sameAddress(v, at + ip6.SOURCE_AT, this.#other, 0)) rewriteSource6(v, at, len, this.#address, 0)
      else {
        ip6.putAddress(this.#other, 0, router6)
        rewriteSource6(v, at, len, this.#other, 0)
        putDestination6(this.#other, flow.edge)
        rewriteEmbeddedDestination6(v, at, len, this.#other, 0, this.#address, 0)
      }
    }
    return this.#forward(v, at, len, each, back)
  }

  /** Drops, counts, and answers with an ICMP error of the packet's own family. */
  answer(
    v: DataView,
    at: number,
    len: number,
    ctx: XlatContext,
    reason: DropReason,
    type4: number,
    code4: number,
    type6: number,
    code6: number,
    mtu = 0,
  ): Verdict {
    this.#p.counters.count(DROP_COUNTER[reason])
    return ip4.version(v, at) === 4
      ? answer4(ctx, this.result, reason, type4, code4, mtu, v, at, len)
      : answer6(ctx, this.result, reason, type6, code6, mtu, v, at, len)
  }

  /** The host's and the server's address pairs stand for each other; the rest is RFC 7915. */
  #translate(
    v: DataView,
    low: number,
    at: number,
    len: number,
    gso: number,
    flow: CrossingFlow,
    ctx: XlatContext,
  ): Verdict {
    const { pairs, counters } = this.#p
    const { result } = this
    pairs.use(flow.pairs)
    const four = ip4.version(v, at) === 4
    const verdict = four ? fourToSix(v, low, at, len, gso, ctx, result) : sixToFour(v, at, len, gso, ctx, result)
    if (result.reason !== null) counters.count(DROP_COUNTER[result.reason])
    return verdict === 'forward' ? this.#forward(v, result.at, result.len, result.gso, ctx) : verdict
  }

  #tooBig(v: DataView, at: number, len: number, ctx: XlatContext): Verdict {
    const { UNREACHABLE, FRAGMENTATION_NEEDED } = icmp4
    const mtu = ip4.version(v, at) === 4 ? ctx.mtu4 : ctx.mtu6
    return this.answer(v, at, len, ctx, 'too-big', UNREACHABLE, FRAGMENTATION_NEEDED, icmp6.PACKET_TOO_BIG, 0, mtu)
  }

  /** IPv4 that may be cut is cut here: neither a tunnel nor a raw socket does it. */
  #forward(v: DataView, at: number, len: number, gso: number, ctx: XlatContext): Verdict {
    this.result.at = at
    this.result.len = len
    this.result.gso = gso
    this.result.reason = null
    if (len <= ctx.mtu4 || ip4.version(v, at) !== 4 || isSuper(gso)) return 'forward'
    // A fragment has no checksum that anybody could make later.
    if (gso !== 0) fillTransport(v, at, len)
    if (!ip4.dontFragment(v, at) && split4(v, at, len, ctx.mtu4, ctx.spill)) return 'split'
    this.#p.counters.count(DROP_COUNTER['too-big'])
    this.result.reason = 'too-big'
    return 'drop'
  }
}

/** The `gso` with which the next hop takes the packet in its own family; `CUT` or `TOO_BIG` when there is none. */
function sized(v: DataView, t: FiveTuple, at: number, len: number, gso: number, ctx: XlatContext): number {
  const four = ip4.version(v, at) === 4
  const most = four ? ctx.mtu4 : ctx.mtu6
  if (isSuper(gso)) return fitted(v, t.protocol, t.upperAt, at + len, gso, t.upperAt - at, most)
  // Not to be cut on the way: the sender must hear of it.
  return len > most && (!four || ip4.dontFragment(v, at)) ? TOO_BIG : gso
}

/** An IPv4 side's destination as a signed word: as an unsigned one it would be an object wherever it is passed. */
const destination4 = (s: FlowSide): number => s.words[1] ?? 0

/** Writes an IPv6 side's destination to the start of `to`. */
function putDestination6(to: DataView, { words }: FlowSide): void {
  for (let i = 0; i < 4; i++) to.setInt32(4 * i, words[4 + i] ?? 0)
}

/** As `fitted` says it. */
const CUT = -1
const TOO_BIG = -2
