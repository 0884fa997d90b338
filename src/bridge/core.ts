import { Rate } from '#ntm-lib/base/rate.ts'
import { after, type Instant, millis, sooner } from '#ntm-lib/base/time.ts'
import * as ether from '#ntm-lib/packet/ether.ts'
import { fillTransport, isSuper } from '#ntm-lib/packet/gso.ts'
import type { Counters } from '#ntm-lib/ports/counters.ts'
import type { Machine, Random } from '#ntm-lib/ports/machine.ts'
import { type Batch, CSUM_MISSING, type SuperBatch, slotAt } from '#ntm-lib/ports/packet-port.ts'
import { classify, newClassified, readPacket } from './classify.ts'
import type { BridgeConfig } from './config.ts'
import { DnsOnWire } from './dns-on-wire.ts'
import type { Way } from './frame.ts'
import type { Host } from './host.ts'
import { Hosts } from './hosts.ts'
import { Inbound } from './inbound.ts'
import type { KnownFlow } from './known-flows.ts'
import { learnFromHost, learnFromNet, tagOf } from './learn.ts'
import { memoryKey } from './memory.ts'
import { answerArp, answerSolicitation } from './neighbour.ts'
import { Outbound } from './outbound.ts'
import { Routes } from './routes.ts'
import { Seek } from './seek.ts'
import { Sweep } from './sweep.ts'
import type { BridgeIn, BridgeOut, Piece, ToTunnel, Verdict } from './types.ts'

/**
 * The bridge's Machine. The packet path is `fromTap` and `fromTunnel`, which work in place, take super-packets whole, and allocate
 * nothing for a packet of a known flow; everything they cannot say in a verdict comes from `poll`.
 */
export class BridgeCore implements Machine<BridgeIn, BridgeOut> {
  /** Where the packet of the last `to-tunnel` verdict is, and whose it is. Valid until the next call. */
  readonly toTunnel: ToTunnel
  /** Where the frame of the last `fromTunnel` verdict `to-host` is. Valid until the next call. */
  readonly toHost: Piece
  /** The IP packet inside the frame of the last `cut-first` verdict. Valid until the next call. */
  readonly toCut: Piece
  readonly hosts = new Hosts()
  readonly #config: BridgeConfig
  readonly #counters: Counters
  readonly #dns: DnsOnWire
  readonly routes = new Routes()
  readonly #outbound: Outbound
  readonly #inbound: Inbound
  readonly #neighbourRate = new Rate(100, 100)
  readonly #c = newClassified()
  readonly #f = ether.newFrame()
  readonly #seek: Seek
  readonly #sweep: Sweep
  #out: BridgeOut[] = []
  /** Of the memories told last. */
  #kept = '[]'
  #nextMemory = 0 as Instant

  constructor(config: BridgeConfig, random: Random, counters: Counters) {
    this.#config = config
    this.#counters = counters
    this.#dns = new DnsOnWire(config, this.hosts, random, counters)
    const parts = { config, hosts: this.hosts, routes: this.routes, counters }
    this.#outbound = new Outbound({ ...parts, say: (out) => this.#out.push(out) })
    this.#seek = new Seek(config, this.hosts)
    this.#sweep = new Sweep(config, this.hosts)
    this.#inbound = new Inbound({ ...parts, say: (out) => this.#out.push(out) }, this.#sweep)
    this.toTunnel = this.#outbound.toTunnel
    this.toCut = this.#outbound.toCut
    this.toHost = this.#inbound.toHost
  }

  handle(input: BridgeIn, now: Instant): void {
    if (input.in === 'zones') this.#dns.hold.setZones(input.zones)
    else if (input.in === 'granted') this.hosts.grant(input.hosts)
    else if (input.in === 'subnets') this.#sweep.told(input.subnets, now)
    else if (input.in === 'visitor') this.#dns.hold.known.name(input, input.name, now)
    else if (input.in === 'remembered') {
      for (const one of input.hosts) this.hosts.recall(one, now)
      this.#kept = memoryKey(this.hosts.memories())
    } else if (input.in === 'online') this.#dns.online = input.online
    else if (input.in === 'tunnel-gone') this.routes.remove(input.tunnel)
    else if (input.in === 'tunnel-ends') this.routes.ends(input.tunnel, input.ends)
    else if (input.in === 'tunnel-mtu') {
      const t = this.routes.tunnel(input.tunnel)
      t.innerBytes = input.innerBytes
      t.wholeBytes = input.wholeBytes
      t.clampBytes = input.clampBytes ?? input.wholeBytes
    } else this.#directed(input.id, input.result, now)
  }

  /** Judges slot `i`, a frame that the rules took off the wire. It may be rewritten in place, and its `gso` with it. */
  fromTap(b: SuperBatch, i: number, now: Instant): Verdict {
    const v = b.view
    const at = slotAt(b, i)
    const len = b.lens[i] ?? 0
    const gso = b.gso[i] ?? 0
    const c = this.#c
    if (readPacket(v, at, len, c)) {
      const verdict = this.#outbound.again(c, v, at, gso, now)
      if (verdict !== null) return verdict
    }
    const kind = classify(v, at, len, this.#config.virtual, c)
    if (kind === 'query' || kind === 'reply') return this.#message(kind, b, i, now)
    if (kind === 'other') {
      this.#counters.count('bridge.tap.other')
      if (len < ether.ETHER_BYTES) return this.#drop('short')
      return this.hosts.byLink(ether.source(v, at)) === null ? 'to-host' : 'to-net'
    }
    const host = this.hosts.meet(ether.source(v, at), tagOf(v, at, c.frame), now)
    if (host === null) return this.#drop('no-host')
    return kind === 'neighbour' ? this.#neighbour(host, v, now) : this.#outbound.judge(host, c, v, at, gso, now)
  }

  /**
   * Takes an inner packet that a tunnel delivered, `len` bytes at `at`, with at least 18 bytes free before it. On `to-host`
   * the frame is in `toHost`, in the same memory. The tunnel has checked that the source is one the peer may use.
   */
  fromTunnel(v: DataView, at: number, len: number, gso: number, now: Instant): Verdict {
    return this.#inbound.take(v, at, len, gso, now)
  }

  /** What the last `to-tunnel` of `fromTap` went by, or `to-host` of `fromTunnel`; null when nothing is remembered of it. */
  judged(verdict: 'to-tunnel' | 'to-host'): KnownFlow | null {
    return verdict === 'to-tunnel' ? this.#outbound.judged : this.#inbound.judged
  }

  /** A copy of slot `i` seen by the learning socket of that leg. */
  learn(leg: 'host' | 'net', b: Batch, i: number, now: Instant): void {
    const at = slotAt(b, i)
    const len = b.lens[i] ?? 0
    if (!ether.readFrame(b.view, at, len, this.#f)) return
    if (leg === 'net') return learnFromNet(this.hosts, b.view, at, len, this.#f, now)
    learnFromHost(this.hosts, b.view, at, len, this.#f, now, this.#sweep.own)
    this.#inbound.tick(now)
  }

  tick(now: Instant): void {
    this.#dns.hold.tick(now)
    this.hosts.sweep(now)
    this.#outbound.tick(now)
    this.#inbound.tick(now)
    for (const frame of [...this.#seek.tick(now), ...this.#sweep.tick(now), ...this.#sweep.echoes()])
      this.#out.push({ out: 'to-host', frame })
    this.#remember(now)
  }

  deadline(): Instant | null {
    const first = sooner(this.#dns.hold.deadline(), this.#outbound.deadline())
    const asking = sooner(this.#seek.deadline(), this.#sweep.deadline())
    return sooner(sooner(first, asking), sooner(this.#inbound.deadline(), this.#nextMemory))
  }

  poll(): BridgeOut | null {
    const first = this.#out.shift() ?? this.#dns.poll()
    if (first !== null) return first
    const claims = this.hosts.claims()
    return claims === null ? null : { out: 'claim-hosts', hosts: claims }
  }

  /** Tells what to keep soon after it has changed, and then not for a while: a disk may be a flash card. */
  #remember(now: Instant): void {
    if (now < this.#nextMemory) return
    this.#nextMemory = after(now, MEMORY_LOOKS)
    const hosts = this.hosts.memories()
    const key = memoryKey(hosts)
    if (key === this.#kept) return
    this.#kept = key
    this.#nextMemory = after(now, MEMORY_RESTS)
    this.#out.push({ out: 'remember', hosts })
  }

  /** A DNS message. It may be kept and sent on later, so its checksum is made now if nobody has. */
  #message(kind: 'query' | 'reply', b: SuperBatch, i: number, now: Instant): Verdict {
    const v = b.view
    const at = slotAt(b, i)
    const { ipAt, ipLen } = this.#c
    const gso = b.gso[i] ?? 0
    if (isSuper(gso)) {
      this.toCut.at = ipAt
      this.toCut.len = ipLen
      this.toCut.gso = gso
      return 'cut-first'
    }
    if (gso === CSUM_MISSING) {
      fillTransport(v, ipAt, ipLen)
      b.gso[i] = 0
    }
    if (kind === 'reply') return this.#dns.onReply(v, at, b.lens[i] ?? 0, this.#c, now)
    const host = this.hosts.meet(ether.source(v, at), tagOf(v, at, this.#c.frame), now)
    return host === null ? 'to-net' : this.#dns.onQuery(host, v, at, this.#c, now)
  }

  #directed(id: number, result: Extract<BridgeIn, { in: 'directed' }>['result'], now: Instant): void {
    if (result.ok) {
      for (const vip of [result.vip4, result.vip6]) {
        this.routes.set(vip, result.tunnel)
        this.#outbound.found(vip)
      }
    }
    if (id % 2 === 0) this.#dns.hold.directed(id / 2, result, now)
    else this.#outbound.answered((id - 1) / 2, result.ok, now)
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

  #drop(reason: string): Verdict {
    this.#counters.count(`bridge.drop.${reason}`)
    return 'dropped'
  }
}

const MEMORY_LOOKS = millis(1000)
const MEMORY_RESTS = millis(10_000)
