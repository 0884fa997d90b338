import { isIp4 } from '#ntm-lib/addr/ip.ts'
import type { Prefix } from '#ntm-lib/addr/prefix.ts'
import type { Instant } from '#ntm-lib/base/time.ts'
import * as ether from '#ntm-lib/packet/ether.ts'
import { validInner } from '#ntm-lib/packet/inner.ts'
import * as ip4 from '#ntm-lib/packet/ip4.ts'
import * as ip6 from '#ntm-lib/packet/ip6.ts'
import { TCP, UDP } from '#ntm-lib/packet/protocol.ts'
import { type SuperBatch, slotAt } from '#ntm-lib/ports/packet-port.ts'
import { classify, newClassified, readPacket } from './classify.ts'
import type { FollowedFlow, ToFollower } from './follow-words.ts'
import { putHead } from './frame.ts'
import { tagOf } from './learn.ts'
import { Onward } from './onward.ts'
import { PairTable } from './pair-table.ts'
import type { Tunnel, TunnelRef } from './routes.ts'
import type { Piece, ToTunnel } from './types.ts'

/**
 * The bridge's core in every packet worker but the first: it knows what the lead has decided about flows, and does the same to
 * their packets. All else goes to the lead, and with a packet its whole flow, until the lead says otherwise: so packets of a
 * flow keep their order. No packet is dropped here.
 */
export class BridgeFollower {
  /** Where the packet of the last `to-tunnel` is, and whose it is. */
  readonly toTunnel: ToTunnel = { at: 0, len: 0, gso: 0, tunnel: 0 }
  /** Where the frame of the last `to-host` is. */
  readonly toHost: Piece = { at: 0, len: 0, gso: 0 }
  readonly #virtual: readonly Prefix[]
  readonly #out = new PairTable<FollowedFlow>(PLACE_BITS)
  readonly #in = new PairTable<FollowedFlow>(PLACE_BITS)
  readonly #tunnels = new Map<TunnelRef, Tunnel>()
  readonly #onward = new Onward()
  readonly #c = newClassified()
  #versions: Int32Array = new Int32Array(0)

  constructor(virtual: readonly Prefix[]) {
    this.#virtual = virtual
  }

  /** What the lead says. A flow only while nothing that was handed to it is on its way. */
  told(word: ToFollower): void {
    if (word.say === 'versions') this.#versions = word.versions
    else (word.flow.dir === 'out' ? this.#out : this.#in).set(word.flow.pair, word.flow)
  }

  /** Sizes of a tunnel; null when it is gone. */
  tunnel(ref: TunnelRef, sizes: Omit<Tunnel, 'ref'> | null): void {
    if (sizes === null) this.#tunnels.delete(ref)
    else this.#tunnels.set(ref, { ref, ...sizes })
  }

  /**
   * Judges slot `i`, a frame that the rules took off the wire. `hand`: it is the lead's, whose decision may be told then; `pass`: it is the lead's, and
   * nothing follows from it.
   */
  fromTap(b: SuperBatch, i: number, now: Instant): 'to-tunnel' | 'hand' | 'pass' {
    const v = b.view
    const frameAt = slotAt(b, i)
    const len = b.lens[i] ?? 0
    const c = this.#c
    if (!readPacket(v, frameAt, len, c)) return 'pass'
    const { ipAt: at, ipLen } = c
    const gso = b.gso[i] ?? 0
    const flow = this.#out.find(v, at)
    if (flow === null) return classify(v, frameAt, len, this.#virtual, c) === 'virtual' ? 'hand' : 'pass'
    const t = this.#holds(flow, now) && this.#isHosts(flow, v, frameAt) ? this.#tunnels.get(flow.tunnel) : undefined
    // Another flow between the same two.
    if (!isData(v, at)) return 'hand'
    if (t === undefined || !isPlain(v, at, ipLen) || this.#onward.fit(t, v, at, ipLen, gso) !== 'whole') {
      this.#out.remove(v, at)
      return 'hand'
    }
    this.#onward.toTunnel(t, flow.ip, v, at, ipLen, gso)
    this.toTunnel.at = at
    this.toTunnel.len = ipLen
    this.toTunnel.gso = gso
    this.toTunnel.tunnel = flow.tunnel
    return 'to-tunnel'
  }

  /** Takes an inner packet that a tunnel delivered, as `BridgeCore.fromTunnel` does. */
  fromTunnel(v: DataView, at: number, len: number, gso: number, now: Instant): 'to-host' | 'hand' {
    if (len < ip4.IP4_BYTES || (ip4.version(v, at) === 6 && len < ip6.IP6_BYTES)) return 'hand'
    const flow = this.#in.find(v, at)
    if (flow === null) return 'hand'
    if (!isData(v, at)) return 'hand'
    const t = this.#holds(flow, now) ? this.#tunnels.get(flow.tunnel) : undefined
    if (t === undefined || !isPlain(v, at, len)) {
      this.#in.remove(v, at)
      return 'hand'
    }
    this.#onward.toHost(t, flow.ip, v, at, len, gso)
    const start = putHead(v, at, flow.way, isIp4(flow.ip) ? ether.TYPE_IP4 : ether.TYPE_IP6)
    this.toHost.at = start
    this.toHost.len = at + len - start
    this.toHost.gso = gso
    return 'to-host'
  }

  #holds(flow: FollowedFlow, now: Instant): boolean {
    return (
      now < flow.until &&
      Atomics.load(this.#versions, 0) === flow.routeVersion &&
      Atomics.load(this.#versions, flow.hostWord) === flow.hostVersion
    )
  }

  #isHosts({ way, far }: FollowedFlow, v: DataView, frameAt: number): boolean {
    return (
      ether.source(v, frameAt) === way.to &&
      ether.destination(v, frameAt) === far &&
      tagOf(v, frameAt, this.#c.frame) === way.tag
    )
  }
}

/** TCP or UDP: no ICMP, no neighbour's question. */
function isData(v: DataView, at: number): boolean {
  const protocol = ip4.version(v, at) === 4 ? ip4.protocol(v, at) : ip6.nextHeader(v, at)
  return protocol === TCP || protocol === UDP
}

/** Well-formed, and no fragment: those in IPv6 have another next header. */
const isPlain = (v: DataView, at: number, len: number): boolean =>
  validInner(v, at, len) === 'ok' && !(ip4.version(v, at) === 4 && ip4.isFragment(v, at))

/** Thirty times as many as pairs are in use at once: the lead gets few for want of a place. */
const PLACE_BITS = 14
