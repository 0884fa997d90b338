import { isIp4 } from '#ntm-lib/addr/ip.ts'
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
import type { Flow } from './flows.ts'
import type { TrafficParts } from './traffic-parts.ts'
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
  readonly #p: TrafficParts
  readonly #address = new DataView(new ArrayBuffer(16))
  readonly #other = new DataView(new ArrayBuffer(16))

  constructor(parts: TrafficParts) {
    this.#p = parts
  }

  /** From a tunnel to the edge. `low`: first byte that the packet may move back to. */
  toEdge(v: DataView, low: number, at: number, len: number, { inner, edge }: Flow): Verdict {
    const { out } = this.#p
    const [virtual, real] = [inner.destination, edge.destination]
    if (isIp4(virtual) !== isIp4(real)) return this.#translate(v, low, at, len, inner, edge, out)
    const hops = isIp4(virtual) ? ip4.ttl(v, at) : ip6.hopLimit(v, at)
    if (hops <= out.lastHop) {
      return this.answer(v, at, len, out, 'ttl-expired', icmp4.TIME_EXCEEDED, 0, icmp6.TIME_EXCEEDED, 0)
    }
    if (isTooBig(v, at, len, out)) return this.#tooBig(v, at, len, out)
    if (isIp4(real)) rewriteDestination4(v, at, len, real)
    else {
      ip6.putAddress(this.#address, 0, real)
      rewriteDestination6(v, at, len, this.#address, 0)
    }
    return this.#forward(v, at, len, out)
  }

  /** From the edge to the flow's host, whose tunnel takes packets of up to `innerMtu`. */
  toHost(v: DataView, low: number, at: number, len: number, { node, inner, edge }: Flow): Verdict {
    const { back, router4, router6 } = this.#p
    back.mtu4 = back.mtu6 = this.#p.innerMtu(node)
    const [real, virtual] = [edge.destination, inner.destination]
    if (isIp4(real) !== isIp4(virtual)) return this.#translate(v, low, at, len, inner, edge, back)
    if (isTooBig(v, at, len, back)) return this.#tooBig(v, at, len, back)
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
    return this.#forward(v, at, len, back)
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
    inner: Flow['inner'],
    edge: Flow['edge'],
    ctx: XlatContext,
  ): Verdict {
    const { pairs, counters } = this.#p
    pairs.clear()
    if (isIp4(inner.source) && !isIp4(edge.source) && isIp4(inner.destination) && !isIp4(edge.destination)) {
      pairs.pair(inner.source, edge.source)
      pairs.pair(inner.destination, edge.destination)
    } else if (!isIp4(inner.source) && isIp4(edge.source) && !isIp4(inner.destination) && isIp4(edge.destination)) {
      pairs.pair(edge.source, inner.source)
      pairs.pair(edge.destination, inner.destination)
    }
    const four = ip4.version(v, at) === 4
    const verdict = four ? fourToSix(v, low, at, len, ctx, this.result) : sixToFour(v, at, len, ctx, this.result)
    if (this.result.reason !== null) counters.count(DROP_COUNTER[this.result.reason])
    return verdict === 'forward' ? this.#forward(v, this.result.at, this.result.len, ctx) : verdict
  }

  #tooBig(v: DataView, at: number, len: number, ctx: XlatContext): Verdict {
    const { UNREACHABLE, FRAGMENTATION_NEEDED } = icmp4
    const mtu = ip4.version(v, at) === 4 ? ctx.mtu4 : ctx.mtu6
    return this.answer(v, at, len, ctx, 'too-big', UNREACHABLE, FRAGMENTATION_NEEDED, icmp6.PACKET_TOO_BIG, 0, mtu)
  }

  /** IPv4 that may be cut is cut here: neither a tunnel nor a raw socket does it. */
  #forward(v: DataView, at: number, len: number, ctx: XlatContext): Verdict {
    this.result.at = at
    this.result.len = len
    this.result.reason = null
    if (ip4.version(v, at) !== 4 || len <= ctx.mtu4) return 'forward'
    if (!ip4.dontFragment(v, at) && split4(v, at, len, ctx.mtu4, ctx.spill)) return 'split'
    this.#p.counters.count(DROP_COUNTER['too-big'])
    this.result.reason = 'too-big'
    return 'drop'
  }
}

/** Too big for the next hop and not to be cut on the way: the sender must hear of it. */
function isTooBig(v: DataView, at: number, len: number, ctx: XlatContext): boolean {
  return ip4.version(v, at) === 4 ? len > ctx.mtu4 && ip4.dontFragment(v, at) : len > ctx.mtu6
}
