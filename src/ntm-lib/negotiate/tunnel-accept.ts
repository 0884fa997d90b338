import type { Endpoint } from '../addr/endpoint.ts'
import { same } from '../base/bytes.ts'
import { Expiring } from '../base/expiring.ts'
import { after, type Instant } from '../base/time.ts'
import { sealCookie, tag1Of } from '../crypto/cookie.ts'
import {
  handshakeBytes,
  TYPE_KNOCK,
  TYPE_TUNNEL_COOKIE,
  TYPE_TUNNEL_REQUEST,
  TYPE_TUNNEL_RESPONSE,
} from '../wire/handshake.ts'
import { encodeHeader, type Header } from '../wire/header.ts'
import type { Path } from './paths.ts'
import { LIMITS, TIMERS } from './timers.ts'
import { type Core, drop, send, serialOf } from './tunnel-core.ts'
import { beginEarly, earnEarly, mayBeEarly } from './tunnel-early.ts'
import { acceptable, answered } from './tunnel-epochs.ts'
import { headerOf, makeResponse, readRequest, slotFrom } from './tunnel-handshake.ts'
import { ask, chooseSuite, peerDirection } from './tunnel-open.ts'

/** Length of a class 3 datagram by its type; no other has it. */
export const HANDSHAKE_BYTES: Readonly<Record<number, number>> = {
  [TYPE_TUNNEL_REQUEST]: handshakeBytes('tunnel-request'),
  [TYPE_TUNNEL_RESPONSE]: handshakeBytes('tunnel-response'),
  [TYPE_TUNNEL_COOKIE]: handshakeBytes('tunnel-cookie'),
  [TYPE_KNOCK]: handshakeBytes('knock'),
}

export type Parked = { readonly from: Endpoint; readonly bytes: Uint8Array }

/** Tunnel Requests that came before their Route Direction, by Path ID: the seeds' order lets them. Bounded in number and time. */
export const parking = (): Expiring<number, Parked> => new Expiring(LIMITS.parkedRequests)

/** Handshakes of this second: what "under load" is measured by. */
export class Load {
  readonly #limit: number
  #end: Instant | null = null
  #count = 0

  constructor(perWindow: number = LIMITS.handshakesPerWindow) {
    this.#limit = perWindow
  }

  isHigh(now: Instant): boolean {
    return this.#end !== null && now < this.#end && this.#count >= this.#limit
  }

  add(now: Instant): void {
    if (this.#end === null || now >= this.#end) {
      this.#end = after(now, TIMERS.loadWindow.millis)
      this.#count = 0
    }
    this.#count++
  }
}

/**
 * A Tunnel Request whose tag 1 was right. Everything that needs no DH is decided before the first one: duplicates, old
 * tries, old epochs, crossing, load. Changes nothing but what the peer itself asked for: where the peer is, only
 * sealed packets say.
 */
export function onRequest(
  core: Core,
  load: Load,
  path: Path,
  header: Header,
  from: Endpoint,
  bytes: Uint8Array,
  now: Instant,
): void {
  const digest = core.suite.hash(bytes.subarray(0, -16))
  const last = path.accepted
  if (last !== null && header.counter <= last.tryNumber) {
    if (header.counter !== last.tryNumber || last.response === null || !same(digest, last.digest)) {
      return drop(core, 'old-request')
    }
    core.counters.count('ntm.tunnel.duplicate-request')
    earnEarly(path, from, bytes.length, last.response.length)
    return send(core, from, last.response)
  }
  if (!acceptable(path.epochs, header.word)) return drop(core, 'old-request')
  if (path.asking.at === 'asking') {
    core.counters.count('ntm.tunnel.crossed')
    ask(core, path, { in: 'crossed', wins: path.role === 'opener' }, now)
    if (stillAsking(path)) return
  }
  if (load.isHigh(now) && !core.cookies.proves(bytes, from, now)) {
    core.counters.count('ntm.tunnel.cookie-asked')
    return send(core, from, cookieDatagram(core, path, header, from, bytes, now))
  }
  load.add(now)
  answer(core, path, header, digest, from, bytes, now)
}

function answer(
  core: Core,
  path: Path,
  header: Header,
  digest: Uint8Array,
  from: Endpoint,
  bytes: Uint8Array,
  now: Instant,
): void {
  const request = readRequest(path.bond, bytes)
  if (request === null) return drop(core, 'bad-handshake')
  const { payload, noise } = request
  const suiteId = chooseSuite(core, path, payload.suiteMask)
  const verdict = payload.versionMin > 1 || payload.versionMax < 1 || suiteId === null ? REFUSED_VERSION : 0
  const response = makeResponse(path.bond, header, noise, {
    bootId: core.bootId,
    membershipSerial: core.membershipSerial,
    revocationVersion: core.revocationVersion(),
    resetToken: core.resets.token(header.id),
    innerMtuBytes: core.settings.innerMtuBytes,
    suite: suiteId ?? 0,
    verdict,
    features: 0,
    version: 1,
    retryAfterSeconds: 0,
  })
  if (response === null) return drop(core, 'bad-handshake')
  path.accepted = { tryNumber: header.counter, epoch: header.word, digest, response: response.bytes }
  if (verdict === 0 && suiteId !== null) {
    const slot = slotFrom(path.bond, response.keys, header.word, suiteId, false, core.refused, serialOf(core), now)
    const early = mayBeEarly(core, path)
    path.epochs = answered(path.epochs, slot, early)
    path.peerInnerMtu = Math.max(1280, payload.innerMtuBytes)
    path.peerReset = { id: header.id, token: payload.resetToken }
    // Give the answer time to be proven before we would propose one epoch more.
    const quiet = after(now, TIMERS.tunnelRequestFresh.millis)
    if (path.rekeyAt !== null && path.rekeyAt < quiet) path.rekeyAt = quiet
    if (early) beginEarly(core, path, from, bytes.length, response.bytes.length, now)
    path.answerAgain = path.isOpen && !early ? { copies: 1, at: after(now, TIMERS.tunnelRequest1.millis) } : null
    core.counters.count('ntm.tunnel.answered')
  }
  send(core, from, response.bytes)
}

/**
 * A rekey's response goes again until it is proven: at 30 % loss waiting for the other end's next copy would take most
 * of the 3 s in which two ends that crossed should meet. Only on an open path, so only to an address that was proven.
 */
export function acceptClock(core: Core, path: Path, now: Instant): void {
  const again = path.answerAgain
  if (again === null || now < again.at) return
  const response = path.accepted?.response ?? null
  if (response === null || path.epochs.next === null || path.address === null) {
    path.answerAgain = null
    return
  }
  send(core, path.address.current, response)
  path.answerAgain =
    again.copies < ANSWER_COPIES ? { copies: again.copies + 1, at: after(now, TIMERS.tunnelRequest1.millis) } : null
}

const stillAsking = (path: Path): boolean => path.asking.at === 'asking'

function cookieDatagram(
  core: Core,
  path: Path,
  request: Header,
  from: Endpoint,
  bytes: Uint8Array,
  now: Instant,
): Uint8Array {
  const header = encodeHeader(headerOf(path.direction, TYPE_TUNNEL_COOKIE, request.word, request.id, request.counter))
  const tagKey = path.bond.secrets.tagKey(peerDirection(path))
  return sealCookie(core.suite, header, tagKey, tag1Of(bytes), core.cookies.cookieFor(from, now))
}

const ANSWER_COPIES = 6
/** Verdict code of a response: no protocol version or cipher in common. */
const REFUSED_VERSION = 1
