import { type Family, family, type Ip, isIp4, sameIp } from '#ntm-lib/addr/ip.ts'
import type { VirtualPair } from '#ntm-lib/addr/virtual.ts'
import { between, type Instant, type Millis, sooner } from '#ntm-lib/base/time.ts'
import type { Counters } from '#ntm-lib/ports/counters.ts'
import type { RefusalCode } from '#ntm-lib/wire/messages/refusal.ts'
import type { EgressPolicy } from './egress.ts'
import type { Resolution, Resolver, ResolverOut } from './resolver.ts'
import type { ServerEntry } from './server-entry.ts'
import type { TranslationTable } from './translation-table.ts'

/** A server that the coordinator directs a node to. */
export type Asked = {
  /** Comes back with the answer. */
  readonly id: string
  /** Key of the node's path. */
  readonly node: string
  readonly name: string
  readonly pair: VirtualPair
}

export type ServersOut =
  | Exclude<ResolverOut, { kind: 'resolved' }>
  /** `families`: bit 0 = reachable over IPv4, bit 1 = over IPv6. */
  | {
      readonly kind: 'ready'
      readonly id: string
      readonly ttlSeconds: number
      readonly families: number
      readonly entry: ServerEntry
    }
  | { readonly kind: 'refused'; readonly id: string; readonly code: RefusalCode; readonly text: string }

/**
 * Servers under way into the translation table: the terminator resolves the name itself (SEED 000 §4.2), drops what the
 * egress policy refuses, and keeps entries that are in use resolved.
 */
export class Servers {
  readonly #table: TranslationTable
  readonly #resolver: Resolver
  readonly #egress: EgressPolicy
  readonly #counters: Counters
  /** What a resolver ticket is for: a server asked for, or an entry to be renewed. */
  readonly #tickets = new Map<number, { readonly asked: Asked } | { readonly renew: ServerEntry }>()
  readonly #out: ServersOut[] = []
  #families: readonly Family[]
  #ticket = 1

  /** `families`: those that the uplink can reach. */
  constructor(
    table: TranslationTable,
    resolver: Resolver,
    egress: EgressPolicy,
    families: readonly Family[],
    counters: Counters,
  ) {
    this.#table = table
    this.#families = families
    this.#resolver = resolver
    this.#egress = egress
    this.#counters = counters
  }

  /** Answered by one `ready` or `refused`. A server that is known and fresh is answered without a question to DNS. */
  ask(asked: Asked, now: Instant): void {
    const known = this.#table.byName(asked.node, asked.name)
    const same = known !== null && known.pair.vip4 === asked.pair.vip4 && sameIp(known.pair.vip6, asked.pair.vip6)
    if (same && known.expires > now && known.addresses.some((ip) => this.#families.includes(family(ip)))) {
      known.lastUsed = now
      return this.#ready(asked.id, known, between(now, known.expires))
    }
    this.#resolve({ asked }, asked.name, now)
  }

  /** The uplink got or lost a family. Servers that are known keep their addresses until they are resolved again. */
  setFamilies(families: readonly Family[]): void {
    this.#families = families
  }

  /** A datagram on a resolver socket, or an answer over TCP. */
  datagram(input: Extract<Parameters<Resolver['handle']>[0], { kind: 'datagram' }>, now: Instant): void {
    this.#resolver.handle(input, now)
    this.#drain(now)
  }

  /** The node's path is gone: nothing of it stays, and what was asked for it is refused. */
  forget(node: string, now: Instant): void {
    for (const [ticket, t] of this.#tickets) {
      if (!('asked' in t) || t.asked.node !== node) continue
      this.#tickets.delete(ticket)
      this.#refuse(t.asked.id, 'no-route', 'the path is gone')
    }
    this.#table.removeNode(node, now)
  }

  tick(now: Instant): void {
    this.#table.tick(now)
    for (const entry of this.#table.due(now)) this.#resolve({ renew: entry }, entry.name, now)
    this.#resolver.tick(now)
    this.#drain(now)
  }

  deadline(): Instant | null {
    return sooner(this.#table.deadline(), this.#resolver.deadline())
  }

  poll(): ServersOut | null {
    return this.#out.shift() ?? null
  }

  #resolve(what: { readonly asked: Asked } | { readonly renew: ServerEntry }, name: string, now: Instant): void {
    const ticket = this.#ticket++
    this.#tickets.set(ticket, what)
    this.#resolver.handle({ kind: 'resolve', name, ticket }, now)
    this.#drain(now)
  }

  #drain(now: Instant): void {
    for (let out = this.#resolver.poll(); out !== null; out = this.#resolver.poll()) {
      if (out.kind !== 'resolved') this.#out.push(out)
      else this.#resolved(out.ticket, out.result, now)
    }
  }

  #resolved(ticket: number, result: Resolution, now: Instant): void {
    const what = this.#tickets.get(ticket)
    this.#tickets.delete(ticket)
    if (what === undefined) return
    const found = result.outcome === 'found' ? result.addresses.filter((ip) => this.#allows(ip)) : []
    const allowed = found.filter((ip) => this.#families.includes(family(ip)))
    if ('renew' in what) {
      if (result.outcome === 'found' && allowed.length > 0) this.#table.refresh(what.renew, allowed, result.ttl, now)
      else this.#table.resolutionFailed(what.renew, now)
      return
    }
    const { asked } = what
    if (result.outcome === 'failed') {
      this.#counters.count('tt.resolve.failed')
      return this.#refuse(asked.id, 'resolver-down', `the name could not be resolved: ${result.why}`)
    }
    if (result.outcome === 'none') return this.#refuse(asked.id, 'unknown-name', `no address: ${result.why}`)
    if (found.length > 0 && allowed.length === 0) {
      this.#counters.count('tt.resolve.no-route')
      const only = [...new Set(found.map((ip) => `IPv${family(ip)}`))].join(' and ')
      return this.#refuse(asked.id, 'no-route', `the name has only ${only}, which the uplink does not reach`)
    }
    if (allowed.length === 0) {
      this.#counters.count('tt.resolve.refused')
      const first = result.addresses[0]
      return this.#refuse(asked.id, 'bad-address', first === undefined ? '' : this.#egress.explain(first))
    }
    this.#install(asked, allowed, result.ttl, now)
  }

  #install(asked: Asked, addresses: readonly Ip[], ttl: Millis, now: Instant): void {
    const entry = this.#table.install(asked.node, asked.name, asked.pair, addresses, ttl, now)
    if (typeof entry === 'string') {
      this.#counters.count(`tt.install.${entry}`)
      return this.#refuse(asked.id, entry === 'node-full' ? 'busy' : 'forbidden', entry)
    }
    this.#ready(asked.id, entry, ttl)
  }

  #ready(id: string, entry: ServerEntry, ttl: Millis): void {
    const { addresses } = entry
    const families = (addresses.some(isIp4) ? 1 : 0) | (addresses.some((ip) => !isIp4(ip)) ? 2 : 0)
    this.#out.push({ kind: 'ready', id, ttlSeconds: Math.max(1, Math.floor(ttl / 1000)), families, entry })
  }

  #allows(ip: Ip): boolean {
    const why = this.#egress.refuses(ip)
    if (why !== null) this.#counters.count(`tt.egress.${why}`)
    return why === null
  }

  #refuse(id: string, code: RefusalCode, text: string): void {
    this.#out.push({ kind: 'refused', id, code, text })
  }
}
