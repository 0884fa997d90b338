import { isIp4 } from '#ntm-lib/addr/ip.ts'
import { type Ip4, ip4FromWord } from '#ntm-lib/addr/ip4.ts'
import { type Ip6, ip6FromBytes, parseIp6 } from '#ntm-lib/addr/ip6.ts'
import { type LinkAddr, parseLink } from '#ntm-lib/addr/link.ts'
import { invariant } from '#ntm-lib/base/invariant.ts'
import { after, type Instant, type Millis, millis, sooner } from '#ntm-lib/base/time.ts'
import * as arp from '#ntm-lib/packet/arp.ts'
import { icmp, packet6 } from '#ntm-lib/packet/build.ts'
import { TYPE_ARP } from '#ntm-lib/packet/ether.ts'
import { ECHO_REQUEST } from '#ntm-lib/packet/icmp6.ts'
import { ICMP6 } from '#ntm-lib/packet/protocol.ts'
import type { BridgeConfig } from './config.ts'
import { ipFrame, newFrameFor, type Way } from './frame.ts'
import type { Host } from './host.ts'
import type { Hosts } from './hosts.ts'
import type { Subnet } from './types.ts'

/**
 * Looks for hosts that have said nothing since the bridge began: asks the host's side alone for every address of the box's own subnets by ARP, and everybody
 * there for an IPv6 echo. At the beginning, when a host without an address is wanted, and while none has one.
 *
 * The asker is the box at an address of its own in that subnet, so the question looks to nobody like a second station that wants or has the address it asks
 * for (RFC 5227 §2.1.1). IPv6 asks from a virtual address: only what is sent to such a one comes back to us, and from an address of more than link scope.
 */
export class Sweep {
  readonly #config: BridgeConfig
  readonly #hosts: Hosts
  readonly #echo: Uint8Array
  /** Null until told: nothing is ever asked then. */
  #subnets: readonly Subnet[] | null = null
  /** The box's own addresses: an answer to one of them may be an answer to us. */
  readonly own = new Set<Ip4>()
  /** Still to be asked for, in order. */
  #left: { readonly own: Ip4; readonly ip: Ip4 }[] = []
  #nextAt: Instant | null = null
  #again: Instant | null = null
  #rest: Millis = REST
  readonly #wanted = new WeakMap<Host, Instant>()

  constructor(config: BridgeConfig, hosts: Hosts) {
    this.#config = config
    this.#hosts = hosts
    this.#echo = packet6({
      ...{ source: asker6(config), destination: ALL_NODES, protocol: ICMP6, hopLimit: 255 },
      payload: icmp(ECHO_REQUEST, 0, ECHO_ID << 16),
    })
  }

  /** Where hosts may be: begins to look there in a moment, when it is anywhere new and nobody is heard. Subnets of more than 1024 addresses are left alone. */
  told(subnets: readonly Subnet[], now: Instant): void {
    const small = subnets.filter(({ bits }) => bits >= WIDEST && bits <= 30)
    const known = this.#subnets
    const isNew = ({ own, bits }: Subnet): boolean => known?.some((s) => s.own === own && s.bits === bits) !== true
    const begins = known === null || small.some(isNew)
    this.#subnets = small
    this.own.clear()
    for (const { own } of small) this.own.add(own)
    // A host that talks has said who it is before that: nothing of ours is sent towards it then.
    if (begins) this.#again = after(now, LISTEN)
  }

  /** A host without an address is to get a packet. Whether it may be found in a moment: it is looked for once in half a minute. */
  wants(h: Host, now: Instant): boolean {
    if (this.#subnets === null || isAddressed(h)) return false
    const before = this.#wanted.get(h)
    if (before !== undefined && now < after(before, REST)) return now < after(before, WAIT)
    this.#wanted.set(h, now)
    if (this.#left.length === 0) this.#begin(now)
    return true
  }

  /** Frames for the host's side that are due. */
  tick(now: Instant): Uint8Array[] {
    if (this.#again !== null && this.#again <= now) {
      this.#again = null
      if (!this.#anyAddressed()) this.#begin(now)
    }
    if (this.#nextAt === null || this.#nextAt > now) return []
    const tags = this.#tags()
    const some = this.#left.splice(0, Math.max(1, Math.floor(AT_ONCE / tags.length)))
    this.#nextAt = this.#left.length > 0 ? after(now, PACE) : null
    if (this.#nextAt === null) this.#rested(now)
    return tags.flatMap((tag) => some.map(({ own, ip }) => this.#arp(tag, own, ip)))
  }

  /** The echo that begins a sweep, if one has begun. */
  echoes(): Uint8Array[] {
    if (!this.#echoDue) return []
    this.#echoDue = false
    return this.#tags().map((tag) => ipFrame({ to: ALL_NODES_LINK, from: this.#config.box, tag }, this.#echo))
  }
  #echoDue = false

  deadline(): Instant | null {
    return sooner(this.#nextAt, this.#again)
  }

  #begin(now: Instant): void {
    // Those that somebody is remembered at are asked for there, by `seek.ts`.
    const known = new Set([...this.#hosts.all()].flatMap((h) => h.ip4s))
    const all = (this.#subnets ?? []).flatMap(({ own, bits }) => others(own, bits).map((ip) => ({ own, ip })))
    this.#left = all.filter(({ ip }) => !known.has(ip))
    this.#echoDue = true
    this.#nextAt = now
  }

  /** One that knows nobody looks again, ever more seldom: who is switched on later mostly speaks by itself. */
  #rested(now: Instant): void {
    this.#again = after(now, this.#rest)
    this.#rest = millis(Math.min(this.#rest * 2, LONGEST_REST))
  }

  #anyAddressed(): boolean {
    for (const h of this.#hosts.all()) if (h.heard && isAddressed(h)) return true
    return false
  }

  /** VLANs in which somebody without an address is known; without a tag always. */
  #tags(): readonly number[] {
    const tags = new Set([0])
    for (const h of this.#hosts.all()) if (!isAddressed(h) && tags.size < MOST_TAGS) tags.add(h.tag)
    return [...tags]
  }

  #arp(tag: number, senderIp: Ip4, targetIp: Ip4): Uint8Array {
    const way: Way = { to: EVERYBODY, from: this.#config.box, tag }
    const f = newFrameFor(way, TYPE_ARP, arp.ARP_BYTES)
    const [senderLink, targetLink] = [way.from, 0 as LinkAddr]
    arp.write(f.view, f.at, { operation: arp.REQUEST, senderLink, senderIp, targetLink, targetIp })
    return f.bytes
  }
}

/** From whom IPv6 is asked: the first virtual address, which no node has. */
export function asker6({ virtual }: BridgeConfig): Ip6 {
  const base = virtual.map((p) => p.base).find((ip) => !isIp4(ip)) as Ip6 | undefined
  const ip = ip6FromBytes(base ?? new Uint8Array(16))
  ip[15] = 1
  return ip
}

const isAddressed = (h: Host): boolean => h.ip4s.length > 0 || h.ip6s.length > 0

/** The other addresses of a subnet, without its own two. */
function others(own: Ip4, bits: number): Ip4[] {
  const size = 2 ** (32 - bits)
  const base = own - (own % size)
  return Array.from({ length: size - 2 }, (_, i) => ip4FromWord(base + 1 + i)).filter((ip) => ip !== own)
}

function linkOf(text: string): LinkAddr {
  const link = parseLink(text)
  invariant(link !== null, 'a link address of ours is well-formed')
  return link
}

const EVERYBODY = linkOf('ff:ff:ff:ff:ff:ff')
const ALL_NODES_LINK = linkOf('33:33:00:00:00:01')
/** RFC 4291 §2.7.1. */
const ALL_NODES = parseIp6('ff02::1') as Ip6
/** Its answers are known by it, and are for nobody else. */
export const ECHO_ID = 0x4e54
/** A /22. */
const WIDEST = 22
const AT_ONCE = 100
const PACE = millis(100)
const LISTEN = millis(300)
const REST = millis(30_000)
const LONGEST_REST = millis(600_000)
const MOST_TAGS = 8
/** How long packets may wait for the host they are for. */
export const WAIT = millis(1000)
