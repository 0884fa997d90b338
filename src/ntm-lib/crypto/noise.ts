import { ascii, concat } from '../base/bytes.ts'
import { invariant } from '../base/invariant.ts'
import { CHACHA20_POLY1305, type CryptoSuite, type KeyPair } from './suite.ts'

/** The two patterns we speak: control sessions are IK; enrolment and tunnels IKpsk2. Noise revision 34, §7.5 and §9. */
export type NoisePattern = 'IK' | 'IKpsk2'

/** → e, es, s, ss. 32, 48 and payload + 16 bytes. */
export type NoiseMessage1 = {
  readonly e: Uint8Array
  readonly encStatic: Uint8Array
  readonly encPayload: Uint8Array
}

/** ← e, ee, se (, psk). 32 and payload + 16 bytes. */
export type NoiseMessage2 = { readonly e: Uint8Array; readonly encPayload: Uint8Array }

/** What a finished handshake leaves: a 32-byte key per direction and the transcript's hash (channel binding, §11.2). */
export type NoiseKeys = {
  /** Initiator → responder. */
  readonly k1: Uint8Array
  /** Responder → initiator. */
  readonly k2: Uint8Array
  readonly hash: Uint8Array
}

export type InitiatorStart = {
  readonly suite: CryptoSuite
  readonly pattern: NoisePattern
  readonly prologue: Uint8Array
  readonly s: KeyPair
  /** The responder's static public key. */
  readonly rs: Uint8Array
  /** 32 bytes; exactly with IKpsk2. */
  readonly psk?: Uint8Array
  /** A fixed ephemeral pair, for test vectors only. */
  readonly e?: KeyPair
}

export type ResponderStart = {
  readonly suite: CryptoSuite
  readonly pattern: NoisePattern
  readonly prologue: Uint8Array
  readonly s: KeyPair
  readonly e?: KeyPair
}

/**
 * The side that knows the other's static key. The peer's faults give null and leave the state as it was, so a forged
 * message 2 does not spoil the wait for the true one; calls out of order are ours and throw.
 */
export class HandshakeInitiator {
  readonly #suite: CryptoSuite
  readonly #s: KeyPair
  readonly #rs: Uint8Array
  readonly #e: KeyPair
  readonly #psk: Uint8Array | null
  #state: Symmetric
  #at: 'message-1' | 'message-2' | 'done' = 'message-1'

  constructor({ suite, pattern, prologue, s, rs, psk, e }: InitiatorStart) {
    this.#suite = suite
    this.#s = s
    this.#rs = rs
    this.#e = e ?? suite.x25519Pair()
    this.#psk = pskFor(pattern, psk ?? null)
    this.#state = opening(suite, pattern, prologue, rs)
  }

  /** Null when the responder's static key is a low-order point. */
  writeMessage1(payload: Uint8Array): NoiseMessage1 | null {
    invariant(this.#at === 'message-1', 'message 1 is written once; retransmit the same bytes')
    const [suite, state, e] = [this.#suite, { ...this.#state }, this.#e.public]
    mixEphemeral(suite, state, e)
    if (!mixDh(suite, state, this.#e.secret, this.#rs)) return null
    const encStatic = encrypt(suite, state, this.#s.public)
    if (!mixDh(suite, state, this.#s.secret, this.#rs)) return null
    const encPayload = encrypt(suite, state, payload)
    this.#state = state
    this.#at = 'message-2'
    return { e, encStatic, encPayload }
  }

  /** The responder's payload, or null. */
  readMessage2(message: NoiseMessage2): Uint8Array | null {
    invariant(this.#at === 'message-2', 'message 2 is read once, after message 1 was written')
    const [suite, state] = [this.#suite, { ...this.#state }]
    mixEphemeral(suite, state, message.e)
    if (!mixDh(suite, state, this.#e.secret, message.e)) return null
    if (!mixDh(suite, state, this.#s.secret, message.e)) return null
    if (this.#psk !== null) mixPsk(suite, state, this.#psk)
    const payload = decrypt(suite, state, message.encPayload)
    if (payload === null) return null
    this.#state = state
    this.#at = 'done'
    return payload
  }

  split(): NoiseKeys {
    invariant(this.#at === 'done', 'split comes after message 2')
    return split(this.#suite, this.#state)
  }
}

/**
 * The side that learns who is calling. With IKpsk2 the psk goes in at message 2, so it can be chosen after message 1
 * has shown the caller's static key; nothing is proven about the caller's psk until its first transport packet opens.
 */
export class HandshakeResponder {
  readonly #suite: CryptoSuite
  readonly #pattern: NoisePattern
  readonly #s: KeyPair
  readonly #e: KeyPair | null
  #state: Symmetric
  #theirs: { readonly e: Uint8Array; readonly s: Uint8Array } | null = null
  #at: 'message-1' | 'message-2' | 'done' = 'message-1'

  constructor({ suite, pattern, prologue, s, e }: ResponderStart) {
    this.#suite = suite
    this.#pattern = pattern
    this.#s = s
    this.#e = e ?? null
    this.#state = opening(suite, pattern, prologue, s.public)
  }

  /** The initiator's payload and static public key, or null. Message 1 is replayable: act on neither before transport. */
  readMessage1(message: NoiseMessage1): { readonly payload: Uint8Array; readonly rs: Uint8Array } | null {
    invariant(this.#at === 'message-1', 'message 1 is read once')
    const [suite, state] = [this.#suite, { ...this.#state }]
    mixEphemeral(suite, state, message.e)
    if (!mixDh(suite, state, this.#s.secret, message.e)) return null
    const rs = decrypt(suite, state, message.encStatic)
    if (rs === null || !mixDh(suite, state, this.#s.secret, rs)) return null
    const payload = decrypt(suite, state, message.encPayload)
    if (payload === null) return null
    this.#state = state
    this.#theirs = { e: message.e.slice(), s: rs }
    this.#at = 'message-2'
    return { payload, rs }
  }

  /** Null when the initiator's keys are low-order points. `psk` exactly with IKpsk2. */
  writeMessage2(payload: Uint8Array, psk: Uint8Array | null = null): NoiseMessage2 | null {
    invariant(this.#at === 'message-2' && this.#theirs !== null, 'message 2 is written once, after message 1 was read')
    const secret = pskFor(this.#pattern, psk)
    const [suite, state, own] = [this.#suite, { ...this.#state }, this.#e ?? this.#suite.x25519Pair()]
    mixEphemeral(suite, state, own.public)
    if (!mixDh(suite, state, own.secret, this.#theirs.e)) return null
    if (!mixDh(suite, state, own.secret, this.#theirs.s)) return null
    if (secret !== null) mixPsk(suite, state, secret)
    const encPayload = encrypt(suite, state, payload)
    this.#state = state
    this.#at = 'done'
    return { e: own.public, encPayload }
  }

  split(): NoiseKeys {
    invariant(this.#at === 'done', 'split comes after message 2')
    return split(this.#suite, this.#state)
  }
}

/** SymmetricState with its CipherState (§5.1, §5.2). Fields are replaced, never written through: a spread is a copy. */
type Symmetric = {
  /** Whether the pattern has a psk: then ephemeral keys are mixed into the key as well (§9.2). */
  readonly psk: boolean
  chain: Uint8Array
  hash: Uint8Array
  key: Uint8Array | null
  count: number
}

function opening(suite: CryptoSuite, pattern: NoisePattern, prologue: Uint8Array, responder: Uint8Array): Symmetric {
  const name = ascii(`Noise_${pattern}_25519_ChaChaPoly_BLAKE2s`)
  // §5.2 InitializeSymmetric: a name longer than the hash is hashed, a shorter one is padded with zeros.
  const hash = name.length <= 32 ? concat(name, new Uint8Array(32 - name.length)) : suite.hash(name)
  const state: Symmetric = { psk: pattern === 'IKpsk2', chain: hash, hash, key: null, count: 0 }
  mixHash(suite, state, prologue)
  mixHash(suite, state, responder)
  return state
}

function pskFor(pattern: NoisePattern, psk: Uint8Array | null): Uint8Array | null {
  invariant((pattern === 'IKpsk2') === (psk !== null), `${pattern}: a psk goes with IKpsk2 and only with it`)
  invariant(psk === null || psk.length === 32, 'a psk is 32 bytes')
  return psk
}

function mixHash(suite: CryptoSuite, state: Symmetric, bytes: Uint8Array): void {
  state.hash = suite.hash(state.hash, bytes)
}

function mixKey(suite: CryptoSuite, state: Symmetric, input: Uint8Array): void {
  const [chain, key] = expand2(suite, state.chain, input)
  state.chain = chain
  state.key = key
  state.count = 0
}

function mixEphemeral(suite: CryptoSuite, state: Symmetric, e: Uint8Array): void {
  mixHash(suite, state, e)
  if (state.psk) mixKey(suite, state, e)
}

function mixDh(suite: CryptoSuite, state: Symmetric, secret: Uint8Array, theirs: Uint8Array): boolean {
  const shared = suite.x25519(secret, theirs)
  if (shared === null) return false
  mixKey(suite, state, shared)
  return true
}

/** MixKeyAndHash, §5.2: three outputs. */
function mixPsk(suite: CryptoSuite, state: Symmetric, psk: Uint8Array): void {
  const temp = suite.hmac(state.chain, psk)
  const chain = suite.hmac(temp, Uint8Array.of(1))
  const forHash = suite.hmac(temp, chain, Uint8Array.of(2))
  state.chain = chain
  mixHash(suite, state, forHash)
  state.key = suite.hmac(temp, forHash, Uint8Array.of(3))
  state.count = 0
}

function encrypt(suite: CryptoSuite, state: Symmetric, plain: Uint8Array): Uint8Array {
  invariant(state.key !== null, 'IK encrypts nothing before its first DH')
  const sealed = suite.aead(CHACHA20_POLY1305, state.key).seal(nonce(state.count++), state.hash, plain)
  mixHash(suite, state, sealed)
  return sealed
}

function decrypt(suite: CryptoSuite, state: Symmetric, sealed: Uint8Array): Uint8Array | null {
  invariant(state.key !== null, 'IK encrypts nothing before its first DH')
  const plain = suite.aead(CHACHA20_POLY1305, state.key).open(nonce(state.count++), state.hash, sealed)
  mixHash(suite, state, sealed)
  return plain
}

function split(suite: CryptoSuite, state: Symmetric): NoiseKeys {
  const [k1, k2] = expand2(suite, state.chain, new Uint8Array(0))
  return { k1, k2, hash: state.hash }
}

/** HKDF of §4.3 with two outputs: HMAC as in RFC 2104 over BLAKE2s, not BLAKE2s's own keyed mode. */
function expand2(suite: CryptoSuite, salt: Uint8Array, input: Uint8Array): [Uint8Array, Uint8Array] {
  const temp = suite.hmac(salt, input)
  const first = suite.hmac(temp, Uint8Array.of(1))
  return [first, suite.hmac(temp, first, Uint8Array.of(2))]
}

/** §12.1: 32 zero bits, then the counter little-endian. A handshake never counts past 1. */
function nonce(count: number): Uint8Array {
  const n = new Uint8Array(12)
  n[4] = count
  return n
}
