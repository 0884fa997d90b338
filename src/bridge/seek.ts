import { type Ip, isIp4 } from '#ntm-lib/addr/ip.ts'
import { type Ip4, ip4FromWord } from '#ntm-lib/addr/ip4.ts'
import type { Ip6 } from '#ntm-lib/addr/ip6.ts'
import { after, type Instant, millis } from '#ntm-lib/base/time.ts'
import * as arp from '#ntm-lib/packet/arp.ts'
import { TYPE_ARP, TYPE_IP6 } from '#ntm-lib/packet/ether.ts'
import * as ndp from '#ntm-lib/packet/ndp.ts'
import type { BridgeConfig } from './config.ts'
import { newFrameFor, wayTo } from './frame.ts'
import type { Host } from './host.ts'
import { ASKS, type Hosts } from './hosts.ts'
import { asker6 } from './sweep.ts'

/**
 * Asks for hosts that are only remembered, and for addresses that a host was about to take: each at its own link address, for the addresses it had, as a neighbour would. Nobody else sees
 * the question, and no address is tried that was not known. Four times in the first seconds, then once a minute.
 *
 * The asker's address is the gateway's, else a virtual one (both are answered for at the link address used): with none the question would
 * be the probe of a second station that wants the address (RFC 5227 §2.1.1, RFC 4862 §5.4.3), and a host that is just booting would give it up.
 */
export class Seek {
  readonly #hosts: Hosts
  readonly #config: BridgeConfig
  readonly #from4: Ip4
  readonly #from6: Ip6

  constructor(config: BridgeConfig, hosts: Hosts) {
    this.#config = config
    this.#hosts = hosts
    const bases = config.virtual.map((p): Ip => p.base)
    this.#from6 = asker6(config)
    this.#from4 = ip4FromWord(((bases.find((ip) => isIp4(ip)) as Ip4 | undefined) ?? 0) + 1)
  }

  /** Frames towards hosts that are due to be asked for. */
  tick(now: Instant): Uint8Array[] {
    const frames: Uint8Array[] = []
    for (const h of this.#hosts.doubtful()) {
      if (h.askAt > now) continue
      this.#hosts.asked(h, after(now, h.asks < ASKS ? ASK_AGAIN : ASK_SELDOM))
      if (!h.heard) for (const ip of h.ip4s) frames.push(this.#arp(h, ip))
      for (const ip of [...(h.heard ? [] : h.ip6s), ...h.taking]) frames.push(this.#solicitation(h, ip))
      // Somebody else had it, or it is an address of this link alone.
      if (h.asks >= ASKS) h.taking = []
    }
    return frames
  }

  deadline(): Instant | null {
    let first: Instant | null = null
    for (const h of this.#hosts.doubtful()) if (first === null || h.askAt < first) first = h.askAt
    return first
  }

  #arp(h: Host, targetIp: Ip4): Uint8Array {
    const way = wayTo(h, this.#config.box)
    const senderIp = h.gatewayIp !== null && h.gatewayLink !== null ? h.gatewayIp : this.#from4
    const f = newFrameFor(way, TYPE_ARP, arp.ARP_BYTES)
    arp.write(f.view, f.at, { operation: arp.REQUEST, senderLink: way.from, senderIp, targetLink: h.link, targetIp })
    return f.bytes
  }

  #solicitation(h: Host, target: Ip6): Uint8Array {
    const way = wayTo(h, this.#config.box)
    const f = newFrameFor(way, TYPE_IP6, ndp.SOLICITATION_PACKET_BYTES)
    ndp.writeSolicitation(f.view, f.at, { source: this.#from6, target, sourceLink: way.from })
    return f.bytes
  }
}

const ASK_AGAIN = millis(1000)
const ASK_SELDOM = millis(60_000)
