import { type Ip, ipText, isIp4, sameIp } from '#ntm-lib/addr/ip.ts'
import type { Ip4 } from '#ntm-lib/addr/ip4.ts'
import { type Ip6, ip6Key } from '#ntm-lib/addr/ip6.ts'
import { isGroup, type LinkAddr, linkBytes } from '#ntm-lib/addr/link.ts'
import { hex } from '#ntm-lib/base/hex.ts'
import { after, type Instant, millis } from '#ntm-lib/base/time.ts'
import { type HostClaim, type HostGrant, MAX_HOSTS } from '#ntm-lib/wire/messages/common.ts'
import { type HostMemory, memoryOf, type Recalled } from './memory.ts'

/** A general terminal behind the bridge, as far as its frames told. */
export type Host = {
  /** Map key and name towards the DNS function. */
  readonly key: string
  /** The 8 opaque bytes by which the coordinator knows it. */
  readonly id: Uint8Array
  readonly link: LinkAddr
  name: string | null
  /** VLAN tag of its newest frame: TPID ≪ 16 | TCI; 0 without a tag. */
  tag: number
  /** Where the host sends what is not on its link; null before its first such frame. */
  gatewayLink: LinkAddr | null
  gatewayIp: Ip4 | null
  resolver: Ip | null
  /** Real addresses, newest first. */
  ip4s: Ip4[]
  ip6s: Ip6[]
  /** Until when it counts as having working global IPv6. */
  globalIp6Until: Instant
  vip4: Ip4 | null
  vip6: Ip6 | null
  seen: Instant
  /** Whether a frame of it came in this run; else it is only remembered, and asked for. */
  heard: boolean
  /** Questions for it without an answer, and when the next one is due. */
  asks: number
  askAt: Instant
  /** The address it has by DHCP: when it gets another one it has lost this. */
  lease4: Ip4 | null
  /** Which of several real addresses it used towards a virtual one, by `ipText`; empty while it has one. */
  readonly usedTowards: Map<string, Ip>
  /** Counts up whenever something that decides where its packets go has changed: `KnownFlows` go by it. */
  changes: number
}

/** The hosts behind the bridge. Only frames from their side make one; what comes from the LAN can add to a known one. */
export class Hosts {
  readonly #byLink = new Map<LinkAddr, Host>()
  /** By the address as a signed word, which hashes faster. */
  readonly #byVip4 = new Map<number, Host>()
  readonly #byVip6 = new Map<string, Host>()
  #changed = false
  #nextSweep = 0 as Instant

  get size(): number {
    return this.#byLink.size
  }

  /** The host that sent a frame; learnt now if it is new. Null for group addresses and when the table is full. */
  meet(link: LinkAddr, tag: number, now: Instant): Host | null {
    let h = this.#byLink.get(link)
    if (h === undefined) {
      if (isGroup(link) || link === 0 || !this.#room(now)) return null
      h = newHost(link, now)
      this.#byLink.set(link, h)
      this.#changed = true
    }
    if (h.tag !== tag) {
      h.tag = tag
      h.changes++
    }
    h.seen = now
    if (!h.heard) {
      // Claimed again in case it had been given up.
      if (h.asks > ASKS) this.#changed = true
      h.heard = true
    }
    return h
  }

  /** A host of an earlier run, or one that others saw. A host that has spoken for itself knows better. */
  recall(r: Recalled, now: Instant): void {
    const known = this.#byLink.get(r.link)
    if (known === undefined && (isGroup(r.link) || r.link === 0 || !this.#room(now))) return
    const h = known ?? newHost(r.link, now)
    if (known === undefined) {
      Object.assign(h, { heard: false, tag: r.tag })
      this.#byLink.set(r.link, h)
      this.#changed = true
    }
    if (h.name === null && r.name !== null) this.rename(h, r.name)
    h.gatewayLink ??= r.gatewayLink
    h.gatewayIp ??= r.gatewayIp
    if (h.ip4s.length === 0) for (const ip of r.ip4s.toReversed()) noteAddress(h, ip, now)
    if (h.ip6s.length === 0) {
      // Remembering an address is no sign of working IPv6.
      const { globalIp6Until } = h
      for (const ip of r.ip6s.toReversed()) noteAddress(h, ip, now)
      h.globalIp6Until = globalIp6Until
    }
    h.changes++
  }

  /** Hosts that are only remembered. */
  *unheard(): Iterable<Host> {
    for (const h of this.#byLink.values()) if (!h.heard) yield h
  }

  /** It was asked for, and is to be again at `next`. */
  asked(h: Host, next: Instant): void {
    h.asks++
    h.askAt = next
    if (h.asks === ASKS + 1) this.#changed = true
  }

  /** What is to be kept for the next run. */
  memories(): HostMemory[] {
    return [...this.#byLink.values()].flatMap((h) => memoryOf(h) ?? [])
  }

  /** The host's own idea of its name, as it gave it by DHCP. */
  rename(h: Host, name: string): void {
    if (h.name === name) return
    h.name = name
    this.#changed = true
  }

  byLink(link: LinkAddr): Host | null {
    return this.#byLink.get(link) ?? null
  }

  byVip4(vip: number): Host | null {
    return this.#byVip4.get(vip | 0) ?? null
  }

  byVip6(vip: Ip6): Host | null {
    return this.#byVip6.get(ip6Key(vip)) ?? null
  }

  all(): IterableIterator<Host> {
    return this.#byLink.values()
  }

  /** Takes the coordinator's pairs; hosts it does not name keep what they have. */
  grant(grants: readonly HostGrant[]): void {
    const byKey = new Map(grants.map((g) => [hex(g.host), g]))
    for (const h of this.#byLink.values()) {
      const g = byKey.get(h.key)
      if (g === undefined) continue
      this.#ungrant(h)
      h.changes++
      h.vip4 = g.vip4
      h.vip6 = g.vip6
      this.#byVip4.set(g.vip4 | 0, h)
      this.#byVip6.set(ip6Key(g.vip6), h)
    }
  }

  byKey(key: string): Host | null {
    for (const h of this.#byLink.values()) if (h.key === key) return h
    return null
  }

  /** Every host as the coordinator is to know it; null unless one came or went since the last call. */
  claims(): HostClaim[] | null {
    if (!this.#changed) return null
    this.#changed = false
    const present = [...this.#byLink.values()].filter((h) => h.heard || h.asks <= ASKS)
    return present.map((h) => ({ host: h.id, name: h.name ?? `host-${hex(linkBytes(h.link))}` }))
  }

  /** Forgets hosts unseen for a day. */
  sweep(now: Instant): void {
    if (now < this.#nextSweep) return
    this.#nextSweep = after(now, millis(60_000))
    for (const h of this.#byLink.values()) {
      if (after(h.seen, HOST_KEPT) <= now) this.#forget(h)
    }
  }

  /** Whether one more fits; a full table gives up the host that was silent longest, if it was for a while. */
  #room(now: Instant): boolean {
    if (this.#byLink.size < MAX_HOSTS) return true
    let oldest: Host | null = null
    for (const h of this.#byLink.values()) if (oldest === null || h.seen < oldest.seen) oldest = h
    if (oldest === null || after(oldest.seen, QUIET) > now) return false
    this.#forget(oldest)
    return true
  }

  #forget(h: Host): void {
    this.#ungrant(h)
    this.#byLink.delete(h.link)
    h.changes++
    this.#changed = true
  }

  #ungrant(h: Host): void {
    if (h.vip4 !== null && this.byVip4(h.vip4) === h) this.#byVip4.delete(h.vip4 | 0)
    if (h.vip6 !== null && this.byVip6(h.vip6) === h) this.#byVip6.delete(ip6Key(h.vip6))
  }
}

/** Where the host sends what is not on its link. */
export function noteGateway(h: Host, link: LinkAddr): void {
  if (h.gatewayLink === link) return
  h.gatewayLink = link
  h.changes++
}

/** Notes a real address the host has: newest first, at most 8 of a family. Link-local and unspecified ones are no help. */
export function noteAddress(h: Host, ip: Ip, now: Instant): void {
  if (isIp4(ip)) {
    if (ip === 0 || ip >>> 16 === 0xa9fe || ip >>> 28 >= 14 || h.ip4s[0] === ip) return
    // Their order alone changes nothing for the peers it has spoken to.
    if (!h.ip4s.includes(ip)) h.changes++
    h.ip4s = [ip, ...h.ip4s.filter((other) => other !== ip)].slice(0, 8)
    return
  }
  const top = ip[0] ?? 0
  if (top >> 5 === 1) h.globalIp6Until = after(now, GLOBAL_KEPT)
  if (top === 0 || top === 0xff || (top === 0xfe && ((ip[1] ?? 0) & 0xc0) === 0x80)) return
  const text = ipText(ip)
  if (h.ip6s[0] !== undefined && ipText(h.ip6s[0]) === text) return
  if (!h.ip6s.some((other) => ipText(other) === text)) h.changes++
  h.ip6s = [ip, ...h.ip6s.filter((other) => ipText(other) !== text)].slice(0, 8)
}

/** The address that DHCP gave it. The one it had before is gone, and is nowhere to send to. */
export function noteLease(h: Host, ip: Ip4, now: Instant): void {
  const before = h.lease4
  h.lease4 = ip
  if (before !== null && before !== ip) {
    h.ip4s = h.ip4s.filter((other) => other !== before)
    for (const [peer, real] of h.usedTowards) if (sameIp(real, before)) h.usedTowards.delete(peer)
    h.changes++
  }
  noteAddress(h, ip, now)
}

/** A source of any packet of its: worth noting only while nothing better is known, because a router's packets are of others. */
export function noteSource(h: Host, ip: Ip, now: Instant): void {
  if ((isIp4(ip) ? h.ip4s : h.ip6s).length === 0) noteAddress(h, ip, now)
}

/** Remembers from which of its addresses the host speaks to `peer`; called only while it has several. */
export function noteUse(h: Host, peer: Ip, real: Ip): void {
  const key = ipText(peer)
  if (h.usedTowards.size >= MAX_USES && !h.usedTowards.has(key)) {
    const oldest = h.usedTowards.keys().next()
    if (oldest.done !== true) h.usedTowards.delete(oldest.value)
  }
  const before = h.usedTowards.get(key)
  if (before === undefined || !sameIp(before, real)) h.changes++
  h.usedTowards.set(key, real)
}

/** The real address of the peer's family under which the host expects packets from the virtual address `peer`. */
export function realFor(h: Host, peer: Ip): Ip | null {
  const mine: readonly Ip[] = isIp4(peer) ? h.ip4s : h.ip6s
  if (mine.length < 2) return mine[0] ?? null
  return h.usedTowards.get(ipText(peer)) ?? mine[0] ?? null
}

export const hasGlobalIp6 = (h: Host, now: Instant): boolean => h.globalIp6Until > now

function newHost(link: LinkAddr, now: Instant): Host {
  const id = new Uint8Array(8)
  id.set(linkBytes(link), 2)
  return {
    key: hex(id),
    id,
    link,
    name: null,
    tag: 0,
    gatewayLink: null,
    gatewayIp: null,
    resolver: null,
    ip4s: [],
    ip6s: [],
    globalIp6Until: now,
    vip4: null,
    vip6: null,
    seen: now,
    heard: true,
    asks: 0,
    askAt: now,
    lease4: null,
    usedTowards: new Map(),
    changes: 0,
  }
}

/** A host that answered none of so many questions is not told to be there any more; it is asked for all the same. */
export const ASKS = 3
const QUIET = millis(600_000)
const MAX_USES = 4096
const HOST_KEPT = millis(86_400_000)
/** Neighbour discovery speaks every few minutes at least while IPv6 is in use. */
const GLOBAL_KEPT = millis(3_600_000)
