import type { DnsFlow, HoldOut, HoldVerdict } from '#dnsfn/flow.ts'
import { Hold } from '#dnsfn/hold.ts'
import type { Ip } from '#ntm-lib/addr/ip.ts'
import type { LinkAddr } from '#ntm-lib/addr/link.ts'
import type { Instant } from '#ntm-lib/base/time.ts'
import * as ether from '#ntm-lib/packet/ether.ts'
import * as ip4 from '#ntm-lib/packet/ip4.ts'
import * as ip6 from '#ntm-lib/packet/ip6.ts'
import { destinationPort, sourcePort, UDP_BYTES } from '#ntm-lib/packet/udp.ts'
import type { Counters } from '#ntm-lib/ports/counters.ts'
import type { Random } from '#ntm-lib/ports/machine.ts'
import { type Classified, DNS_PORT } from './classify.ts'
import type { BridgeConfig } from './config.ts'
import { udpFrame } from './frame.ts'
import { type Host, hasGlobalIp6, noteAddress, noteGateway } from './host.ts'
import type { Hosts } from './hosts.ts'
import { tagOf } from './learn.ts'
import type { BridgeOut, Verdict } from './types.ts'

/** A conversation with what it takes to speak in it, as the host or as the resolver. */
export type WireFlow = DnsFlow & {
  readonly hostIp: Ip
  readonly hostLink: LinkAddr
  /** The far end of the link: resolver or gateway. */
  readonly farLink: LinkAddr
  readonly tag: number
}

/** Between frames and the DNS function: reads flows out of diverted frames, writes its decisions as frames. */
export class DnsOnWire {
  readonly hold: Hold<WireFlow>
  readonly #config: BridgeConfig
  readonly #hosts: Hosts
  /** Directions for hosts that the coordinator has not given their virtual pair yet. */
  readonly #ungranted: Extract<HoldOut<WireFlow>, { out: 'direct' }>[] = []
  /** Whether the coordinator answers: then a new host's pair is a matter of one round trip. */
  online = false

  constructor(config: BridgeConfig, hosts: Hosts, random: Random, counters: Counters) {
    this.#config = config
    this.#hosts = hosts
    const { holdMillis, virtual, closed = false } = config
    this.hold = new Hold({ holdMillis, virtual, closed }, random, counters)
  }

  onQuery(host: Host, v: DataView, at: number, c: Classified, now: Instant): Verdict {
    const [hostIp, resolver] = addresses(v, c)
    noteAddress(host, hostIp, now)
    host.resolver = resolver
    const far = ether.destination(v, at)
    // Off its link or not, the far end's link address is what the host sends to: good enough to answer from.
    if (host.gatewayLink === null && far !== this.#config.box) noteGateway(host, far)
    const flow: WireFlow = {
      ...facts(host, this.online, now),
      hostPort: sourcePort(v, c.udpAt),
      resolver,
      hostIp,
      hostLink: host.link,
      farLink: far,
      tag: tagOf(v, at, c.frame),
    }
    return verdict(this.hold.onQuery(payload(v, c), flow, now), 'to-net')
  }

  onReply(v: DataView, at: number, len: number, c: Classified, now: Instant): Verdict {
    const host = this.#hosts.byLink(ether.destination(v, at))
    if (host === null) return 'to-host'
    const [resolver, hostIp] = addresses(v, c)
    const flow: WireFlow = {
      ...facts(host, this.online, now),
      hostPort: destinationPort(v, c.udpAt),
      resolver,
      hostIp,
      hostLink: host.link,
      farLink: ether.source(v, at),
      tag: tagOf(v, at, c.frame),
    }
    const frame = new Uint8Array(v.buffer, v.byteOffset + at, len)
    return verdict(this.hold.onReply(payload(v, c), frame, flow, now), 'to-host')
  }

  poll(): BridgeOut | null {
    const o = this.#granted() ?? this.hold.poll()
    if (o === null) return null
    if (o.out === 'release') return { out: 'to-host', frame: o.frame }
    if (o.out === 'direct') {
      const host = this.#hosts.byKey(o.host)
      if (host !== null && host.vip4 === null && this.#ungranted.length < MOST_UNGRANTED) {
        this.#ungranted.push(o)
        return this.poll()
      }
      const sources = [host?.vip4 ?? null, host?.vip6 ?? null].filter((ip) => ip !== null)
      return { out: 'direct', id: o.id * 2, sought: { by: 'name', name: o.name }, why: 'dns', sources }
    }
    const { hostIp, hostPort, hostLink, farLink, resolver, tag } = o.flow
    if (o.out === 'ask') {
      const ends = { source: hostIp, sourcePort: hostPort, to: resolver, toPort: DNS_PORT }
      return { out: 'to-net', frame: udpFrame({ to: farLink, from: hostLink, tag }, ends, o.bytes) }
    }
    const ends = { source: resolver, sourcePort: DNS_PORT, to: hostIp, toPort: hostPort }
    return { out: 'to-host', frame: udpFrame({ to: hostLink, from: farLink, tag }, ends, o.bytes) }
  }

  /** One direction that waited for its host's pair and can be asked for now. */
  #granted(): HoldOut<WireFlow> | null {
    const i = this.#ungranted.findIndex((o) => (this.#hosts.byKey(o.host)?.vip4 ?? null) !== null)
    return i < 0 ? null : (this.#ungranted.splice(i, 1)[0] ?? null)
  }
}

const facts = (
  h: Host,
  online: boolean,
  now: Instant,
): Pick<DnsFlow, 'host' | 'granted' | 'hasIp4' | 'hasGlobalIp6'> => ({
  host: h.key,
  granted: h.vip4 !== null || online,
  hasIp4: h.ip4s.length > 0,
  hasGlobalIp6: hasGlobalIp6(h, now),
})

const addresses = (v: DataView, c: Classified): readonly [source: Ip, destination: Ip] =>
  ip4.version(v, c.ipAt) === 4
    ? [ip4.source(v, c.ipAt), ip4.destination(v, c.ipAt)]
    : [ip6.source(v, c.ipAt), ip6.destination(v, c.ipAt)]

/** More new hosts than this at once are answered without a direction. */
const MOST_UNGRANTED = 64

const payload = (v: DataView, c: Classified): Uint8Array =>
  new Uint8Array(v.buffer, v.byteOffset + c.udpAt + UDP_BYTES, c.payloadLen)

const verdict = (v: HoldVerdict, pass: Verdict): Verdict => (v === 'taken' ? 'consumed' : pass)
