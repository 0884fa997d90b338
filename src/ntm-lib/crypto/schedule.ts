import { type Fingerprint, fingerprint, type NodeId, nodeId } from '../addr/ids.ts'
import { ascii, be16, concat } from '../base/bytes.ts'
import { invariant } from '../base/invariant.ts'
import type { Direction } from '../wire/capsulated.ts'
import type { NoiseKeys } from './noise.ts'
import { AES_128_GCM, CHACHA20_POLY1305, type CryptoSuite, type SuiteId } from './suite.ts'

/** 0 = sent by the opener (control: by the Hello sender), 1 = by the other end. */
export type { Direction } from '../wire/capsulated.ts'

/** One AEAD key with its 12-byte nonce base; for one direction and one epoch. */
export type SealSecret = { readonly suiteId: SuiteId; readonly key: Uint8Array; readonly iv: Uint8Array }

/**
 * Every label there is, so that no two derivations can collide unseen. `kdf` labels go through HKDF behind "ntm1 ";
 * `hash` labels stand in front of what is hashed; `prologue` ones open a Noise transcript. `docs/wire.md`.
 */
export const LABELS = {
  kdf: {
    tunnelPsk: ascii('psk'),
    enrolPsk: ascii('enrol'),
    tunnelTag: ascii('mac1'),
    cookie: ascii('cookie'),
    data: ascii('data'),
    control: ascii('control'),
    reset: ascii('reset'),
  },
  hash: {
    controlTag: ascii('ntm1 mac1'),
    controlKeyId: ascii('ntm1 key id'),
    tokenCheck: ascii('ntm1 token'),
    nodeId: ascii('NTM1 node id'),
  },
  prologue: { tunnel: ascii('NTM1 tunnel'), control: ascii('NTM1 control') },
  certificate: ascii('NTM1 cert'),
} as const

/** HMAC-BLAKE2s-256 cut to 16 bytes. */
export const mac16 = (suite: CryptoSuite, key: Uint8Array, ...parts: readonly Uint8Array[]): Uint8Array =>
  suite.hmac(key, ...parts).slice(0, 16)

/** KDF(k, l, n): HKDF-BLAKE2s-256 without salt, info "ntm1 " ‖ label ‖ context. */
export const kdf = (
  suite: CryptoSuite,
  secret: Uint8Array,
  label: Uint8Array,
  context: Uint8Array,
  length: number,
): Uint8Array => suite.hkdf(secret, concat(PREFIX, label, context), length)

/** H(contract), 32 bytes: what both ends put into psk and prologue. */
export const contractHash = (suite: CryptoSuite, contract: Uint8Array): Uint8Array => suite.hash(contract)

/** The tunnel handshake's psk; bound to the contract, so ends that were told different things never meet. */
export const tunnelPsk = (suite: CryptoSuite, pathSecret: Uint8Array, hashOfContract: Uint8Array): Uint8Array =>
  kdf(suite, pathSecret, LABELS.kdf.tunnelPsk, hashOfContract, 32)

/** Key of tag 1 on what `sender` sends in a tunnel handshake: outsiders cannot make it, so they cause no DH. */
export const tunnelTagKey = (suite: CryptoSuite, pathSecret: Uint8Array, sender: Direction): Uint8Array =>
  kdf(suite, pathSecret, LABELS.kdf.tunnelTag, Uint8Array.of(sender), 32)

/** Key of tag 1 on control handshakes to the holder of `receiverStatic`: who knows whom he calls can make it. */
export const controlTagKey = (suite: CryptoSuite, receiverStatic: Uint8Array): Uint8Array =>
  suite.hash(LABELS.hash.controlTag, receiverStatic)

/** Bytes 2–3 of control handshakes: which of the coordinator's static keys the caller means (keys get replaced). */
export function controlKeyId(suite: CryptoSuite, coordinatorStatic: Uint8Array): number {
  const [high = 0, low = 0] = suite.hash(LABELS.hash.controlKeyId, coordinatorStatic)
  return (high << 8) | low
}

/** The enrolment handshake's psk, from the token's 32-byte seed. */
export const enrolPsk = (suite: CryptoSuite, tokenSeed: Uint8Array): Uint8Array =>
  kdf(suite, tokenSeed, LABELS.kdf.enrolPsk, NOTHING, 32)

/** Key that seals one Cookie: its own per nonce, so the AEAD nonce may stay 0. */
export const cookieSealKey = (suite: CryptoSuite, tagKey: Uint8Array, nonce: Uint8Array): Uint8Array =>
  suite.hmac(kdf(suite, tagKey, LABELS.kdf.cookie, NOTHING, 32), nonce)

/** K[0], K[1] by direction: the Split outputs, swapped when the acceptor was the handshake's initiator. */
export const directionKeys = (keys: NoiseKeys, initiatorIsOpener: boolean): readonly [Uint8Array, Uint8Array] =>
  initiatorIsOpener ? [keys.k1, keys.k2] : [keys.k2, keys.k1]

/** Key and nonce base of Capsulated Packets of one direction and epoch. `k` is K[direction]. */
export function dataKey(
  suite: CryptoSuite,
  k: Uint8Array,
  suiteId: SuiteId,
  direction: Direction,
  epoch: number,
): SealSecret {
  const context = concat(Uint8Array.of(suiteId, direction), be16(epoch))
  return cut(suiteId, kdf(suite, k, LABELS.kdf.data, context, keyBytes(suiteId) + 12))
}

/** Key and nonce base of sealed control packets of one direction: ChaCha20-Poly1305, epoch 0. */
export function controlKey(suite: CryptoSuite, k: Uint8Array, direction: Direction): SealSecret {
  const context = Uint8Array.of(CHACHA20_POLY1305, direction, 0, 0)
  return cut(CHACHA20_POLY1305, kdf(suite, k, LABELS.kdf.control, context, 32 + 12))
}

/** What both ends of a tunnel handshake must agree on before the first DH counts. */
export const tunnelPrologue = (p: {
  readonly fingerprint: Fingerprint
  readonly contractHash: Uint8Array
  readonly epoch: number
  readonly initiatorIsOpener: boolean
}): Uint8Array =>
  concat(
    LABELS.prologue.tunnel,
    VERSION_1,
    p.fingerprint,
    p.contractHash,
    be16(p.epoch),
    Uint8Array.of(p.initiatorIsOpener ? 1 : 0),
  )

/** `firstType`: 1 Hello, 4 Enrol Hello. */
export const controlPrologue = (p: {
  readonly fingerprint: Fingerprint
  readonly coordinator: NodeId
  readonly firstType: 1 | 4
}): Uint8Array => concat(LABELS.prologue.control, VERSION_1, p.fingerprint, p.coordinator, Uint8Array.of(p.firstType))

/** Node ID of an X25519 static public key: whoever holds the key, and nobody else, is that node. */
export function nodeIdOf(suite: CryptoSuite, staticKey: Uint8Array): NodeId {
  invariant(staticKey.length === 32, `a static key is 32 bytes, got ${staticKey.length}`)
  return nodeId(suite.hash(LABELS.hash.nodeId, VERSION_1, staticKey).slice(0, 16))
}

/** Names the network: the first 16 bytes of H(root's Ed25519 public key). */
export const fingerprintOf = (suite: CryptoSuite, rootPublicKey: Uint8Array): Fingerprint =>
  fingerprint(suite.hash(rootPublicKey).slice(0, 16))

/** 8 bytes that name an Ed25519 public key in the certificates it signs. A hint: the signature decides. */
export const keyIdOf = (suite: CryptoSuite, ed25519Public: Uint8Array): Uint8Array =>
  suite.hash(ed25519Public).slice(0, 8)

/**
 * The token a box tells its peer inside the handshake and shows in a class 6 datagram after it lost the keys: made of
 * a secret that outlives the process, so it can be made again without any state of the path or session.
 */
export const resetToken = (
  suite: CryptoSuite,
  resetSecret: Uint8Array,
  scope: 'path' | 'session',
  idBytes: Uint8Array,
): Uint8Array => kdf(suite, resetSecret, LABELS.kdf.reset, concat(Uint8Array.of(scope === 'path' ? 1 : 2), idBytes), 16)

/** Key length of a tunnel cipher in bytes. */
export const keyBytes = (suiteId: SuiteId): number => (suiteId === AES_128_GCM ? 16 : 32)

const cut = (suiteId: SuiteId, okm: Uint8Array): SealSecret => ({
  suiteId,
  key: okm.slice(0, keyBytes(suiteId)),
  iv: okm.slice(keyBytes(suiteId)),
})

const PREFIX = ascii('ntm1 ')
const VERSION_1 = Uint8Array.of(1)
const NOTHING = new Uint8Array(0)
