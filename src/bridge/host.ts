import { type Ip, ipText, isIp4, sameIp } from '#ntm-lib/addr/ip.ts'
import type { Ip4 } from '#ntm-lib/addr/ip4.ts'
import type { Ip6 } from '#ntm-lib/addr/ip6.ts'
import { type LinkAddr, linkBytes } from '#ntm-lib/addr/link.ts'
import { hex } from '#ntm-lib/base/hex.ts'
import { after, type Instant, millis } from '#ntm-lib/base/time.ts'

/** A general terminal behind the bridge, as far as its frames told. */
export type Host = {
  /** Map key and name towards the DNS function. */
  readonly key: string
  /** The 8 opaque bytes by which the coordinator knows it. */
  readonly id: Uint8Array
  readonly link: LinkAddr
  /** Shared with its table: `any` becomes true when it shows a family. */
  readonly news: { any: boolean }
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
  /** IPv6 addresses that it was asking for: whether it has them now is to be asked. */
  taking: Ip6[]
  /** Until when it counts as having working global IPv6. */
  globalIp6Until: Instant
  vip4: Ip4 | null
  vip6: Ip6 | null
  seen: Instant
  /** Whether a frame of it came in this run; else it is only remembered, and asked for. */
  heard: boolean
  /** When its first frame of this run came. */
  heardAt: Instant
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
    if (h.ip4s.length === 0) h.news.any = true
    h.ip4s = [ip, ...h.ip4s.filter((other) => other !== ip)].slice(0, 8)
    return
  }
  const top = ip[0] ?? 0
  if (top >> 5 === 1) h.globalIp6Until = after(now, GLOBAL_KEPT)
  if (top === 0 || top === 0xff || isLinkLocal(ip)) return
  const text = ipText(ip)
  if (h.ip6s[0] !== undefined && ipText(h.ip6s[0]) === text) return
  if (!h.ip6s.some((other) => ipText(other) === text)) h.changes++
  if (h.ip6s.length === 0) h.news.any = true
  h.taking = h.taking.filter((other) => ipText(other) !== text)
  h.ip6s = [ip, ...h.ip6s.filter((other) => ipText(other) !== text)].slice(0, 8)
}

/** RFC 4291 §2.5.6. */
const isLinkLocal = (ip: Ip6): boolean => ip[0] === 0xfe && ((ip[1] ?? 0) & 0xc0) === 0x80

/** It asks whether an address is free (RFC 4862 §5.4.2): in a moment it will have it, and may not use it for a long time. */
export function noteTaking(h: Host, ip: Ip6, now: Instant): void {
  const text = ipText(ip)
  if (isLinkLocal(ip)) return
  if ([...h.taking, ...h.ip6s].some((other) => ipText(other) === text)) return
  h.taking = [ip, ...h.taking].slice(0, 4)
  if (!h.heard) return
  h.asks = 0
  h.askAt = after(now, TAKING)
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

/** Whether everything is known of it that its frames are likely to tell. */
export function isSettled(h: Host, now: Instant): boolean {
  const families = (h.ip4s.length > 0 ? 1 : 0) + (h.ip6s.length > 0 ? 1 : 0)
  const wait = families === 2 ? 0 : families === 1 ? FAMILY_SHOWS : ADDRESS_SHOWS
  return h.heard && after(h.heardAt, millis(wait)) <= now
}

export const hasGlobalIp6 = (h: Host, now: Instant): boolean => h.globalIp6Until > now

/** A host that was just heard. */
export function newHost(link: LinkAddr, now: Instant, news: { any: boolean }): Host {
  const id = new Uint8Array(8)
  id.set(linkBytes(link), 2)
  return {
    key: hex(id),
    id,
    link,
    news,
    name: null,
    tag: 0,
    gatewayLink: null,
    gatewayIp: null,
    resolver: null,
    ip4s: [],
    ip6s: [],
    taking: [],
    globalIp6Until: now,
    vip4: null,
    vip6: null,
    seen: now,
    heard: true,
    heardAt: now,
    asks: 0,
    askAt: now,
    lease4: null,
    usedTowards: new Map(),
    changes: 0,
  }
}

/** One question of its own, a second of patience, and a little. */
const TAKING = millis(1500)
/** Time for a second family to show, and for any address at all. */
const FAMILY_SHOWS = millis(10_000)
const ADDRESS_SHOWS = millis(60_000)
const MAX_USES = 4096
/** Neighbour discovery speaks every few minutes at least while IPv6 is in use. */
const GLOBAL_KEPT = millis(3_600_000)
