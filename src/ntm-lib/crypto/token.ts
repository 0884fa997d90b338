import type { Endpoint } from '../addr/endpoint.ts'
import { concat, same } from '../base/bytes.ts'
import { endpoint } from '../wire/address-field.ts'
import { bytes16, type Fields, fixed, list8, optional, readFields, record, u16, writeFields } from '../wire/field.ts'
import { Reader } from '../wire/reader.ts'
import { Writer } from '../wire/writer.ts'
import type { Signer } from './identity.ts'
import { LABELS } from './schedule.ts'
import type { CryptoSuite } from './suite.ts'

/**
 * What a new box needs to become a member: whom to trust, whom to ask, and a secret that is good once. A secret as a
 * whole: who reads it first is the member.
 */
export type EnrolmentToken = {
  /** Ed25519, 32 bytes: the network the box will believe in from now on. */
  readonly rootPublicKey: Uint8Array
  /** X25519, 32 bytes. */
  readonly coordinatorStatic: Uint8Array
  /** Where to find the coordinator, best first. */
  readonly endpoints: readonly Endpoint[]
  /** 8 bytes, sent in clear. */
  readonly id: Uint8Array
  /** 32 bytes; `enrolPsk` makes the handshake's key of it. */
  readonly seed: Uint8Array
  /** Bits `ROLE_…` the box is meant to have. */
  readonly roles: number
  /** Present when the box signs its own membership (terminators; grant-only networks). */
  readonly grant: Signer | null
}

/** `text` is for the person who pasted it. */
export type TokenVerdict =
  | { readonly ok: true; readonly value: EnrolmentToken }
  | { readonly ok: false; readonly fault: TokenFault; readonly text: string }
export type TokenFault = 'not-a-token' | 'other-version' | 'cut-off' | 'typo' | 'not-understood'

/**
 * `ntm1-` and Crockford's base 32 in lower case: no padding, nothing a double click splits, and I, L, O typed for 1, 1, 0
 * still read right. Version byte, fields, 4 bytes of checksum.
 */
export function formatToken(suite: CryptoSuite, token: EnrolmentToken): string {
  const w = new Writer()
  w.u8(VERSION)
  writeFields(tokenFields, w, token)
  const payload = w.done()
  return PREFIX + base32(concat(payload, check(suite, payload)))
}

/** Total. White space and line breaks inside are ignored: tokens travel through mail. */
export function parseToken(suite: CryptoSuite, text: string): TokenVerdict {
  const packed = text.replaceAll(/\s/g, '').toLowerCase()
  const prefix = /^ntm(\d+)-/.exec(packed)
  if (prefix === null) return no('not-a-token', `an enrolment token starts with "${PREFIX}"`)
  if (prefix[0] !== PREFIX) return no('other-version', `made for version ${prefix[1]} of NTM, this is version 1`)
  const letters = packed.slice(PREFIX.length)
  const bad = [...letters].find((c) => digitOf(c) === null)
  if (bad !== undefined) return no('typo', `"${bad}" does not occur in tokens; copy it again`)
  const { bytes, whole, spare } = unbase32(letters)
  if (!whole || bytes.length < LEAST_BYTES) return no('cut-off', 'the token is not complete; copy all of it')
  const payload = bytes.subarray(0, -CHECK_BYTES)
  if (spare !== 0 || !same(check(suite, payload), bytes.subarray(-CHECK_BYTES))) {
    return no('typo', 'the token has a wrong or missing character; copy it again')
  }
  const value = decode(payload)
  return value === null ? no('not-understood', 'the token was made by a newer version of NTM') : { ok: true, value }
}

function decode(payload: Uint8Array): EnrolmentToken | null {
  const r = new Reader(payload)
  if (r.u8() !== VERSION) return null
  const token = readFields(tokenFields, r) as EnrolmentToken
  r.end()
  return r.fault === null && token.endpoints.length > 0 ? token : null
}

const check = (suite: CryptoSuite, payload: Uint8Array): Uint8Array =>
  suite.hash(LABELS.hash.tokenCheck, payload).slice(0, CHECK_BYTES)

function base32(bytes: Uint8Array): string {
  let [text, held, bits] = ['', 0, 0]
  for (const byte of bytes) {
    held = (held << 8) | byte
    for (bits += 8; bits >= 5; bits -= 5) text += ALPHABET[(held >>> (bits - 5)) & 31]
    held &= 31
  }
  return bits === 0 ? text : text + ALPHABET[(held << (5 - bits)) & 31]
}

/** `whole`: some number of bytes has that many letters. `spare`: the bits behind the last byte, zero as written. */
function unbase32(letters: string): { readonly bytes: Uint8Array; readonly whole: boolean; readonly spare: number } {
  const bytes = new Uint8Array(Math.floor((letters.length * 5) / 8))
  let [held, bits, at] = [0, 0, 0]
  for (const letter of letters) {
    held = (held << 5) | (digitOf(letter) ?? 0)
    bits += 5
    if (bits >= 8) {
      bits -= 8
      bytes[at++] = held >>> bits
      held &= (1 << bits) - 1
    }
  }
  return { bytes, whole: bits < 5, spare: held }
}

function digitOf(letter: string): number | null {
  const value = ALPHABET.indexOf(LOOKALIKES[letter] ?? letter)
  return value < 0 ? null : value
}

const signer = record<Signer>('grant', { seed: fixed(32), certificate: bytes16 })
const tokenFields = {
  rootPublicKey: fixed(32),
  coordinatorStatic: fixed(32),
  endpoints: list8(endpoint),
  id: fixed(8),
  seed: fixed(32),
  roles: u16,
  grant: optional(signer),
} satisfies Fields<EnrolmentToken>

const no = (fault: TokenFault, text: string): TokenVerdict => ({ ok: false, fault, text })

const PREFIX = 'ntm1-'
const VERSION = 1
const CHECK_BYTES = 4
/** Version, two keys, one IPv4 endpoint, id, seed, roles, no grant, checksum. */
const LEAST_BYTES = 1 + 64 + 8 + 8 + 32 + 2 + 1 + CHECK_BYTES
const ALPHABET = '0123456789abcdefghjkmnpqrstvwxyz'
const LOOKALIKES: Readonly<Record<string, string>> = { i: '1', l: '1', o: '0' }
