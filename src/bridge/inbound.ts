import { isIp4 } from '#ntm-lib/addr/ip.ts'
import type { LinkAddr } from '#ntm-lib/addr/link.ts'
import { after, type Instant } from '#ntm-lib/base/time.ts'
import { TYPE_IP4, TYPE_IP6 } from '#ntm-lib/packet/ether.ts'
import { validInner } from '#ntm-lib/packet/inner.ts'
import * as ip4 from '#ntm-lib/packet/ip4.ts'
import * as ip6 from '#ntm-lib/packet/ip6.ts'
import { Awaited } from './awaited.ts'
import { isVirtual } from './config.ts'
import { putHead, wayTo } from './frame.ts'
import { realFor } from './host.ts'
import { Complaints } from './icmp.ts'
import { type KnownFlow, KnownFlows } from './known-flows.ts'
import { Onward } from './onward.ts'
import { KNOWN_FOR, type SideParts } from './outbound.ts'
import { pairAt } from './pair-table.ts'
import type { Sweep } from './sweep.ts'
import type { Piece, Verdict } from './types.ts'

/** Packets that tunnels delivered: made to go to the host's real address, and put into a frame for it where they lie. */
export class Inbound {
  readonly toHost: Piece = { at: 0, len: 0, gso: 0 }
  readonly #p: SideParts
  readonly #known = new KnownFlows()
  readonly #onward = new Onward()
  readonly #complaints = new Complaints()
  readonly #sweep: Pick<Sweep, 'wants'>
  readonly #awaited = new Awaited()
  /** What the last packet to the host went by. */
  judged: KnownFlow | null = null

  constructor(parts: SideParts, sweep: Pick<Sweep, 'wants'>) {
    this.#p = parts
    this.#sweep = sweep
  }

  take(v: DataView, at: number, len: number, gso: number, now: Instant): Verdict {
    if (validInner(v, at, len) !== 'ok') return this.#drop('bad-inner')
    const flow = this.#known.find(v, at, this.#p.routes.changes, now) ?? this.#judge(v, at, now)
    if (flow === 'no-host') {
      if (this.#awaits(v, at, len, gso, now)) return 'consumed'
      this.#complain(v, at, len, now)
    }
    if (typeof flow === 'string') return this.#drop(flow)
    const { ip, tunnel, way } = flow
    this.judged = flow
    this.#onward.toHost(tunnel, ip, v, at, len, gso)
    const start = putHead(v, at, way, isIp4(ip) ? TYPE_IP4 : TYPE_IP6)
    this.toHost.at = start
    this.toHost.len = at + len - start
    this.toHost.gso = gso
    return 'to-host'
  }

  /** Packets that waited for their host go to it now, or nowhere. */
  tick(now: Instant): void {
    for (const { view, at, len } of this.#awaited.due(now)) {
      if (this.take(view, at, len, 0, now) !== 'to-host') continue
      const { at: start, len: bytes } = this.toHost
      this.#p.say({ out: 'to-host', frame: new Uint8Array(view.buffer, start, bytes) })
    }
  }

  deadline(): Instant | null {
    return this.#awaited.deadline()
  }

  /** A host whose address is not known yet may tell it in a moment. */
  #awaits(v: DataView, at: number, len: number, gso: number, now: Instant): boolean {
    const host =
      ip4.version(v, at) === 4
        ? this.#p.hosts.byVip4(ip4.destination(v, at))
        : this.#p.hosts.byVip6(ip6.destination(v, at))
    return host !== null && this.#sweep.wants(host, now) && this.#awaited.keep(host, v, at, len, gso, now)
  }

  /** Whose packet it is, remembered for those that follow; or why it is nobody's. */
  #judge(v: DataView, at: number, now: Instant): KnownFlow | 'real-source' | 'no-host' {
    const { config, hosts, routes } = this.#p
    const four = ip4.version(v, at) === 4
    const source = four ? ip4.source(v, at) : ip6.source(v, at)
    const vip = four ? ip4.destination(v, at) : ip6.destination(v, at)
    if (!isVirtual(config, source)) return 'real-source'
    const host = isIp4(vip) ? hosts.byVip4(vip) : hosts.byVip6(vip)
    const ip = host === null ? null : realFor(host, source)
    if (host === null || ip === null) return 'no-host'
    const flow: KnownFlow = {
      pair: pairAt(v, at),
      host,
      tunnel: routes.find(source, vip),
      ip,
      far: NOWHERE,
      way: wayTo(host, config.box),
      hostChanges: host.changes,
      routeChanges: routes.changes,
      until: after(now, KNOWN_FOR),
    }
    this.#known.set(flow)
    return flow
  }

  /** A host without IPv6, for instance: the far end is to try its IPv4 address at once, not after a timeout. */
  #complain(v: DataView, at: number, len: number, now: Instant): void {
    const four = ip4.version(v, at) === 4
    const [source, vip] = four
      ? [ip4.source(v, at), ip4.destination(v, at)]
      : [ip6.source(v, at), ip6.destination(v, at)]
    const back = this.#p.routes.find(source, vip)
    const packet = back === null ? null : this.#complaints.unreachable(v, at, len, now)
    if (back !== null && packet !== null) this.#p.say({ out: 'to-tunnel', tunnel: back.ref, packet, gso: 0 })
  }

  #drop(reason: string): Verdict {
    this.#p.counters.count(`bridge.drop.${reason}`)
    return 'dropped'
  }
}

const NOWHERE = 0 as LinkAddr
