import { type Endpoint, sameEndpoint } from '../addr/endpoint.ts'
import { idFromRandom, type NodeId, nodeKey, type SessionId, sessionId } from '../addr/ids.ts'
import { Expiring } from '../base/expiring.ts'
import { hex } from '../base/hex.ts'
import { after, type Instant, type Millis, sooner, type WallTime } from '../base/time.ts'
import { CookieMaker, checkTag1, sealCookie, tag1Of } from '../crypto/cookie.ts'
import { controlKeyId, controlTagKey, kdf, LABELS, nodeIdOf, resetToken } from '../crypto/schedule.ts'
import type { Counters } from '../ports/counters.ts'
import type { Log, LogFields } from '../ports/log.ts'
import type { Envelope } from '../wire/envelope.ts'
import {
  type EnrolHello,
  type HelloDatagram,
  splitEnrolHello,
  splitHello,
  TYPE_CONTROL_COOKIE,
  TYPE_ENROL_HELLO,
  TYPE_HELLO,
} from '../wire/handshake.ts'
import { CLASS_CONTROL, CLASS_CONTROL_HANDSHAKE, encodeHeader, type Header, readHeader } from '../wire/header.ts'
import type { Request, Response } from '../wire/message.ts'
import { encodeReset, RESET_BYTES } from '../wire/reset.ts'
import { ControlChannel } from './control-channel.ts'
import type { ControlPeer, ControlPolicy, ControlServerEvent, TransactionKey } from './control-events.ts'
import { type Callee, makeWelcome, readHello } from './control-hello.ts'
import { ControlLoad } from './control-load.ts'
import { Transactions } from './control-transactions.ts'
import { TIMERS } from './timers.ts'

export type ControlServerOut =
  | { readonly out: 'send'; readonly to: Endpoint; readonly bytes: Uint8Array }
  | { readonly out: 'event'; readonly event: ControlServerEvent }

export type ControlServerParts = {
  readonly callee: Callee
  readonly policy: ControlPolicy
  /** Told in each Welcome. */
  readonly words: () => {
    readonly time: WallTime
    readonly keepAliveSeconds: number
    readonly revocationVersion: number
  }
  readonly log: Log
  readonly counters: Counters
}

type Session = { readonly channel: ControlChannel; peer: ControlPeer; heardAt: Instant }
type Known = { readonly node: NodeId; readonly transactions: Transactions; session: Session | null }

/**
 * The coordinator's side of control. A Hello changes nothing: its session waits unused until the caller's first sealed
 * datagram proves that it is not a replay. Answers are never larger than questions. `docs/wire.md`, classes 1, 2 and 6.
 */
export class ControlServer {
  readonly #p: ControlServerParts
  readonly #keyId: number
  readonly #tagKey: Uint8Array
  readonly #resetSecret: Uint8Array
  readonly #cookies: CookieMaker
  /** Answered, not yet proven; by our session id. */
  readonly #unused = new Expiring<SessionId, Session>(MAX_UNUSED)
  readonly #welcomes = new Expiring<string, Uint8Array>(MAX_UNUSED)
  readonly #sessions = new Map<SessionId, Session>()
  readonly #known = new Map<string, Known>()
  readonly #out: ControlServerOut[] = []
  readonly #load = new ControlLoad()

  constructor(parts: ControlServerParts) {
    const { suite, self } = parts.callee
    this.#p = parts
    this.#keyId = controlKeyId(suite, self.public)
    this.#tagKey = controlTagKey(suite, self.public)
    this.#resetSecret = kdf(suite, self.secret, LABELS.kdf.reset, new Uint8Array(0), 32)
    this.#cookies = new CookieMaker(suite)
  }

  /** The live session of a node, and when it was heard last; null when it has none. */
  peer = (node: NodeId): ControlPeer | null => this.#known.get(nodeKey(node))?.session?.peer ?? null
  heardAt = (node: NodeId): Instant | null => this.#known.get(nodeKey(node))?.session?.heardAt ?? null

  /** Sends a request to a node; false when it has no session. A `response` or `silent` event with `tag` follows. */
  request(node: NodeId, tag: string, message: Request, timeout: Millis, now: Instant): boolean {
    const known = this.#known.get(nodeKey(node))
    if (known === undefined || known.session === null) return false
    this.#seal(known.session, known.transactions.ask(tag, message, timeout, now))
    return true
  }

  /** Answers a `request` event, in the session its node has now. */
  respond(transaction: TransactionKey, response: Response, now: Instant): void {
    const [node = '', key = ''] = transaction.split('/')
    const known = this.#known.get(node)
    if (known === undefined) return
    const envelopes = known.transactions.answer(key, response, now)
    if (known.session !== null) this.#seal(known.session, envelopes)
  }

  /** Ends a node's session without a word; its next datagram gets a reset. */
  close(node: NodeId): void {
    const known = this.#known.get(nodeKey(node))
    if (known !== undefined) this.#end(known)
  }

  handle(from: Endpoint, bytes: Uint8Array, now: Instant): void {
    const header = readHeader(bytes)
    if (!header.ok) return this.#drop(header.fault)
    if (header.value.cls === CLASS_CONTROL) return this.#onSealed(header.value, from, bytes, now)
    if (header.value.cls === CLASS_CONTROL_HANDSHAKE) return this.#onHandshake(header.value, from, bytes, now)
    this.#drop('unknown-kind')
  }

  tick(now: Instant): void {
    this.#unused.sweep(now)
    this.#welcomes.sweep(now)
    for (const [key, known] of this.#known) {
      const { send, expired } = known.transactions.tick(now)
      if (known.session !== null && send.length > 0) this.#seal(known.session, send)
      for (const tag of expired) this.#tell({ event: 'silent', node: known.node, tag })
      if (known.session !== null && silentAt(known.session) <= now) this.#end(known)
      if (known.session === null && known.transactions.deadline() === null) this.#known.delete(key)
    }
  }

  deadline(): Instant | null {
    let first = sooner(this.#unused.deadline(), this.#welcomes.deadline())
    for (const known of this.#known.values()) {
      first = sooner(first, known.transactions.deadline())
      if (known.session !== null) first = sooner(first, silentAt(known.session))
    }
    return first
  }

  poll(): ControlServerOut | null {
    return this.#out.shift() ?? null
  }

  #onHandshake(header: Header, from: Endpoint, bytes: Uint8Array, now: Instant): void {
    if (header.flags !== TYPE_HELLO && header.flags !== TYPE_ENROL_HELLO) return this.#drop('unknown-kind')
    const split = header.flags === TYPE_HELLO ? splitHello(bytes) : splitEnrolHello(bytes)
    if (!split.ok) return this.#drop(split.fault)
    if (header.word !== this.#keyId) return this.#drop('other-key')
    if (!checkTag1(this.#p.callee.suite, bytes, this.#tagKey)) return this.#drop('bad-tag')
    const again = this.#welcomes.get(hex(split.value.e))
    if (again !== undefined) return this.#send(from, again)
    if (this.#load.busy(now) && !this.#cookies.proves(bytes, from, now))
      return this.#sendCookie(header, from, bytes, now)
    this.#welcome(split.value, from, now)
  }

  #welcome(hello: HelloDatagram | EnrolHello, from: Endpoint, now: Instant): void {
    const { callee, policy } = this.#p
    const tokenId = 'tokenId' in hello ? hello.tokenId : null
    const psk = tokenId === null ? null : policy.tokenPsk(tokenId)
    if (tokenId !== null && psk === null) {
      const token = hex(tokenId)
      this.#warn(token, 'enrol.refused', { why: 'unknown-token', token }, now)
      return this.#drop('unknown-token')
    }
    const called = readHello(callee, hello)
    if (!called.ok) return this.#drop(called.fault)
    const { staticKey, payload } = called.value
    const node = nodeIdOf(callee.suite, staticKey)
    const admitted = tokenId === null ? policy.admits(node, staticKey, payload.roles) : 'yes'
    if (admitted !== 'yes') {
      this.#warn(nodeKey(node), 'control.not-admitted', { why: admitted, node: nodeKey(node) }, now)
      return this.#drop(`${admitted}-node`)
    }
    const own = this.#freshId()
    const { time: timeMillis, ...words } = this.#p.words()
    const told = { ...words, timeMillis, resetToken: this.#tokenFor(own) }
    const made = makeWelcome(callee, called.value, from, own, told, psk)
    if (made === null) return this.#drop('bad-value')
    const channel = new ControlChannel(callee.suite, made.keys, 1, own, sessionId(hello.header.counter))
    const peer: ControlPeer = { session: own, node, staticKey, bootId: payload.bootId, tokenId, endpoint: from }
    const until = after(now, TIMERS.unusedSession.millis)
    this.#unused.set(own, { channel, peer, heardAt: now }, until)
    this.#welcomes.set(hex(hello.e), made.bytes, until)
    this.#send(from, made.bytes)
  }

  #onSealed(header: Header, from: Endpoint, bytes: Uint8Array, now: Instant): void {
    const id = sessionId(header.id)
    const session = this.#sessions.get(id) ?? this.#unused.get(id)
    if (session === undefined) return this.#sendReset(id, from, bytes, now)
    const before = session.channel.newest
    const envelopes = session.channel.open(bytes)
    if (!envelopes.ok) return this.#drop(envelopes.fault)
    session.heardAt = now
    // Only a newer datagram moves the peer: an old one may be a replayed or delayed copy.
    if (session.channel.newest > before && !sameEndpoint(session.peer.endpoint, from)) {
      session.peer = { ...session.peer, endpoint: from }
      this.#tell({ event: 'moved', peer: session.peer })
      this.#resend(this.#knownOf(session.peer), now)
    }
    const known = this.#sessions.has(id) ? this.#knownOf(session.peer) : this.#prove(session, now)
    for (const envelope of envelopes.value) this.#onEnvelope(known, session, envelope, now)
  }

  /** The first sealed datagram: the session becomes the node's only one. */
  #prove(session: Session, now: Instant): Known {
    const { peer } = session
    const known = this.#knownOf(peer)
    if (known.session !== null) this.#sessions.delete(known.session.peer.session)
    this.#unused.delete(peer.session)
    this.#sessions.set(peer.session, session)
    known.session = session
    this.#tell({ event: 'established', peer })
    this.#resend(known, now)
    return known
  }

  #knownOf(peer: ControlPeer): Known {
    const key = nodeKey(peer.node)
    const known = this.#known.get(key)
    if (known !== undefined) return known
    const number = idFromRandom(this.#p.callee.suite.random(6)) % 2 ** 32
    const fresh = { node: peer.node, transactions: new Transactions(number, this.#p.counters), session: null }
    this.#known.set(key, fresh)
    return fresh
  }

  #onEnvelope(known: Known, session: Session, envelope: Envelope, now: Instant): void {
    const { delivery, send } = known.transactions.take(envelope, now)
    if (send.length > 0) this.#seal(session, send)
    if (delivery === null) return
    const { peer } = session
    if (delivery.is === 'response')
      return this.#tell({ event: 'response', peer, tag: delivery.tag, message: delivery.message })
    const transaction = `${nodeKey(known.node)}/${delivery.transaction}`
    this.#tell({ event: 'request', peer, transaction, message: delivery.message })
  }

  #end(known: Known): void {
    const peer = known.session?.peer
    if (peer === undefined) return
    this.#sessions.delete(peer.session)
    known.session = null
    this.#tell({ event: 'gone', peer })
  }

  /** Cheap to make without state, believed only by who once was told this token; never larger than what it answers. */
  #sendReset(id: SessionId, from: Endpoint, bytes: Uint8Array, now: Instant): void {
    this.#drop('unknown-session')
    if (bytes.length >= RESET_BYTES && this.#load.mayReset(now))
      this.#send(from, encodeReset({ about: 'session', id, token: this.#tokenFor(id) }))
  }

  #sendCookie(header: Header, from: Endpoint, bytes: Uint8Array, now: Instant): void {
    const { suite } = this.#p.callee
    this.#p.counters.count('control.cookie')
    const cookie = this.#cookies.cookieFor(from, now)
    const about = { word: this.#keyId, id: header.counter, counter: 0 }
    const reply = encodeHeader({ cls: CLASS_CONTROL_HANDSHAKE, flags: TYPE_CONTROL_COOKIE, ...about })
    this.#send(from, sealCookie(suite, reply, this.#tagKey, tag1Of(bytes), cookie))
  }

  #freshId(): SessionId {
    for (;;) {
      const id = sessionId(idFromRandom(this.#p.callee.suite.random(6)))
      if (!this.#sessions.has(id) && this.#unused.get(id) === undefined) return id
    }
  }

  #tokenFor(id: SessionId): Uint8Array {
    const bytes = Uint8Array.from([40, 32, 24, 16, 8, 0], (shift) => Math.floor(id / 2 ** shift) % 256)
    return resetToken(this.#p.callee.suite, this.#resetSecret, 'session', bytes)
  }

  /** What a box between two networks did not hear it hears when it is back, not after the next wait. */
  #resend({ session, transactions }: Known, now: Instant): void {
    if (session !== null) this.#seal(session, transactions.resend(now))
  }

  #seal(session: Session, envelopes: readonly Envelope[]): void {
    for (const bytes of session.channel.seal(envelopes)) this.#send(session.peer.endpoint, bytes)
  }

  #send(to: Endpoint, bytes: Uint8Array): void {
    this.#out.push({ out: 'send', to, bytes })
  }

  #tell(event: ControlServerEvent): void {
    this.#out.push({ out: 'event', event })
  }

  /** Once per caller, not per datagram: refused callers repeat themselves for ever. */
  #warn(who: string, event: string, fields: LogFields, now: Instant): void {
    if (this.#load.mayTell(who, now)) this.#p.log.warn(event, fields)
  }

  #drop(reason: string): void {
    this.#p.counters.count(`control.drop.${reason}`)
  }
}

const silentAt = (session: Session): Instant => after(session.heardAt, TIMERS.silentSession.millis)
/** Unproven sessions kept at once: more only push older ones out, they allocate nothing lasting. */
const MAX_UNUSED = 4096
