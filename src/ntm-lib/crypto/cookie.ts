import type { Endpoint } from '../addr/endpoint.ts'
import { ipBytes } from '../addr/ip.ts'
import { be16, concat } from '../base/bytes.ts'
import { invariant } from '../base/invariant.ts'
import type { Instant } from '../base/time.ts'
import { HEADER_BYTES } from '../wire/header.ts'
import { PassingSecret } from './passing-secret.ts'
import { cookieSealKey, mac16 } from './schedule.ts'
import { CHACHA20_POLY1305, type CryptoSuite } from './suite.ts'

/** Both tags end every handshake datagram: tag 1, then tag 2, 16 bytes each (mac1 and mac2 in `docs/wire.md`). */
export const TAGS_BYTES = 32
export const COOKIE_BYTES = 16
/** Header 16, nonce 16, sealed cookie 32. */
export const COOKIE_DATAGRAM_BYTES = 64

/** Fills the last 32 bytes of a handshake datagram in place. Without a cookie tag 2 is zero. */
export function writeTags(
  suite: CryptoSuite,
  datagram: Uint8Array,
  tagKey: Uint8Array,
  cookie: Uint8Array | null = null,
): void {
  invariant(datagram.length >= HEADER_BYTES + TAGS_BYTES, 'a handshake datagram has room for two tags')
  const [at1, at2] = [datagram.length - 32, datagram.length - 16]
  datagram.set(mac16(suite, tagKey, datagram.subarray(0, at1)), at1)
  datagram.set(cookie === null ? NO_TAG : mac16(suite, cookie, datagram.subarray(0, at2)), at2)
}

/** The first tag of a handshake datagram, copied; the answering Cookie is bound to it. */
export const tag1Of = (datagram: Uint8Array): Uint8Array => datagram.slice(-32, -16)

/** Whether the sender knew the tag key. To be asked before anything that costs a DH. */
export function checkTag1(suite: CryptoSuite, datagram: Uint8Array, tagKey: Uint8Array): boolean {
  if (datagram.length < HEADER_BYTES + TAGS_BYTES) return false
  const at = datagram.length - 32
  return suite.equal(mac16(suite, tagKey, datagram.subarray(0, at)), datagram.subarray(at, at + 16))
}

/** Whether the sender had our cookie for its address. */
export function checkTag2(suite: CryptoSuite, datagram: Uint8Array, cookie: Uint8Array): boolean {
  if (datagram.length < HEADER_BYTES + TAGS_BYTES) return false
  const at = datagram.length - 16
  return suite.equal(mac16(suite, cookie, datagram.subarray(0, at)), datagram.subarray(at))
}

/**
 * Makes and checks cookies without keeping anything per sender: a cookie is MAC16(secret, address ‖ port), and only
 * who receives at that address learns it.
 */
export class CookieMaker {
  readonly #suite: CryptoSuite
  readonly #secret: PassingSecret

  constructor(suite: CryptoSuite) {
    this.#suite = suite
    this.#secret = new PassingSecret(suite)
  }

  cookieFor(from: Endpoint, now: Instant): Uint8Array {
    return this.#cookie(this.#secret.current(now), from)
  }

  /** Whether tag 2 of a datagram from `from` was made with a cookie of ours that is still honoured. */
  proves(datagram: Uint8Array, from: Endpoint, now: Instant): boolean {
    return this.#secret.some((secret) => checkTag2(this.#suite, datagram, this.#cookie(secret, from)), now)
  }

  #cookie(secret: Uint8Array, from: Endpoint): Uint8Array {
    return mac16(this.#suite, secret, ipBytes(from.ip), be16(from.port))
  }
}

/**
 * The Cookie datagram that answers a request whose tag 1 was right. `tagKey` is the key of the request's tag 1, so
 * that only its sender, and only for that request, can read the cookie. 64 bytes: always less than was asked with.
 */
export function sealCookie(
  suite: CryptoSuite,
  header: Uint8Array,
  tagKey: Uint8Array,
  requestTag1: Uint8Array,
  cookie: Uint8Array,
): Uint8Array {
  invariant(header.length === HEADER_BYTES && cookie.length === COOKIE_BYTES, 'a Cookie is 16 + 16 + 32 bytes')
  const nonce = suite.random(16)
  const key = suite.aead(CHACHA20_POLY1305, cookieSealKey(suite, tagKey, nonce))
  return concat(header, nonce, key.seal(ZERO_NONCE, requestTag1, cookie))
}

/** The cookie in a Cookie datagram that answers the request with that tag 1; null when it does not. */
export function openCookie(
  suite: CryptoSuite,
  datagram: Uint8Array,
  tagKey: Uint8Array,
  requestTag1: Uint8Array,
): Uint8Array | null {
  if (datagram.length !== COOKIE_DATAGRAM_BYTES) return null
  const nonce = datagram.subarray(HEADER_BYTES, HEADER_BYTES + 16)
  const key = suite.aead(CHACHA20_POLY1305, cookieSealKey(suite, tagKey, nonce))
  return key.open(ZERO_NONCE, requestTag1, datagram.subarray(HEADER_BYTES + 16))
}

const NO_TAG = new Uint8Array(16)
const ZERO_NONCE = new Uint8Array(12)
