import type { Ip } from '#ntm-lib/addr/ip.ts'
import { after, type Instant, millis } from '#ntm-lib/base/time.ts'
import * as ether from '#ntm-lib/packet/ether.ts'
import { fillTransport } from '#ntm-lib/packet/gso.ts'
import * as icmp6 from '#ntm-lib/packet/icmp6.ts'
import { validInner } from '#ntm-lib/packet/inner.ts'
import * as ip4 from '#ntm-lib/packet/ip4.ts'
import * as ip6 from '#ntm-lib/packet/ip6.ts'
import * as ndp from '#ntm-lib/packet/ndp.ts'
import { ICMP6, TCP, UDP } from '#ntm-lib/packet/protocol.ts'
import { UnknownAddresses } from '#ntm-lib/plane/unknown-addresses.ts'
import type { Counters } from '#ntm-lib/ports/counters.ts'
import { CSUM_MISSING } from '#ntm-lib/ports/packet-port.ts'
import type { Classified } from './classify.ts'
import { type BridgeConfig, isVirtual } from './config.ts'
import { fragments4 } from './fragment4.ts'
import { wayTo } from './frame.ts'
import { type Host, noteAddress, noteGateway, noteUse } from './host.ts'
import type { Hosts } from './hosts.ts'
import { type Complaint, Complaints } from './icmp.ts'
import { type KnownFlow, KnownFlows } from './known-flows.ts'
import { tagOf } from './learn.ts'
import { Onward } from './onward.ts'
import { pairAt } from './pair-table.ts'
import type { Routes, Tunnel } from './routes.ts'
import { ECHO_ID } from './sweep.ts'
import type { BridgeOut, Piece, ToTunnel, Verdict } from './types.ts'

export type SideParts = {
  readonly config: BridgeConfig
  readonly hosts: Hosts
  readonly routes: Routes
  readonly counters: Counters
  readonly say: (out: BridgeOut) => void
}

/** Packets of hosts to virtual addresses: made to come from the host's own virtual address, and into their tunnels. */
export class Outbound {
  readonly toTunnel: ToTunnel = { at: 0, len: 0, gso: 0, tunnel: 0 }
  /** The IP packet of the last `cut-first`. */
  readonly toCut: Piece = { at: 0, len: 0, gso: 0 }
  readonly #p: SideParts
  readonly #known = new KnownFlows()
  readonly #unknown = new UnknownAddresses<Host>()
  readonly #complaints = new Complaints()
  readonly #onward = new Onward()
  /** What the last judgement went by; null when nothing is remembered of it. */
  judged: KnownFlow | null = null

  constructor(parts: SideParts) {
    this.#p = parts
  }

  /**
   * The short cut: judges the packet that `readPacket` found in the frame at `frameAt` when one like it was judged lately;
   * null when none was.
   */
  again(c: Classified, v: DataView, frameAt: number, gso: number, now: Instant): Verdict | null {
    const { ipAt: at, ipLen: len, frame } = c
    this.judged = null
    const flow = this.#known.find(v, at, this.#p.routes.changes, now)
    if (flow === null || flow.tunnel === null) return null
    const { host } = flow
    if (ether.source(v, frameAt) !== host.link || ether.destination(v, frameAt) !== flow.far) return null
    if (tagOf(v, frameAt, frame) !== host.tag || validInner(v, at, len) !== 'ok') return null
    // Anything else over IPv6 may be a neighbour's question, which is not for the tunnel.
    if (frame.type === ether.TYPE_IP6 && ip6.nextHeader(v, at) !== TCP && ip6.nextHeader(v, at) !== UDP) return null
    host.seen = now
    this.judged = flow
    return this.#send(host, flow.tunnel, flow.ip, v, at, len, gso, now)
  }

  /** Judges a packet that was classified as `virtual`. */
  judge(host: Host, c: Classified, v: DataView, frameAt: number, gso: number, now: Instant): Verdict {
    const { ipAt: at, ipLen: len, virtual: to } = c
    const { config, hosts, routes } = this.#p
    if (validInner(v, at, len) !== 'ok') return this.#drop('bad-inner')
    const four = ip4.version(v, at) === 4
    const source = four ? ip4.source(v, at) : ip6.source(v, at)
    if (isVirtual(config, source)) return this.#drop('virtual-source')
    // The answer to a question of ours (`seek.ts`), or a neighbour's word that is for nobody beyond the link.
    if (!four && len >= ip6.IP6_BYTES + ndp.NEIGHBOUR_BYTES && ndp.isNeighbour(v, at)) return this.#drop('neighbour')
    noteAddress(host, source, now)
    const far = ether.destination(v, frameAt)
    if (far !== config.box && hosts.byLink(far) === null) noteGateway(host, far)
    if (!four && ip6.nextHeader(v, at) === ICMP6 && isSweepAnswer(v, at, len)) return this.#drop('sought')
    const ip = four ? host.vip4 : host.vip6
    if (ip === null) return this.#drop('no-grant')
    if ((four ? host.ip4s.length : host.ip6s.length) > 1) noteUse(host, to, source)
    const tunnel = routes.find(to, ip)
    if (tunnel === null) return this.#ask(host, to, v, at, len, gso, now)
    this.judged = {
      pair: pairAt(v, at),
      host,
      tunnel,
      ip,
      far,
      way: wayTo(host, config.box),
      hostChanges: host.changes,
      routeChanges: routes.changes,
      until: after(now, KNOWN_FOR),
    }
    this.#known.set(this.judged)
    return this.#send(host, tunnel, ip, v, at, len, gso, now)
  }

  /** An answer about a virtual address that a packet asked for. */
  answered(id: number, found: boolean, now: Instant): void {
    const { routes, say } = this.#p
    const q = this.#unknown.answered(id, found, now)
    for (const { from: host, packet, gso } of q?.waiting ?? []) {
      const v = new DataView(packet.buffer, packet.byteOffset, packet.length)
      const vip = ip4.version(v, 0) === 4 ? host.vip4 : host.vip6
      const tunnel = q === null || vip === null ? null : routes.find(q.vip, vip)
      if (tunnel === null || vip === null) {
        this.#complain(host, { why: 'unreachable' }, v, 0, packet.length, now)
        continue
      }
      const verdict = this.#send(host, tunnel, vip, v, 0, packet.length, gso, now)
      if (verdict === 'to-tunnel') say({ out: 'to-tunnel', tunnel: tunnel.ref, packet, gso })
      // Datagrams get lost; these would need a second wait.
      else if (verdict === 'cut-first') this.#drop('uncut')
    }
  }

  /** A route appeared, whoever asked. */
  found(vip: Ip): void {
    this.#unknown.found(vip)
  }

  tick(now: Instant): void {
    const lost = this.#unknown.sweep(now)
    if (lost > 0) this.#p.counters.count('bridge.drop.direction-silent', lost)
  }

  deadline(): Instant | null {
    return this.#unknown.deadline()
  }

  #send(host: Host, t: Tunnel, vip: Ip, v: DataView, at: number, len: number, gso: number, now: Instant): Verdict {
    const fit = this.#onward.fit(t, v, at, len, gso)
    if (fit === 'too-big') {
      this.#complain(host, { why: 'too-big', mtuBytes: t.innerBytes }, v, at, len, now)
      return this.#drop('too-big')
    }
    if (fit === 'cut-first') {
      place(this.toCut, at, len, gso)
      return 'cut-first'
    }
    this.#onward.toTunnel(t, vip, v, at, len, gso)
    if (fit === 'fragments') return this.#fragment(t, v, at, len, gso)
    place(this.toTunnel, at, len, gso)
    this.toTunnel.tunnel = t.ref
    return 'to-tunnel'
  }

  #fragment(t: Tunnel, v: DataView, at: number, len: number, gso: number): Verdict {
    // A checksum over all pieces can be made by nobody later.
    if (gso === CSUM_MISSING) fillTransport(v, at, len)
    for (const packet of fragments4(v, at, len, t.wholeBytes))
      this.#p.say({ out: 'to-tunnel', tunnel: t.ref, packet, gso: 0 })
    return 'consumed'
  }

  /** Nobody here remembers this virtual address: the coordinator does, or nobody. */
  #ask(host: Host, to: Ip, v: DataView, at: number, len: number, gso: number, now: Instant): Verdict {
    const said = this.#unknown.add(to, host, new Uint8Array(v.buffer, v.byteOffset + at, len), gso, now)
    if (said === 'full') return this.#drop('unknown-full')
    if (said === 'refused') {
      this.#complain(host, { why: 'unreachable' }, v, at, len, now)
      return this.#drop('unknown-virtual')
    }
    if (said !== 'waits') {
      const sources = [host.vip4, host.vip6].filter((ip) => ip !== null)
      this.#p.say({ out: 'direct', id: said.ask * 2 + 1, sought: { by: 'vip', vip: to }, why: 'data', sources })
    }
    return 'consumed'
  }

  #complain(host: Host, what: Complaint, v: DataView, at: number, len: number, now: Instant): void {
    const frame = this.#complaints.about(host, wayTo(host, this.#p.config.box), what, v, at, len, now)
    if (frame !== null) this.#p.say({ out: 'to-host', frame })
  }

  #drop(reason: string): Verdict {
    this.#p.counters.count(`bridge.drop.${reason}`)
    return 'dropped'
  }
}

/** The answer to the question of `sweep.ts`: what it had to tell is its source. */
const isSweepAnswer = (v: DataView, at: number, len: number): boolean =>
  len >= ip6.IP6_BYTES + icmp6.ICMP_BYTES &&
  icmp6.type(v, at + ip6.IP6_BYTES) === icmp6.ECHO_REPLY &&
  icmp6.echoId(v, at + ip6.IP6_BYTES) === ECHO_ID

function place(piece: Piece, at: number, len: number, gso: number): void {
  piece.at = at
  piece.len = len
  piece.gso = gso
}

/** What a decision rests on is noted again after this long: addresses in use, and how lately. */
export const KNOWN_FOR = millis(1000)
