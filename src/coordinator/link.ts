import type { Endpoint } from '#ntm-lib/addr/endpoint.ts'
import type { Fingerprint } from '#ntm-lib/addr/ids.ts'
import { after, type Instant, type Millis, millis, seconds, sooner } from '#ntm-lib/base/time.ts'
import type { CryptoSuite, KeyPair } from '#ntm-lib/crypto/suite.ts'
import { ControlClient, type ControlClientOut } from '#ntm-lib/negotiate/control-client.ts'
import type { Counters } from '#ntm-lib/ports/counters.ts'
import type { Log } from '#ntm-lib/ports/log.ts'
import type { Calendar } from '#ntm-lib/ports/machine.ts'
import { ROLE_COORDINATOR } from '#ntm-lib/wire/certificate.ts'
import type { Request, Response } from '#ntm-lib/wire/message.ts'
import { type Lead, type LinksOut, overlapping } from './other-zones.ts'
import { zoneOfCoordinator } from './zone-proof.ts'

export type LinkParts = {
  readonly suite: CryptoSuite
  readonly self: KeyPair
  readonly fingerprint: Fingerprint
  readonly rootKey: Uint8Array
  /** Our own chain, shown to the other one. */
  readonly chain: readonly Uint8Array[]
  /** Where we listen. */
  readonly endpoints: readonly Endpoint[]
  readonly calendar: Calendar
  readonly log: Log
  readonly counters: Counters
  readonly lead: Lead
}

type Wish = { readonly tag: string; readonly message: Request; readonly until: Instant; readonly again: boolean }

/**
 * One link to another coordinator: a control session, then Coordinator Hellos both ways. Requests wait until the other
 * one has shown its chain, so that a false lead learns nothing of our boxes.
 */
export class Link {
  readonly #p: LinkParts
  readonly #ownZone: string
  readonly #client: ControlClient
  readonly #out: LinksOut[] = []
  #zone: string | null
  #up = false
  #refused = false
  #asking = false
  #helloAt: Instant | null = null
  /** Asked for before the link was up. */
  #waiting: Wish[] = []
  /** Under way, by tag. */
  readonly #sent = new Map<string, Wish>()

  /** `zone` is what the other one is expected to prove; null: whatever it proves. */
  constructor(parts: LinkParts, ownZone: string, zone: string | null) {
    const { suite, self, fingerprint, lead, log, counters } = parts
    this.#p = parts
    this.#ownZone = ownZone
    this.#zone = zone
    const caller = {
      suite,
      self,
      fingerprint,
      coordinatorKey: lead.key,
      bootId: suite.random(8),
      roles: ROLE_COORDINATOR,
    }
    this.#client = new ControlClient({ caller, endpoints: lead.endpoints, enrol: null, log: quieter(log), counters })
  }

  /** Whose it is: as configured, told or proven. */
  get zone(): string | null {
    return this.#zone
  }

  /** Whether the other coordinator has proven its zone in this session. */
  get up(): boolean {
    return this.#up
  }

  /** Whether it answered and did not prove what it should. */
  get refused(): boolean {
    return this.#refused
  }

  start(now: Instant): void {
    this.#client.start(now)
    this.#pump(now)
  }

  owns(bytes: Uint8Array): boolean {
    return this.#client.awaits(bytes)
  }

  handle(from: Endpoint, bytes: Uint8Array, now: Instant): void {
    this.#client.handle(from, bytes, now)
    this.#pump(now)
  }

  request(tag: string, message: Request, patience: Millis, now: Instant): void {
    this.#send({ tag, message, until: after(now, patience), again: true }, now)
    this.#pump(now)
  }

  tick(now: Instant): void {
    this.#client.tick(now)
    if (this.#helloAt !== null && this.#helloAt <= now) this.#hello(now)
    for (const { tag } of this.#waiting.filter((w) => w.until <= now)) this.#silent(tag)
    this.#waiting = this.#waiting.filter((w) => w.until > now)
    this.#pump(now)
  }

  deadline(): Instant | null {
    let first = sooner(this.#client.deadline(), this.#helloAt)
    for (const { until } of this.#waiting) first = sooner(first, until)
    return first
  }

  poll(): LinksOut | null {
    return this.#out.shift() ?? null
  }

  #send(wish: Wish, now: Instant): void {
    if (!this.#up) {
      if (this.#waiting.length < MAX_WAITING) this.#waiting.push(wish)
      else this.#silent(wish.tag)
      return
    }
    this.#sent.set(wish.tag, wish)
    this.#client.request(WISH + wish.tag, wish.message, millis(Math.max(1, wish.until - now)), now)
  }

  #hello(now: Instant): void {
    this.#helloAt = null
    if (this.#asking) return
    this.#asking = true
    const { chain, endpoints } = this.#p
    this.#client.request(HELLO, { kind: 'coordinator-hello', chain, endpoints }, HELLO_PATIENCE, now)
  }

  #pump(now: Instant): void {
    for (let out = this.#client.poll(); out !== null; out = this.#client.poll()) this.#take(out, now)
  }

  #take(out: ControlClientOut, now: Instant): void {
    if (out.out === 'send') return void this.#out.push(out)
    const { event } = out
    switch (event.event) {
      case 'session':
        return this.#hello(now)
      case 'lost':
        return this.#down()
      case 'response':
        return event.tag === HELLO ? this.#shown(event.message, now) : this.#answered(event.tag, event.message, now)
      case 'silent':
        return event.tag === HELLO ? this.#unheard(now) : this.#unanswered(event.tag, now)
      case 'request':
        // Whoever wants something of us comes by a link of its own.
        return this.#client.respond(event.transaction, NOT_HERE, now)
      case 'enrolled':
      case 'refused':
        return
      default:
        return event satisfies never
    }
  }

  #shown(message: Response, now: Instant): void {
    this.#asking = false
    this.#helloAt = after(now, HELLO_EVERY)
    const { suite, rootKey, calendar, lead, log, counters } = this.#p
    const zone =
      message.kind === 'coordinator-hello-response'
        ? zoneOfCoordinator({ suite, rootKey, calendar }, message.chain, lead.key)
        : null
    const expected = this.#zone
    if (zone === null || overlapping(zone, this.#ownZone) || (expected !== null && zone !== expected)) {
      if (!this.#refused) log.warn('federation.refused', { zone: zone ?? expected ?? '', why: whyOf(message) })
      counters.count('coordinator.link.refused')
      this.#refused = true
      return this.#down()
    }
    this.#refused = false
    this.#zone = zone
    if (!this.#up) log.info('federation.up', { zone })
    this.#up = true
    const waiting = this.#waiting
    this.#waiting = []
    for (const wish of waiting) this.#send(wish, now)
  }

  #answered(tag: string, message: Response, now: Instant): void {
    const key = tag.slice(WISH.length)
    const wish = this.#sent.get(key)
    this.#sent.delete(key)
    if (wish === undefined) return
    // It started anew and has forgotten who we are.
    if (message.kind === 'refusal' && message.code === 'not-registered' && wish.again && wish.until > now) {
      this.#up = false
      this.#waiting.push({ ...wish, again: false })
      return this.#hello(now)
    }
    this.#out.push({ out: 'event', event: { event: 'response', tag: key, zone: this.#zone ?? '', message } })
  }

  #unanswered(tag: string, now: Instant): void {
    const key = tag.slice(WISH.length)
    if (this.#sent.delete(key)) this.#silent(key)
    this.#hello(now)
  }

  /** It does not even say hello: a new session, as often as it takes. */
  #unheard(now: Instant): void {
    this.#asking = false
    this.#down()
    this.#client.restart(now)
  }

  #down(): void {
    if (this.#up) {
      this.#p.log.warn('federation.down', { zone: this.#zone ?? '' })
      this.#p.counters.count('coordinator.link.down')
    }
    this.#up = false
  }

  #silent(tag: string): void {
    this.#p.counters.count('coordinator.link.silent')
    this.#out.push({ out: 'event', event: { event: 'silent', tag } })
  }
}

const whyOf = (message: Response): string =>
  message.kind === 'refusal' ? message.text : 'its chain proves another zone'
/** A coordinator that cannot be reached is a link's story, told once. */
const quieter = (log: Log): Log => {
  const debug: Log['debug'] = (event, fields) => log.debug(event, fields)
  return { debug, info: debug, warn: debug, error: debug }
}
const NOT_HERE = { kind: 'refusal', code: 'unsupported', retryAfterMillis: 0, text: 'not by this link' } as const
const HELLO = 'hello'
const WISH = 'wish '
const MAX_WAITING = 1024
const HELLO_PATIENCE = seconds(3)
/** Keeps firewalls open and notices a coordinator that has gone. */
const HELLO_EVERY = seconds(20)
