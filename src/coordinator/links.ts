import type { Endpoint } from '#ntm-lib/addr/endpoint.ts'
import { type NodeId, nodeKey } from '#ntm-lib/addr/ids.ts'
import { Expiring } from '#ntm-lib/base/expiring.ts'
import { after, type Instant, type Millis, millis, seconds, sooner } from '#ntm-lib/base/time.ts'
import { nodeIdOf } from '#ntm-lib/crypto/schedule.ts'
import type { Request } from '#ntm-lib/wire/message.ts'
import { Link, type LinkParts } from './link.ts'
import { covers, type Lead, type LinkEvent, type LinksOut, type OtherZones } from './other-zones.ts'

export type LinksParts = Omit<LinkParts, 'lead'> & {
  /** Our own zone: no other coordinator speaks for it. */
  readonly zone: string
}

type Parked = {
  readonly zone: string
  readonly tag: string
  readonly message: Request
  readonly until: Instant
}

type Entry = { readonly link: Link; readonly fixed: boolean; usedAt: Instant }

/**
 * The links to other coordinators: made on demand and kept, at most `MAX_LINKS`. Each is a control session like a node's,
 * in which both sides show the chain the root signed for them (SEED 002 §3: several DCs).
 */
export class Links implements OtherZones {
  readonly #p: LinksParts
  readonly #entries = new Map<string, Entry>()
  readonly #seeking = new Map<string, { link: Link | null; until: Instant }>()
  /** Names that led nowhere, for a while. */
  readonly #nowhere = new Expiring<string, true>(4096)
  /** Zones that the operator named without saying where: asked of DNS when they are needed. */
  readonly #hoped = new Set<string>()
  /** Until when DNS is waited for, by zone. */
  readonly #finding = new Map<string, Instant>()
  #parked: Parked[] = []
  readonly #out: LinksOut[] = []

  constructor(parts: LinksParts) {
    this.#p = parts
  }

  /** The operator names another zone's coordinator. */
  configure(zone: string, lead: Lead, now: Instant): void {
    this.#open(lead, zone, true, now)
  }

  /** The operator names another zone; where its coordinator is DNS says. */
  hope(zone: string, now: Instant): void {
    this.#hoped.add(zone)
    this.#find(zone, now)
  }

  get zones(): readonly string[] {
    const linked = [...this.#entries.values()].flatMap(({ link }) => link.zone ?? [])
    return [...new Set([...linked, ...this.#hoped])].toSorted()
  }

  /** Zones whose coordinator can be asked now. */
  get up(): readonly string[] {
    return this.zones.filter((zone) => this.#of(zone)?.link.up === true)
  }

  zoneOf(name: string): string | null {
    const fit = this.zones.filter((zone) => covers(zone, name))
    return fit.toSorted((a, b) => b.length - a.length)[0] ?? null
  }

  request(zone: string, tag: string, message: Request, patience: Millis, now: Instant): boolean {
    const entry = this.#of(zone)
    if (entry === null) return this.#park({ zone, tag, message, until: after(now, patience) }, now)
    entry.usedAt = now
    entry.link.request(tag, message, patience, now)
    this.#drain(entry.link)
    return true
  }

  seek(name: string, now: Instant): void {
    const known = this.zoneOf(name)
    if (known !== null || this.#nowhere.get(name) === true || this.#seeking.size >= MAX_SEEKING)
      return this.#tell({ event: 'sought', name, zone: known })
    if (this.#seeking.has(name)) return
    this.#seeking.set(name, { link: null, until: after(now, SEEK) })
    this.#out.push({ out: 'find', name })
  }

  /** What DNS says of the coordinator for `name`; null: it is no NTM name. */
  found(name: string, lead: Lead | null, now: Instant): void {
    if (this.#finding.delete(name)) {
      if (lead !== null) this.#open(lead, name, false, now)
      this.#unpark((p) => p.zone === name, now)
    }
    const seeking = this.#seeking.get(name)
    if (seeking === undefined) return
    if (lead === null) return this.#settle(name, null, now)
    seeking.link = this.#open(lead, null, false, now)
    this.#resolve(now)
  }

  met(zone: string, lead: Lead, now: Instant): void {
    if (this.#of(zone) === null && lead.endpoints.length > 0) this.#open(lead, zone, false, now)
  }

  /** Whether this datagram was for a link: answers to our Hellos, sealed datagrams and resets of our sessions. */
  handle(from: Endpoint, bytes: Uint8Array, now: Instant): boolean {
    let ours = false
    for (const { link } of this.#entries.values()) {
      if (!link.owns(bytes)) continue
      ours = true
      link.handle(from, bytes, now)
      this.#drain(link)
    }
    this.#resolve(now)
    return ours
  }

  tick(now: Instant): void {
    for (const [key, { link, fixed, usedAt }] of [...this.#entries]) {
      link.tick(now)
      this.#drain(link)
      // A lead from DNS may be anybody's address: it is not called for ever.
      if (!fixed && !link.up && after(usedAt, FORGOTTEN) <= now) this.#entries.delete(key)
    }
    for (const [zone, until] of this.#finding) if (until <= now) this.found(zone, null, now)
    this.#nowhere.sweep(now)
    for (const [name, { until }] of this.#seeking) if (until <= now) this.#settle(name, null, now)
    this.#resolve(now)
  }

  deadline(): Instant | null {
    let first = this.#nowhere.deadline()
    for (const { link, fixed, usedAt } of this.#entries.values()) {
      first = sooner(first, link.deadline())
      if (!fixed && !link.up) first = sooner(first, after(usedAt, FORGOTTEN))
    }
    for (const { until } of this.#seeking.values()) first = sooner(first, until)
    for (const until of this.#finding.values()) first = sooner(first, until)
    return first
  }

  poll(): LinksOut | null {
    return this.#out.shift() ?? null
  }

  #find(zone: string, now: Instant): void {
    if (this.#finding.has(zone) || this.#of(zone) !== null) return
    this.#finding.set(zone, after(now, SEEK))
    this.#out.push({ out: 'find', name: zone })
  }

  #park(parked: Parked, now: Instant): boolean {
    if (!this.#hoped.has(parked.zone) || this.#parked.length >= MAX_PARKED) return false
    this.#parked.push(parked)
    this.#find(parked.zone, now)
    return true
  }

  /** There is a link for these now, or none in time. */
  #unpark(which: (parked: Parked) => boolean, now: Instant): void {
    const out = this.#parked.filter(which)
    this.#parked = this.#parked.filter((p) => !which(p))
    for (const { zone, tag, message, until } of out) {
      if (this.#of(zone) === null || until <= now) this.#tell({ event: 'silent', tag })
      else this.request(zone, tag, message, millis(until - now), now)
    }
  }

  #of(zone: string): Entry | null {
    const all = [...this.#entries.values()].filter((e) => e.link.zone === zone)
    return all.find((e) => e.link.up) ?? all[0] ?? null
  }

  #open(lead: Lead, zone: string | null, fixed: boolean, now: Instant): Link {
    const key = nodeKey(this.#idOf(lead))
    const known = this.#entries.get(key)
    if (known !== undefined) return known.link
    this.#makeRoom()
    const link = new Link({ ...this.#p, lead }, this.#p.zone, zone)
    this.#entries.set(key, { link, fixed, usedAt: now })
    link.start(now)
    this.#drain(link)
    return link
  }

  #idOf({ key }: Lead): NodeId {
    return nodeIdOf(this.#p.suite, key)
  }

  /** The link that was used longest ago goes; configured ones stay. */
  #makeRoom(): void {
    if (this.#entries.size < MAX_LINKS) return
    const [oldest] = [...this.#entries].filter(([, e]) => !e.fixed).toSorted(([, a], [, b]) => a.usedAt - b.usedAt)
    if (oldest !== undefined) this.#entries.delete(oldest[0])
  }

  /** Names whose coordinator has shown who it is by now. */
  #resolve(now: Instant): void {
    for (const [name, { link }] of this.#seeking) {
      if (link === null || (!link.up && !link.refused)) continue
      this.#settle(name, link.zone !== null && covers(link.zone, name) ? link.zone : null, now)
    }
  }

  #settle(name: string, zone: string | null, now: Instant): void {
    this.#seeking.delete(name)
    if (zone === null) this.#nowhere.set(name, true, after(now, NOWHERE))
    this.#tell({ event: 'sought', name, zone })
  }

  #drain(link: Link): void {
    for (let out = link.poll(); out !== null; out = link.poll()) this.#out.push(out)
  }

  #tell(event: LinkEvent): void {
    this.#out.push({ out: 'event', event })
  }
}

const MAX_LINKS = 64
const MAX_SEEKING = 256
const MAX_PARKED = 1024
/** Under the time in which a direction is answered. */
const SEEK = seconds(1.2)
const NOWHERE = seconds(30)
/** A link that is down and that nobody needs. */
const FORGOTTEN = seconds(60)
