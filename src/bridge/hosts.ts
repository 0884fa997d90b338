import type { Ip6 } from '#ntm-lib/addr/ip6.ts'
import { ip6Key } from '#ntm-lib/addr/ip6.ts'
import { isGroup, type LinkAddr, linkBytes } from '#ntm-lib/addr/link.ts'
import { hex } from '#ntm-lib/base/hex.ts'
import { after, type Instant, millis } from '#ntm-lib/base/time.ts'
import { type HostGrant, MAX_HOSTS } from '#ntm-lib/wire/messages/common.ts'
import { type Host, isSettled, newHost, noteAddress } from './host.ts'
import { type HostMemory, memoryOf, type Recalled } from './memory.ts'
import type { PresentHost } from './types.ts'

/** The hosts behind the bridge. Only frames from their side make one; what comes from the LAN can add to a known one. */
export class Hosts {
  readonly #byLink = new Map<LinkAddr, Host>()
  /** By the address as a signed word, which hashes faster. */
  readonly #byVip4 = new Map<number, Host>()
  readonly #byVip6 = new Map<string, Host>()
  /** Something that the coordinator or the far ends must know of. */
  readonly #news = { any: false }
  #settled = ''
  #nextSweep = 0 as Instant

  get size(): number {
    return this.#byLink.size
  }

  /** The host that sent a frame; learnt now if it is new. Null for group addresses and when the table is full. */
  meet(link: LinkAddr, tag: number, now: Instant): Host | null {
    let h = this.#byLink.get(link)
    if (h === undefined) {
      if (isGroup(link) || link === 0 || !this.#room(now)) return null
      h = newHost(link, now, this.#news)
      this.#byLink.set(link, h)
      this.#news.any = true
    }
    if (h.tag !== tag) {
      h.tag = tag
      h.changes++
    }
    h.seen = now
    if (!h.heard) {
      // Claimed again in case it had been given up.
      if (h.asks > ASKS) this.#news.any = true
      h.heard = true
      h.heardAt = now
    }
    return h
  }

  /** A host of an earlier run, or one that others saw. A host that has spoken for itself knows better. */
  recall(r: Recalled, now: Instant): void {
    const known = this.#byLink.get(r.link)
    if (known === undefined && (isGroup(r.link) || r.link === 0 || !this.#room(now))) return
    const h = known ?? newHost(r.link, now, this.#news)
    if (known === undefined) {
      Object.assign(h, { heard: false, tag: r.tag })
      this.#byLink.set(r.link, h)
      this.#news.any = true
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

  /** Hosts that are only remembered, and those with an address that they are about to take. */
  *doubtful(): Iterable<Host> {
    for (const h of this.#byLink.values()) if (!h.heard || h.taking.length > 0) yield h
  }

  /** It was asked for, and is to be again at `next`. */
  asked(h: Host, next: Instant): void {
    h.asks++
    h.askAt = next
    if (!h.heard && h.asks === ASKS + 1) this.#news.any = true
  }

  /** Hosts of which everything is known that their frames are likely to tell; null when they are the same as last time. */
  settled(now: Instant): readonly LinkAddr[] | null {
    const all = [...this.#byLink.values()].filter((h) => isSettled(h, now)).map((h) => h.link)
    const text = String(all)
    if (text === this.#settled) return null
    this.#settled = text
    return all
  }

  /** What is to be kept for the next run. */
  memories(): HostMemory[] {
    return [...this.#byLink.values()].flatMap((h) => memoryOf(h) ?? [])
  }

  /** The host's own idea of its name, as it gave it by DHCP. */
  rename(h: Host, name: string): void {
    if (h.name === name) return
    h.name = name
    this.#news.any = true
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
  claims(): PresentHost[] | null {
    if (!this.#news.any) return null
    this.#news.any = false
    const present = [...this.#byLink.values()].filter((h) => h.heard || h.asks <= ASKS)
    return present.map((h) => ({
      host: h.id,
      name: h.name ?? `host-${hex(linkBytes(h.link))}`,
      families: (h.ip4s.length > 0 ? 1 : 0) + (h.ip6s.length > 0 ? 2 : 0),
    }))
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
    this.#news.any = true
  }

  #ungrant(h: Host): void {
    if (h.vip4 !== null && this.byVip4(h.vip4) === h) this.#byVip4.delete(h.vip4 | 0)
    if (h.vip6 !== null && this.byVip6(h.vip6) === h) this.#byVip6.delete(ip6Key(h.vip6))
  }
}

/** A host that answered none of so many questions is not told to be there any more; it is asked for all the same. */
export const ASKS = 3
const QUIET = millis(600_000)
const HOST_KEPT = millis(86_400_000)
