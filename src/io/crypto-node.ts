import {
  createCipheriv,
  createDecipheriv,
  createHash,
  createHmac,
  createPrivateKey,
  createPublicKey,
  createSecretKey,
  diffieHellman,
  hkdfSync,
  type KeyObject,
  randomBytes,
  sign,
  timingSafeEqual,
  verify,
} from 'node:crypto'
import { concat } from '#ntm-lib/base/bytes.ts'
import { invariant, unreachable } from '#ntm-lib/base/invariant.ts'
import {
  AES_128_GCM,
  AES_256_GCM,
  type AeadKey,
  CHACHA20_POLY1305,
  type CryptoSuite,
  type KeyPair,
  type SuiteId,
} from '#ntm-lib/crypto/suite.ts'

/**
 * The suite on the platform's own library. Every result is a plain `Uint8Array` of its own memory, never a view of
 * Node's shared pool: secrets do not share a page with what somebody else was handed.
 */
export const nodeCrypto: CryptoSuite = {
  hash: (...parts) => {
    const h = createHash(HASH)
    for (const part of parts) h.update(part)
    return own(h.digest())
  },
  hmac: (key, ...parts) => {
    // A key object first: with raw bytes Node 24 takes three times as long, and tags are what floods are met with.
    const h = createHmac(HASH, createSecretKey(key))
    for (const part of parts) h.update(part)
    return own(h.digest())
  },
  hkdf: (ikm, info, length) => new Uint8Array(hkdfSync(HASH, createSecretKey(ikm), NOTHING, info, length)),
  x25519Pair: () => pairOf(own(randomBytes(32))),
  x25519Public: (secret) => pairOf(secret).public,
  x25519: agree,
  ed25519Public: (seed) => rawPublic(privateKey(ED25519, seed)),
  ed25519Sign: (seed, message) => own(sign(null, message, privateKey(ED25519, seed))),
  ed25519Verify: (publicKey, message, signature) =>
    publicKey.length === 32 &&
    signature.length === 64 &&
    verify(null, message, publicKeyOf(ED25519, publicKey), signature),
  aead,
  equal: (a, b) => a.length === b.length && timingSafeEqual(a, b),
  random: (count) => own(randomBytes(count)),
}

function agree(secret: Uint8Array, theirs: Uint8Array): Uint8Array | null {
  if (theirs.length !== 32) return null
  const [ours, peer] = [privateKey(X25519, secret), publicKeyOf(X25519, theirs)]
  try {
    return own(diffieHellman({ privateKey: ours, publicKey: peer }))
  } catch {
    // The library refuses an all-zero result, which only a low-order point gives (RFC 7748 §6.1). Both keys were
    // taken above, so nothing else can fail here.
    return null
  }
}

function pairOf(secret: Uint8Array): KeyPair {
  return { secret, public: rawPublic(privateKey(X25519, secret)) }
}

/** The two names Node wants are the same cipher for both directions; only the key length tells the AES ones apart. */
function cipherOf(suite: SuiteId): { readonly name: 'chacha20-poly1305'; readonly keyBytes: number } {
  switch (suite) {
    case CHACHA20_POLY1305:
      return { name: 'chacha20-poly1305', keyBytes: 32 }
    // Node types AEAD options per family of names; both families take the same `authTagLength` and `setAAD` calls here.
    case AES_128_GCM:
      return { name: 'aes-128-gcm' as 'chacha20-poly1305', keyBytes: 16 }
    case AES_256_GCM:
      return { name: 'aes-256-gcm' as 'chacha20-poly1305', keyBytes: 32 }
    default:
      return unreachable(suite)
  }
}

function aead(suite: SuiteId, key: Uint8Array): AeadKey {
  const { name, keyBytes } = cipherOf(suite)
  invariant(key.length === keyBytes, `${name} takes a key of ${keyBytes} bytes, got ${key.length}`)
  const prepared = createSecretKey(key)
  return {
    seal(nonce, aad, plain) {
      const cipher = createCipheriv(name, prepared, nonce, TAG)
      cipher.setAAD(aad, { plaintextLength: plain.length })
      const out = new Uint8Array(plain.length + 16)
      out.set(cipher.update(plain))
      cipher.final()
      out.set(cipher.getAuthTag(), plain.length)
      return out
    },
    open(nonce, aad, sealed) {
      const length = sealed.length - 16
      if (length < 0) return null
      const decipher = createDecipheriv(name, prepared, nonce, TAG)
      decipher.setAAD(aad, { plaintextLength: length })
      decipher.setAuthTag(sealed.subarray(length))
      const plain = own(decipher.update(sealed.subarray(0, length)))
      try {
        decipher.final()
      } catch {
        // The one way `final` fails: the tag does not fit.
        plain.fill(0)
        return null
      }
      return plain
    },
  }
}

function privateKey(kind: Kind, secret: Uint8Array): KeyObject {
  invariant(secret.length === 32, `a secret is 32 bytes, got ${secret.length}`)
  return kept(kind.privates, secret, () =>
    createPrivateKey({ key: Buffer.from(concat(kind.pkcs8, secret)), format: 'der', type: 'pkcs8' }),
  )
}

/** RFC 8037 rather than DER: DER goes through the library's decoders, whose first use of each kind takes milliseconds. */
function publicKeyOf(kind: Kind, raw: Uint8Array): KeyObject {
  return kept(kind.publics, raw, () => {
    const x = Buffer.from(raw.buffer, raw.byteOffset, raw.length).toString('base64url')
    return createPublicKey({ key: { kty: 'OKP', crv: kind.curve, x }, format: 'jwk' })
  })
}

/**
 * To take in a key costs more than to use it, and a handshake uses each of its own twice. Kept for as long as the array that it is in, and
 * made anew when that has other bytes by now.
 */
function kept(keys: Kept, bytes: Uint8Array, make: () => KeyObject): KeyObject {
  const known = keys.get(bytes)
  if (known !== undefined && timingSafeEqual(known.bytes, bytes)) return known.key
  const key = make()
  keys.set(bytes, { bytes: bytes.slice(), key })
  return key
}

function rawPublic(key: KeyObject): Uint8Array {
  return own(Buffer.from(createPublicKey(key).export({ format: 'jwk' }).x ?? '', 'base64url'))
}

const own = (b: Buffer): Uint8Array => new Uint8Array(b)

/** The name RFC 8037 gives, and what RFC 8410 puts before the 32 raw bytes: object identifier 1.3.101.110 or 1.3.101.112. */
type Kind = {
  readonly curve: string
  readonly pkcs8: Uint8Array
  readonly privates: Kept
  readonly publics: Kept
}
type Kept = WeakMap<Uint8Array, { readonly bytes: Uint8Array; readonly key: KeyObject }>
const kindOf = (curve: string, oid: number): Kind => ({
  ...{ curve, privates: new WeakMap(), publics: new WeakMap() },
  pkcs8: Uint8Array.of(0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, oid, 4, 0x22, 4, 0x20),
})
const X25519 = kindOf('X25519', 110)
const ED25519 = kindOf('Ed25519', 112)
const HASH = 'blake2s256'
const NOTHING = new Uint8Array(0)
const TAG = { authTagLength: 16 } as const
