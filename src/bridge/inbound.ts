import { isIp4 } from '#ntm-lib/addr/ip.ts'
import type { LinkAddr } from '#ntm-lib/addr/link.ts'
import { after, type Instant } from '#ntm-lib/base/time.ts'
import { TYPE_IP4, TYPE_IP6 } from '#ntm-lib/packet/ether.ts'
import { validInner } from '#ntm-lib/packet/inner.ts'
import * as ip4 from '#ntm-lib/packet/ip4.ts'
import * as ip6 from '#ntm-lib/packet/ip6.ts'
import { isVirtual } from './config.ts'
import { putHead, wayTo } from './frame.ts'
import { realFor } from './host.ts'
import { Complaints } from './icmp.ts'
import { type KnownFlow, KnownFlows } from './known-flows.ts'
import { Onward } from './onward.ts'
import { KNOWN_FOR, type SideParts } from './outbound.ts'
import { pairAt } from './pair-table.ts'
import type { Piece, Verdict } from './types.ts'

/** Packets that tunnels delivered: made to go to the host's real address, and put into a frame for it where they lie. */
export class Inbound {
  readonly toHost: Piece = { at: 0, len: 0, gso: 0 }
  readonly #p: SideParts
  readonly #known = new KnownFlows()
  readonly #onward = new Onward()
  readonly #complaints = new Complaints()
  /** What the last packet to the host went by. */
  judged: KnownFlow | null = null

  constructor(parts: SideParts) {
    this.#p = parts
  }

  take(v: DataView, at: number, len: number, gso: number, now: Instant): Verdict {
    if (validInner(v, at, len) !== 'ok') return this.#drop('bad-inner')
    const flow = this.#known.find(v, at, this.#p.routes.changes, now) ?? this.#judge(v, at, now)
    if (flow === 'no-host') this.#complain(v, at, len, now)
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
