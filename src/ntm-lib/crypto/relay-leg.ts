import type { Endpoint } from '../addr/endpoint.ts'
import type { PathId } from '../addr/ids.ts'
import { ipBytes } from '../addr/ip.ts'
import { ascii, be16 } from '../base/bytes.ts'
import { invariant } from '../base/invariant.ts'
import type { Instant } from '../base/time.ts'
import type { Direction } from '../wire/capsulated.ts'
import { HEADER_BYTES, setU48 } from '../wire/header.ts'
import { PassingSecret } from './passing-secret.ts'
import { mac16 } from './schedule.ts'
import type { CryptoSuite } from './suite.ts'

/** Bytes of the tag that ends Bind, Challenge, Confirm, Notice and Knock. */
export const LEG_TAG_BYTES = 16

/** The tag of a relay leg datagram whose last 16 bytes are the tag's place: MAC16(key, all before ‖ "relay" when the relay sends). */
export function legTag(suite: CryptoSuite, key: Uint8Array, datagram: Uint8Array, byRelay: boolean): Uint8Array {
  invariant(datagram.length >= HEADER_BYTES + LEG_TAG_BYTES, 'a relay leg datagram has room for its tag')
  return mac16(suite, key, datagram.subarray(0, -LEG_TAG_BYTES), byRelay ? BY_RELAY : BY_END)
}

/** Writes the tag into the last 16 bytes and returns the datagram. */
export function signLeg(suite: CryptoSuite, key: Uint8Array, datagram: Uint8Array, byRelay: boolean): Uint8Array {
  datagram.set(legTag(suite, key, datagram, byRelay), datagram.length - LEG_TAG_BYTES)
  return datagram
}

/** Whether the holder of the leg's key made it: the end, or with `byRelay` the relay. */
export const checkLeg = (suite: CryptoSuite, key: Uint8Array, datagram: Uint8Array, byRelay: boolean): boolean =>
  datagram.length >= HEADER_BYTES + LEG_TAG_BYTES &&
  suite.equal(legTag(suite, key, datagram, byRelay), datagram.subarray(-LEG_TAG_BYTES))

/** Writes tag 1 of a Knock, whose only tag it is, and returns it. `tagKey` is `tunnelTagKey` of its sender. */
export const signKnock = (suite: CryptoSuite, tagKey: Uint8Array, knock: Uint8Array): Uint8Array =>
  signLeg(suite, tagKey, knock, false)

/** Whether the sender of a Knock knew the path secret. */
export const checkKnock = (suite: CryptoSuite, tagKey: Uint8Array, knock: Uint8Array): boolean =>
  checkLeg(suite, tagKey, knock, false)

/** What a Challenge says and a Confirm repeats; 16 bytes. Only who receives at `from` learns it. */
export const relayCookie = (
  suite: CryptoSuite,
  secret: Uint8Array,
  path: PathId,
  direction: Direction,
  from: Endpoint,
  seq: number,
): Uint8Array =>
  mac16(suite, secret, be48(path), Uint8Array.of(direction), ipBytes(from.ip), be16(from.port), be48(seq))

/** Makes and checks a relay's cookies, `relayCookie`. */
export class RelayCookies {
  readonly #suite: CryptoSuite
  readonly #secret: PassingSecret

  constructor(suite: CryptoSuite) {
    this.#suite = suite
    this.#secret = new PassingSecret(suite)
  }

  cookieFor(path: PathId, direction: Direction, from: Endpoint, seq: number, now: Instant): Uint8Array {
    return relayCookie(this.#suite, this.#secret.current(now), path, direction, from, seq)
  }

  proves(cookie: Uint8Array, path: PathId, direction: Direction, from: Endpoint, seq: number, now: Instant): boolean {
    return this.#secret.some(
      (secret) => this.#suite.equal(cookie, relayCookie(this.#suite, secret, path, direction, from, seq)),
      now,
    )
  }
}

function be48(v: number): Uint8Array {
  const bytes = new Uint8Array(6)
  setU48(new DataView(bytes.buffer), 0, v)
  return bytes
}

const BY_RELAY = ascii('relay')
const BY_END = new Uint8Array(0)
