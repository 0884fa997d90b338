import { type Endpoint, sameEndpoint } from '../addr/endpoint.ts'
import { idFromRandom, sessionId } from '../addr/ids.ts'
import { invariant } from '../base/invariant.ts'
import { after, type Instant, type Millis, seconds, sooner, type WallTime, wallTime } from '../base/time.ts'
import { openCookie, tag1Of } from '../crypto/cookie.ts'
import { controlTagKey } from '../crypto/schedule.ts'
import type { Counters } from '../ports/counters.ts'
import type { Log } from '../ports/log.ts'
import type { Envelope } from '../wire/envelope.ts'
import { TYPE_CONTROL_COOKIE } from '../wire/handshake.ts'
import { CLASS_CONTROL, CLASS_CONTROL_HANDSHAKE, CLASS_RESET, readHeader } from '../wire/header.ts'
import type { Request, Response } from '../wire/message.ts'
import { decodeReset } from '../wire/reset.ts'
import { ControlChannel } from './control-channel.ts'
import type { TransactionKey } from './control-events.ts'
import { type Caller, type EnrolSecret, type Hello, makeHello, readWelcome, withCookie } from './control-hello.ts'
import { Transactions } from './control-transactions.ts'
import type { ControlClientEvent } from './node-events.ts'
import { TIMERS } from './timers.ts'

export type ControlClientOut =
  | { readonly out: 'send'; readonly to: Endpoint; readonly bytes: Uint8Array }
  | { readonly out: 'event'; readonly event: ControlClientEvent }

export type ControlClientParts = {
  readonly caller: Caller
  readonly endpoints: readonly Endpoint[]
  /** Present while the node has no membership yet. `chain` is what a grant signed ahead, else empty. */
  readonly enrol: { readonly secret: EnrolSecret; readonly chain: readonly Uint8Array[] } | null
  readonly log: Log
  readonly counters: Counters
}

type Calling = { readonly hello: Hello; readonly sends: number; readonly resendAt: Instant; readonly freshAt: Instant }
type Live = {
  readonly channel: ControlChannel
  readonly to: Endpoint
  readonly resetToken: Uint8Array
  readonly rekeyAt: Instant
}

/**
 * The node's side of control: keeps one session with the coordinator, through Hello, cookies, rekeying and resets, and
 * carries requests over it. A session in use goes on while its successor is being made. `docs/wire.md`, classes 1 and 2.
 */
export class ControlClient {
  readonly #p: ControlClientParts
  readonly #transactions: Transactions
  readonly #out: ControlClientOut[] = []
  #enrol: ControlClientParts['enrol']
  #calling: Calling | null = null
  #callAt: Instant | null = null
  #rounds = 0
  #live: Live | null = null
  /** Nobody has answered where the session goes since something spoke against it. */
  #astray = false
  /** What the coordinator's clock showed, by its last Welcome, and when that came; null before the first. */
  heardTime: { readonly time: WallTime; readonly at: Instant } | null = null

  constructor(parts: ControlClientParts) {
    invariant(parts.endpoints.length > 0, 'a coordinator has at least one endpoint')
    this.#p = parts
    this.#enrol = parts.enrol
    const boot = parts.caller.suite.random(4)
    this.#transactions = new Transactions(new DataView(boot.buffer, boot.byteOffset).getUint32(0), parts.counters)
  }

  get established(): boolean {
    return this.#live !== null
  }

  start(now: Instant): void {
    this.#call(now)
  }

  /**
   * Our own addresses changed: whatever waits goes at once, to every endpoint of the coordinator until one answers. The session
   * stays; the coordinator follows its newest genuine datagram.
   */
  moved(now: Instant): void {
    this.#astray = true
    if (this.#calling !== null) this.#sendHello(this.#calling, now)
    this.#seal(this.#transactions.resend(now))
  }

  /** Gives the session up and says hello again. */
  restart(now: Instant): void {
    if (this.#live !== null) this.#tell({ event: 'lost' })
    this.#live = null
    if (this.#calling === null) this.#call(now)
  }

  /** Sent now, or as soon as there is a session. One `response` or `silent` event with this tag follows. */
  request(tag: string, message: Request, timeout: Millis, now: Instant): void {
    this.#sendAll(this.#transactions.ask(tag, message, timeout, now))
  }

  respond(transaction: TransactionKey, message: Response, now: Instant): void {
    this.#sendAll(this.#transactions.answer(transaction, message, now))
  }

  /** Whether a datagram is for this client, where several share one socket. */
  awaits(bytes: Uint8Array): boolean {
    const header = readHeader(bytes)
    if (!header.ok) return false
    const { cls, id } = header.value
    const channel = this.#live?.channel
    if (cls === CLASS_CONTROL) return id === channel?.own
    if (cls === CLASS_RESET) return id === channel?.peer
    return cls === CLASS_CONTROL_HANDSHAKE && id === this.#calling?.hello.session
  }

  /** Classes 1 and 2, and session resets. */
  handle(from: Endpoint, bytes: Uint8Array, now: Instant): void {
    const header = readHeader(bytes)
    if (!header.ok) return this.#drop(header.fault)
    switch (header.value.cls) {
      case CLASS_CONTROL_HANDSHAKE:
        return header.value.flags === TYPE_CONTROL_COOKIE
          ? this.#onCookie(bytes, now)
          : this.#onWelcome(from, bytes, now)
      case CLASS_CONTROL:
        return this.#onSealed(header.value.id, from, bytes, now)
      case CLASS_RESET:
        return this.#onReset(bytes, now)
      default:
        return this.#drop('unknown-kind')
    }
  }

  tick(now: Instant): void {
    const { send, expired } = this.#transactions.tick(now)
    if (send.length > 0) this.#astray = true
    this.#sendAll(send)
    for (const tag of expired) this.#onSilent(tag, now)
    if (this.#callAt !== null && this.#callAt <= now) this.#call(now)
    const calling = this.#calling
    if (calling !== null && calling.freshAt <= now) this.#call(now)
    else if (calling !== null && calling.resendAt <= now) this.#sendHello(calling, now)
    if (this.#live !== null && this.#calling === null && (this.#live.rekeyAt <= now || this.#live.channel.wantsRekey)) {
      this.#call(now)
    }
  }

  deadline(): Instant | null {
    let first = sooner(this.#transactions.deadline(), this.#callAt)
    if (this.#calling !== null) first = sooner(first, sooner(this.#calling.resendAt, this.#calling.freshAt))
    else if (this.#live !== null) first = sooner(first, this.#live.rekeyAt)
    return first
  }

  poll(): ControlClientOut | null {
    return this.#out.shift() ?? null
  }

  #call(now: Instant): void {
    this.#callAt = null
    const { caller } = this.#p
    const hello = makeHello(caller, this.#enrol?.secret ?? null, sessionId(idFromRandom(caller.suite.random(6))))
    if (hello === null) {
      // Only a damaged key file can do this: say it once per round, and keep trying in case it is replaced.
      this.#p.log.error('control.bad-coordinator-key')
      this.#callAt = after(now, TIMERS.helloFresh.millis)
      return
    }
    this.#rounds++
    if (this.#rounds === QUIET_ROUNDS) this.#p.log.warn('control.no-answer', { rounds: this.#rounds })
    this.#sendHello({ hello, sends: 0, resendAt: now, freshAt: after(now, TIMERS.helloFresh.millis) }, now)
  }

  #sendHello(calling: Calling, now: Instant): void {
    // To every endpoint at once: the first Welcome decides, so a dead address family costs nothing.
    for (const to of this.#p.endpoints) this.#out.push({ out: 'send', to, bytes: calling.hello.bytes })
    const wait = this.#rounds <= QUIET_ROUNDS ? HELLO_WAITS[calling.sends]?.millis : undefined
    this.#calling = {
      ...calling,
      sends: calling.sends + 1,
      resendAt: wait === undefined ? calling.freshAt : after(now, wait),
    }
  }

  #onCookie(bytes: Uint8Array, now: Instant): void {
    const calling = this.#calling
    if (calling === null) return this.#drop('late-cookie')
    const { caller } = this.#p
    const cookie = openCookie(
      caller.suite,
      bytes,
      controlTagKey(caller.suite, caller.coordinatorKey),
      tag1Of(calling.hello.bytes),
    )
    if (cookie === null) return this.#drop('bad-tag')
    this.#sendHello({ ...calling, hello: withCookie(caller, calling.hello, cookie) }, now)
  }

  #onWelcome(from: Endpoint, bytes: Uint8Array, now: Instant): void {
    const calling = this.#calling
    if (calling === null) return this.#drop('late-welcome')
    const welcome = readWelcome(this.#p.caller, calling.hello, bytes)
    if (!welcome.ok) return this.#drop(welcome.fault)
    const { keys, session, payload } = welcome.value
    const fresh = this.#live === null
    this.#live = {
      channel: new ControlChannel(this.#p.caller.suite, keys, 0, calling.hello.session, session),
      to: from,
      resetToken: payload.resetToken,
      rekeyAt: after(now, TIMERS.controlRekey.millis),
    }
    this.heardTime = { time: wallTime(payload.timeMillis), at: now }
    this.#calling = null
    this.#rounds = 0
    this.#astray = false
    // The first sealed datagram proves the session to the coordinator, even when there is nothing to say.
    this.#seal(this.#transactions.resend(now))
    if (calling.hello.enrol !== null) this.#sendAll(this.#askMembership(now))
    else if (fresh) this.#tell({ event: 'session' })
  }

  #askMembership(now: Instant): readonly Envelope[] {
    return this.#transactions.ask(ENROL, { kind: 'cert-renew', chain: this.#enrol?.chain ?? [] }, ENROL_TIMEOUT, now)
  }

  #onSealed(id: number, from: Endpoint, bytes: Uint8Array, now: Instant): void {
    const live = this.#live
    if (live === null || live.channel.own !== id) return this.#drop('unknown-session')
    const envelopes = live.channel.open(bytes)
    if (!envelopes.ok) return this.#drop(envelopes.fault)
    // From anywhere else it may be a copy that somebody on the way passed on.
    if (this.#astray && this.#p.endpoints.some((e) => sameEndpoint(e, from))) {
      this.#astray = false
      this.#live = { ...live, to: from }
    }
    for (const envelope of envelopes.value) {
      const { delivery, send } = this.#transactions.take(envelope, now)
      this.#sendAll(send)
      if (delivery === null) continue
      if (delivery.is === 'request') {
        this.#tell({ event: 'request', transaction: delivery.transaction, message: delivery.message })
      } else if (delivery.tag === ENROL) this.#onMembership(delivery.message, now)
      else this.#tell({ event: 'response', tag: delivery.tag, message: delivery.message })
    }
  }

  #onMembership(message: Response, now: Instant): void {
    this.#live = null
    if (message.kind === 'cert-renew-response') {
      this.#enrol = null
      this.#tell({ event: 'enrolled', chain: message.chain })
      return this.#call(now)
    }
    this.#callAt = after(now, ENROL_RETRY)
    if (message.kind === 'refusal') this.#tell({ event: 'refused', code: message.code, text: message.text })
  }

  #onReset(bytes: Uint8Array, now: Instant): void {
    const reset = decodeReset(bytes)
    const live = this.#live
    if (!reset.ok) return this.#drop(reset.fault)
    if (live === null || reset.value.id !== live.channel.peer) return this.#drop('unknown-session')
    if (!this.#p.caller.suite.equal(reset.value.token, live.resetToken)) return this.#drop('bad-tag')
    this.#p.counters.count('control.reset')
    this.restart(now)
  }

  #onSilent(tag: string, now: Instant): void {
    if (tag !== ENROL) return this.#tell({ event: 'silent', tag })
    this.#live = null
    if (this.#calling === null) this.#call(now)
  }

  #sendAll(envelopes: readonly Envelope[]): void {
    if (envelopes.length > 0) this.#seal(envelopes)
  }

  #seal(envelopes: readonly Envelope[]): void {
    const live = this.#live
    // Without a session requests wait: `resend` brings them into the next one.
    if (live === null) return
    // The same bytes to all: the first that arrives counts, the others are replays to the coordinator.
    const others = this.#astray ? this.#p.endpoints.filter((e) => !sameEndpoint(e, live.to)) : []
    for (const bytes of live.channel.seal(envelopes))
      for (const to of [live.to, ...others]) this.#out.push({ out: 'send', to, bytes })
  }

  #tell(event: ControlClientEvent): void {
    this.#out.push({ out: 'event', event })
  }

  #drop(reason: string): void {
    this.#p.counters.count(`control.drop.${reason}`)
  }
}

const HELLO_WAITS = [TIMERS.hello1, TIMERS.hello2, TIMERS.hello3, TIMERS.hello4]
const ENROL = 'enrol'
const ENROL_TIMEOUT = seconds(10)
const ENROL_RETRY = seconds(30)
/** After this many unanswered rounds of Hellos the log says so, and later rounds send one Hello each. */
const QUIET_ROUNDS = 3
