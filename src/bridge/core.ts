import { type Ip, isIp4 } from '#ntm-lib/addr/ip.ts'
import type { LinkAddr } from '#ntm-lib/addr/link.ts'
import { contains } from '#ntm-lib/addr/prefix.ts'
import { type Instant, sooner } from '#ntm-lib/base/time.ts'
import { clampMss } from '#ntm-lib/packet/clamp.ts'
import * as ether from '#ntm-lib/packet/ether.ts'
import { validInner } from '#ntm-lib/packet/inner.ts'
import * as ip4 from '#ntm-lib/packet/ip4.ts'
import * as ip6 from '#ntm-lib/packet/ip6.ts'
import { rewriteDestination4, rewriteDestination6, rewriteSource4, rewriteSource6 } from '#ntm-lib/packet/rewrite.ts'
import type { Counters } from '#ntm-lib/ports/counters.ts'
import type { Machine, Random } from '#ntm-lib/ports/machine.ts'
import { type Batch, slotAt } from '#ntm-lib/ports/packet-port.ts'
import { classify, newClassified } from './classify.ts'
import type { BridgeConfig } from './config.ts'
import { DnsOnWire } from './dns-on-wire.ts'
import { fragments4 } from './fragment4.ts'
import { putHead, type Way } from './frame.ts'
import { type Host, Hosts, noteAddress, noteUse, realFor } from './hosts.ts'
import { type Complaint, Complaints } from './icmp.ts'
import { learnFromHost, learnFromNet, tagOf } from './learn.ts'
import { answerArp, answerSolicitation } from './neighbour.ts'
import { Rate } from './rate.ts'
import { Routes, type Tunnel } from './routes.ts'
import type { BridgeIn, BridgeOut, ToHost, ToTunnel, Verdict } from './types.ts'
import { Unknown } from './unknown.ts'

/**
 * The bridge's Machine. The packet path is `fromTap` and `fromTunnel`, which work in place and allocate nothing for a
 * packet of a known IPv4 flow; everything they cannot say in a verdict comes from `poll`.
 */
export class BridgeCore implements Machine<BridgeIn, BridgeOut> {
  /** Where the packet of the last `to-tunnel` verdict is, and whose it is. Valid until the next call. */
  readonly toTunnel: ToTunnel = { at: 0, len: 0, tunnel: 0, destination: 0 as Ip, source: 0 as Ip }
  /** Where the frame of the last `fromTunnel` verdict `to-host` is. Valid until the next call. */
  readonly toHost: ToHost = { at: 0, len: 0 }
  readonly hosts = new Hosts()
  readonly #config: BridgeConfig
  readonly #counters: Counters
  readonly #dns: DnsOnWire
  readonly #routes = new Routes()
  readonly #unknown = new Unknown()
  readonly #complaints = new Complaints()
  readonly #neighbourRate = new Rate(100, 100)
  readonly #c = newClassified()
  readonly #f = ether.newFrame()
  readonly #address = new DataView(new ArrayBuffer(16))
  #out: BridgeOut[] = []

  constructor(config: BridgeConfig, random: Random, counters: Counters) {
    this.#config = config
    this.#counters = counters
    this.#dns = new DnsOnWire(config, this.hosts, random, counters)
  }

  handle(input: BridgeIn, now: Instant): void {
    if (input.in === 'zones') this.#dns.hold.setZones(input.zones)
    else if (input.in === 'granted') this.hosts.grant(input.hosts)
    else if (input.in === 'online') this.#dns.online = input.online
    else if (input.in === 'tunnel-gone') this.#routes.remove(input.tunnel)
    else if (input.in === 'tunnel-mtu') {
      const t = this.#routes.tunnel(input.tunnel)
      t.innerBytes = input.innerBytes
      t.wholeBytes = input.wholeBytes
    } else this.#directed(input.id, input.result, now)
  }

  /** Judges slot `i`, a frame that the rules took off the wire. It may be rewritten in place. */
  fromTap(b: Batch, i: number, now: Instant): Verdict {
    const v = b.view
    const at = slotAt(b, i)
    const len = b.lens[i] ?? 0
    const kind = classify(v, at, len, this.#config.virtual, this.#c)
    if (kind === 'reply') return this.#dns.onReply(v, at, len, this.#c, now)
    if (kind === 'other') {
      this.#counters.count('bridge.tap.other')
      if (len < ether.ETHER_BYTES) return this.#drop('short')
      return this.hosts.byLink(ether.source(v, at)) === null ? 'to-host' : 'to-net'
    }
    const host = this.hosts.meet(ether.source(v, at), tagOf(v, at, this.#c.frame), now)
    if (kind === 'query') return host === null ? 'to-net' : this.#dns.onQuery(host, v, at, this.#c, now)
    if (host === null) return this.#drop('no-host')
    return kind === 'neighbour' ? this.#neighbour(host, v, now) : this.#virtual(host, v, at, now)
  }

  /**
   * Takes an inner packet that a tunnel delivered, `len` bytes at `at`, with at least 18 bytes free before it. On `to-host`
   * the frame is in `toHost`, in the same memory. The tunnel has checked that the source is one the peer may use.
   */
  fromTunnel(v: DataView, at: number, len: number, _now: Instant): Verdict {
    if (validInner(v, at, len) !== 'ok') return this.#drop('bad-inner')
    const four = ip4.version(v, at) === 4
    const source = four ? ip4.source(v, at) : ip6.source(v, at)
    if (!this.#isVirtual(source)) return this.#drop('real-source')
    const host = four ? this.hosts.byVip4(ip4.destination(v, at)) : this.hosts.byVip6(ip6.destination(v, at))
    const real = host === null ? null : realFor(host, source)
    if (host === null || real === null) return this.#drop('no-host')
    if (isIp4(real)) rewriteDestination4(v, at, len, real)
    else rewriteDestination6(v, at, len, this.#scratch(real), 0)
    this.#clamp(v, at, len, this.#routes.find(source))
    const start = putHead(v, at, this.#towards(host), four ? ether.TYPE_IP4 : ether.TYPE_IP6)
    this.toHost.at = start
    this.toHost.len = at + len - start
    return 'to-host'
  }

  /** A copy of slot `i` seen by the learning socket of that leg. */
  learn(leg: 'host' | 'net', b: Batch, i: number, now: Instant): void {
    const at = slotAt(b, i)
    const len = b.lens[i] ?? 0
    if (!ether.readFrame(b.view, at, len, this.#f)) return
    if (leg === 'host') learnFromHost(this.hosts, b.view, at, len, this.#f, now)
    else learnFromNet(this.hosts, b.view, at, len, this.#f, now)
  }

  tick(now: Instant): void {
    this.#dns.hold.tick(now)
    this.hosts.sweep(now)
    const lost = this.#unknown.sweep(now)
    if (lost > 0) this.#counters.count('bridge.drop.direction-silent', lost)
  }

  deadline(): Instant | null {
    return sooner(this.#dns.hold.deadline(), this.#unknown.deadline())
  }

  poll(): BridgeOut | null {
    const first = this.#out.shift() ?? this.#dns.poll()
    if (first !== null) return first
    const claims = this.hosts.claims()
    return claims === null ? null : { out: 'claim-hosts', hosts: claims }
  }

  #virtual(host: Host, v: DataView, frameAt: number, now: Instant): Verdict {
    const { ipAt: at, ipLen: len } = this.#c
    if (validInner(v, at, len) !== 'ok') return this.#drop('bad-inner')
    const four = ip4.version(v, at) === 4
    const source = four ? ip4.source(v, at) : ip6.source(v, at)
    if (this.#isVirtual(source)) return this.#drop('virtual-source')
    noteAddress(host, source, now)
    this.#noteGateway(host, ether.destination(v, frameAt))
    const vip = four ? host.vip4 : host.vip6
    if (vip === null) return this.#drop('no-grant')
    const to = this.#c.virtual
    if ((four ? host.ip4s.length : host.ip6s.length) > 1) noteUse(host, to, source)
    const tunnel = this.#routes.find(to)
    if (tunnel === null) return this.#ask(host, to, v, at, len, now)
    return this.#send(host, tunnel, to, vip, v, at, len, now)
  }

  #send(host: Host, t: Tunnel, to: Ip, vip: Ip, v: DataView, at: number, len: number, now: Instant): Verdict {
    const four = isIp4(vip)
    const cut = len > t.innerBytes
    if (cut && (!four || ip4.dontFragment(v, at))) {
      this.#complain(host, { why: 'too-big', mtuBytes: t.innerBytes }, v, at, len, now)
      return this.#drop('too-big')
    }
    if (four) rewriteSource4(v, at, len, vip)
    else rewriteSource6(v, at, len, this.#scratch(vip), 0)
    this.#clamp(v, at, len, t)
    if (cut) {
      for (const packet of fragments4(v, at, len, t.wholeBytes))
        this.#out.push({ out: 'to-tunnel', tunnel: t.ref, destination: to, source: vip, packet })
      return 'consumed'
    }
    const r = this.toTunnel
    r.at = at
    r.len = len
    r.tunnel = t.ref
    r.destination = to
    r.source = vip
    return 'to-tunnel'
  }

  /** Nobody here remembers this virtual address: the coordinator does, or nobody. */
  #ask(host: Host, to: Ip, v: DataView, at: number, len: number, now: Instant): Verdict {
    const said = this.#unknown.add(to, host, new Uint8Array(v.buffer, v.byteOffset + at, len), now)
    if (said === 'full') return this.#drop('unknown-full')
    if (said === 'refused') {
      this.#complain(host, { why: 'unreachable' }, v, at, len, now)
      return this.#drop('unknown-virtual')
    }
    if (said !== 'waits')
      this.#out.push({
        out: 'direct',
        id: said.ask * 2 + 1,
        sought: { by: 'vip', vip: to },
        why: 'data',
        sources: sourcesOf(host),
      })
    return 'consumed'
  }

  #directed(id: number, result: Extract<BridgeIn, { in: 'directed' }>['result'], now: Instant): void {
    if (result.ok) {
      for (const vip of [result.vip4, result.vip6]) {
        this.#routes.set(vip, result.tunnel)
        this.#unknown.found(vip)
      }
    }
    if (id % 2 === 0) {
      this.#dns.hold.directed(id / 2, result, now)
      return
    }
    const q = this.#unknown.answered((id - 1) / 2, result.ok, now)
    for (const { host, packet } of q?.waiting ?? []) {
      const v = new DataView(packet.buffer, packet.byteOffset, packet.length)
      const tunnel = q === null ? null : this.#routes.find(q.vip)
      const vip = ip4.version(v, 0) === 4 ? host.vip4 : host.vip6
      if (q === null || tunnel === null || vip === null)
        this.#complain(host, { why: 'unreachable' }, v, 0, packet.length, now)
      else if (this.#send(host, tunnel, q.vip, vip, v, 0, packet.length, now) === 'to-tunnel')
        this.#out.push({ out: 'to-tunnel', tunnel: tunnel.ref, destination: q.vip, source: vip, packet })
    }
  }

  #neighbour(host: Host, v: DataView, now: Instant): Verdict {
    if (!this.#neighbourRate.take(now)) return this.#drop('neighbour-rate')
    const at = this.#c.frame.payloadAt
    // Towards its gateway if it has one: then its packets look the same whether it has a route for them or not.
    const link = host.gatewayLink ?? this.#config.box
    const way: Way = { to: host.link, from: link, tag: host.tag }
    const arp = this.#c.frame.type === ether.TYPE_ARP
    const frame = arp ? answerArp(v, at, way, link) : answerSolicitation(v, at, way, link)
    if (frame !== null) this.#out.push({ out: 'to-host', frame })
    return 'consumed'
  }

  #complain(host: Host, what: Complaint, v: DataView, at: number, len: number, now: Instant): void {
    const frame = this.#complaints.about(host, this.#towards(host), what, v, at, len, now)
    if (frame !== null) this.#out.push({ out: 'to-host', frame })
  }

  /** TCP is never sent in halves: its segments fit T. */
  #clamp(v: DataView, at: number, len: number, t: Tunnel | null): void {
    if (t !== null) clampMss(v, at, len, t.wholeBytes - (ip4.version(v, at) === 4 ? 40 : 60))
  }

  #noteGateway(host: Host, link: LinkAddr): void {
    if (link !== this.#config.box && this.hosts.byLink(link) === null) host.gatewayLink = link
  }

  #towards(host: Host): Way {
    return { to: host.link, from: host.gatewayLink ?? this.#config.box, tag: host.tag }
  }

  #isVirtual(ip: Ip): boolean {
    for (const p of this.#config.virtual) if (contains(p, ip)) return true
    return false
  }

  #scratch(ip: Exclude<Ip, number>): DataView {
    ip6.putAddress(this.#address, 0, ip)
    return this.#address
  }

  #drop(reason: string): Verdict {
    this.#counters.count(`bridge.drop.${reason}`)
    return 'dropped'
  }
}

/** The pair of a host, as a Direction Request names it. */
export const sourcesOf = (h: Host): Ip[] => [h.vip4, h.vip6].filter((ip) => ip !== null)
