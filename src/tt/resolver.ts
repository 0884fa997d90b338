import { addressOf, buildQuery, type DnsMessage, parseMessage, RCODE, TYPE } from '#dnsfn/message.ts'
import { type Endpoint, sameEndpoint } from '#ntm-lib/addr/endpoint.ts'
import type { Ip } from '#ntm-lib/addr/ip.ts'
import { after, type Instant, type Millis, seconds, sooner } from '#ntm-lib/base/time.ts'
import type { Counters } from '#ntm-lib/ports/counters.ts'
import type { Machine, Random } from '#ntm-lib/ports/machine.ts'
import { TT_TIMERS } from './timers.ts'

/** How a resolution ended. `none`: the name exists and has no address, or does not exist; `failed`: nobody knows. */
export type Resolution =
  | { readonly outcome: 'found'; readonly addresses: readonly Ip[]; readonly ttl: Millis }
  | { readonly outcome: 'none'; readonly why: 'no-name' | 'no-address' }
  | { readonly outcome: 'failed'; readonly why: 'timeout' | 'refused' | 'bad-name' | 'busy' }

export type ResolverIn =
  | { readonly kind: 'resolve'; readonly name: string; readonly ticket: number }
  | { readonly kind: 'datagram'; readonly from: Endpoint; readonly bytes: Uint8Array; readonly socket: number }

/**
 * `send`: from a fresh socket with a random source port per `socket` number; its answers come back with that number.
 * `ask-tcp`: over a TCP connection (RFC 7766), the answer comes back as if by that socket. `close`: that socket and its
 * connections are not needed any more.
 */
export type ResolverOut =
  | { readonly kind: 'send'; readonly to: Endpoint; readonly bytes: Uint8Array; readonly socket: number }
  | { readonly kind: 'ask-tcp'; readonly to: Endpoint; readonly bytes: Uint8Array; readonly socket: number }
  | { readonly kind: 'close'; readonly socket: number }
  | { readonly kind: 'resolved'; readonly ticket: number; readonly name: string; readonly result: Resolution }

export type ResolverSettings = {
  /** Recursive resolvers, in order of preference; at least one. */
  readonly resolvers: readonly Endpoint[]
  /** Whose records are asked for: A, AAAA or both. */
  readonly families: readonly (4 | 6)[]
  /** TTLs are brought into this range, in seconds. */
  readonly leastTtl: number
  readonly mostTtl: number
}

type Part = {
  readonly type: number
  answer: DnsMessage | null
  /** What fitted into a truncated answer: better than nothing when time is up. */
  cut: DnsMessage | null
  overTcp: boolean
}
type Query = {
  readonly name: string
  readonly tickets: number[]
  readonly giveUpAt: Instant
  readonly parts: readonly Part[]
  /** The question in the air: one id per part, to one resolver. */
  tries: number
  retryAt: Instant
  socket: number
  to: Endpoint
  ids: readonly number[]
  lastRcode: number | null
}

const MOST_QUERIES = 1024

/**
 * The terminator's own stub resolver: A and AAAA in parallel over UDP, the next resolver after each silence, the whole
 * within 1.4 s. An answer counts only from the resolver asked, on the socket asked from, with the id and the question
 * asked (RFC 5452 §9.1). CNAME chains are followed inside one answer, as recursive resolvers give them.
 */
export class Resolver implements Machine<ResolverIn, ResolverOut> {
  readonly #settings: ResolverSettings
  readonly #random: Random
  readonly #counters: Counters
  readonly #queries = new Map<string, Query>()
  readonly #out: ResolverOut[] = []
  #sockets = 0

  constructor(settings: ResolverSettings, random: Random, counters: Counters) {
    this.#settings = settings
    this.#random = random
    this.#counters = counters
  }

  handle(input: ResolverIn, now: Instant): void {
    if (input.kind === 'resolve') this.#resolve(input.name.toLowerCase(), input.ticket, now)
    else this.#take(input.from, input.bytes, input.socket, now)
  }

  tick(now: Instant): void {
    for (const query of [...this.#queries.values()]) {
      if (query.giveUpAt <= now) this.#end(query, this.#late(query))
      else if (query.retryAt <= now) this.#ask(query, now)
    }
  }

  deadline(): Instant | null {
    let first: Instant | null = null
    for (const q of this.#queries.values()) first = sooner(first, sooner(q.retryAt, q.giveUpAt))
    return first
  }

  poll(): ResolverOut | null {
    return this.#out.shift() ?? null
  }

  #resolve(name: string, ticket: number, now: Instant): void {
    const running = this.#queries.get(name)
    if (running !== undefined) return void running.tickets.push(ticket)
    const bad = this.#queries.size >= MOST_QUERIES ? 'busy' : usable(name) ? null : 'bad-name'
    if (bad !== null) {
      this.#out.push({ kind: 'resolved', ticket, name, result: { outcome: 'failed', why: bad } })
      return
    }
    const query: Query = {
      name,
      tickets: [ticket],
      giveUpAt: after(now, TT_TIMERS.resolveTotal),
      parts: this.#settings.families.map((f) => ({
        type: f === 4 ? TYPE.A : TYPE.AAAA,
        answer: null,
        cut: null,
        overTcp: false,
      })),
      tries: 0,
      retryAt: now,
      socket: 0,
      to: this.#settings.resolvers[0] as Endpoint,
      ids: [],
      lastRcode: null,
    }
    this.#queries.set(name, query)
    this.#ask(query, now)
  }

  /** Asks everything still unanswered, from a new socket with new ids: a late answer to an old try is not trusted. */
  #ask(query: Query, now: Instant): void {
    const { resolvers } = this.#settings
    if (query.tries > 0) this.#out.push({ kind: 'close', socket: query.socket })
    query.to = resolvers[query.tries % resolvers.length] as Endpoint
    query.tries++
    query.socket = ++this.#sockets
    query.retryAt = after(now, TT_TIMERS.resolveTry)
    const bytes = this.#random.bytes(2 * query.parts.length)
    query.ids = query.parts.map((_, i) => ((bytes[2 * i] ?? 0) << 8) | (bytes[2 * i + 1] ?? 0))
    for (const [i, part] of query.parts.entries()) {
      if (part.answer !== null) continue
      part.overTcp = false
      this.#question('send', query, query.ids[i] ?? 0, part.type)
    }
  }

  #question(kind: 'send' | 'ask-tcp', query: Query, id: number, type: number): void {
    const question = buildQuery({ id, name: query.name, type, recursionDesired: true, edns: { udpSize: 1232 } })
    if (question !== null) this.#out.push({ kind, to: query.to, bytes: question, socket: query.socket })
  }

  #take(from: Endpoint, bytes: Uint8Array, socket: number, now: Instant): void {
    const query = [...this.#queries.values()].find((q) => q.socket === socket)
    if (query === undefined || !sameEndpoint(from, query.to)) return this.#counters.count('tt.dns.stray')
    const answer = parseMessage(bytes)
    if (answer === null || !answer.isResponse) return this.#counters.count('tt.dns.malformed')
    const i = query.parts.findIndex((p) => p.type === answer.question?.type)
    const part = query.parts[i]
    const fits = part !== undefined && query.ids[i] === answer.id && answer.question?.name === query.name
    if (!fits || answer.question?.class !== 1) return this.#counters.count('tt.dns.stray')
    if (part.answer !== null) return
    if (answer.truncated && !part.overTcp) {
      this.#counters.count('tt.dns.truncated')
      part.overTcp = true
      part.cut = answer
      // A connection takes two round trips: as long as for a new question.
      query.retryAt = after(now, TT_TIMERS.resolveTry)
      return this.#question('ask-tcp', query, answer.id, part.type)
    }
    // Cut even there: what fits is used, but a truncated answer without an address is no answer.
    const cut = answer.truncated && addresses(answer, query.name, part.type).length === 0
    if (cut || (answer.rcode !== RCODE.NOERROR && answer.rcode !== RCODE.NXDOMAIN)) {
      query.lastRcode = answer.rcode
      this.#counters.count('tt.dns.refused')
      // The next resolver may know better; one that was asked already gets its pause.
      if (query.tries < this.#settings.resolvers.length) query.retryAt = now
      return
    }
    part.answer = answer
    if (query.parts.every((p) => p.answer !== null)) this.#end(query, this.#result(query))
  }

  /** Time is up: an address of one family is better than none. */
  #late(query: Query): Resolution {
    const got = this.#result(query)
    if (got.outcome === 'found') return got
    return { outcome: 'failed', why: query.lastRcode === null ? 'timeout' : 'refused' }
  }

  #result(query: Query): Resolution {
    const found: Ip[] = []
    let ttl = this.#settings.mostTtl
    for (const { answer: whole, cut, type } of query.parts) {
      const answer = whole ?? cut
      if (answer === null) continue
      for (const { ip, seconds: s } of addresses(answer, query.name, type)) {
        if (found.length < 32) found.push(ip)
        ttl = Math.min(ttl, s)
      }
    }
    if (found.length > 0) {
      return { outcome: 'found', addresses: found, ttl: seconds(Math.max(ttl, this.#settings.leastTtl)) }
    }
    const noName = query.parts.some((p) => p.answer?.rcode === RCODE.NXDOMAIN)
    return { outcome: 'none', why: noName ? 'no-name' : 'no-address' }
  }

  #end(query: Query, result: Resolution): void {
    this.#queries.delete(query.name)
    this.#out.push({ kind: 'close', socket: query.socket })
    for (const ticket of query.tickets) this.#out.push({ kind: 'resolved', ticket, name: query.name, result })
  }
}

/** Follows the CNAMEs of one answer from `name`; the TTL of an address is the least along its chain. RFC 1034 §3.6.2. */
function addresses(m: DnsMessage, name: string, type: number): { readonly ip: Ip; readonly seconds: number }[] {
  let at = name
  let chain = 0xffffffff
  for (let hops = 0; hops < 16; hops++) {
    const alias = m.answers.find((r) => r.type === TYPE.CNAME && r.name === at)
    if (alias === undefined || typeof alias.data !== 'string') break
    at = alias.data
    chain = Math.min(chain, lifetime(alias.ttl))
  }
  return m.answers.flatMap((r) => {
    const ip = r.type === type && r.name === at && r.class === 1 ? addressOf(r) : null
    return ip === null ? [] : [{ ip, seconds: Math.min(lifetime(r.ttl), chain) }]
  })
}

/** RFC 2181 §8: a TTL with the high bit set is zero. */
const lifetime = (ttl: number): number => (ttl > 0x7fffffff ? 0 : ttl)

/** Names worth asking for: well-formed and of at least two labels (a single label is somebody's search list). */
const usable = (name: string): boolean =>
  name.includes('.') && buildQuery({ id: 0, name, type: TYPE.A, recursionDesired: true }) !== null
