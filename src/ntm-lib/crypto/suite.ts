/** Tunnel cipher. The byte is the bit number in suite masks and the value in Tunnel Response. */
export const CHACHA20_POLY1305 = 0
export const AES_128_GCM = 1
export const AES_256_GCM = 2
export type SuiteId = typeof CHACHA20_POLY1305 | typeof AES_128_GCM | typeof AES_256_GCM

export type KeyPair = {
  readonly secret: Uint8Array
  readonly public: Uint8Array
}

/** One AEAD key, prepared once. Nonces are 12 bytes; the tag is the last 16 bytes of the sealed text. */
export interface AeadKey {
  /** Ciphertext ‖ tag. The caller owns nonce order: see `crypto/seal.ts`. */
  seal(nonce: Uint8Array, aad: Uint8Array, plain: Uint8Array): Uint8Array
  /** Null when the tag does not fit. */
  open(nonce: Uint8Array, aad: Uint8Array, sealed: Uint8Array): Uint8Array | null
}

/** The primitives the protocol needs; `io/crypto-node.ts` implements it on the platform's own library. */
export interface CryptoSuite {
  /** BLAKE2s-256, 32 bytes. */
  hash(...parts: readonly Uint8Array[]): Uint8Array
  /** HMAC-BLAKE2s-256, 32 bytes. */
  hmac(key: Uint8Array, ...parts: readonly Uint8Array[]): Uint8Array
  /** HKDF with BLAKE2s-256 and an empty salt. */
  hkdf(ikm: Uint8Array, info: Uint8Array, length: number): Uint8Array
  x25519Pair(): KeyPair
  x25519Public(secret: Uint8Array): Uint8Array
  /** Null for a low-order point: the peer's fault, not ours. */
  x25519(secret: Uint8Array, theirs: Uint8Array): Uint8Array | null
  /** From a 32-byte seed. */
  ed25519Public(seed: Uint8Array): Uint8Array
  ed25519Sign(seed: Uint8Array, message: Uint8Array): Uint8Array
  ed25519Verify(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean
  aead(suite: SuiteId, key: Uint8Array): AeadKey
  /** Constant time; false when the lengths differ. */
  equal(a: Uint8Array, b: Uint8Array): boolean
  random(count: number): Uint8Array
}
