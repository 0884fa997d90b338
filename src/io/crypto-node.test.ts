import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { ascii, concat } from '#ntm-lib/base/bytes.ts'
import { hex, unhex } from '#ntm-lib/base/hex.ts'
import { BugError } from '#ntm-lib/base/invariant.ts'
import { AES_128_GCM, AES_256_GCM, CHACHA20_POLY1305, type SuiteId } from '#ntm-lib/crypto/suite.ts'
import vectors from '#test/vectors/crypto/primitives.json' with { type: 'json' }
import { nodeCrypto } from './crypto-node.ts'

const b = (text: string): Uint8Array => unhex(text)!

test.each(vectors.blake2s)('BLAKE2s-256: $source', ({ input, digest }) => {
  expect(hex(nodeCrypto.hash(b(input)))).toBe(digest)
})

test.each(vectors.x25519)('X25519: $source', ({ secret, point, shared }) => {
  expect(hex(nodeCrypto.x25519(b(secret), b(point))!)).toBe(shared)
})

test.each(vectors.x25519Pairs)('X25519 public keys: $source', ({ secret, public: expected }) => {
  expect(hex(nodeCrypto.x25519Public(b(secret)))).toBe(expected)
})

test.each(vectors.x25519LowOrder)('X25519 refuses the low-order point %s', (point) => {
  expect(nodeCrypto.x25519(nodeCrypto.random(32), b(point))).toBeNull()
})

test.each(vectors.ed25519)('Ed25519: $source', ({ seed, public: key, message, signature }) => {
  expect(hex(nodeCrypto.ed25519Public(b(seed)))).toBe(key)
  expect(hex(nodeCrypto.ed25519Sign(b(seed), b(message)))).toBe(signature)
  expect(nodeCrypto.ed25519Verify(b(key), b(message), b(signature))).toBe(true)
})

test.each(vectors.aead)('$suite: $source', ({ suite, key, nonce, aad, plain, sealed }) => {
  const aead = nodeCrypto.aead(SUITES[suite]!, b(key))
  expect(hex(aead.seal(b(nonce), b(aad), b(plain)))).toBe(sealed)
  expect(hex(aead.open(b(nonce), b(aad), b(sealed))!)).toBe(plain)
})

describe('HMAC and HKDF are the standard constructions over BLAKE2s', () => {
  // No standard publishes vectors for this pair; RFC 2104 and RFC 5869 are short enough to be written out beside.
  const hmac = (key: Uint8Array, message: Uint8Array): Uint8Array => {
    const block = concat(key.length > 64 ? nodeCrypto.hash(key) : key, new Uint8Array(64)).slice(0, 64)
    const inner = nodeCrypto.hash(
      block.map((x) => x ^ 0x36),
      message,
    )
    return nodeCrypto.hash(
      block.map((x) => x ^ 0x5c),
      inner,
    )
  }
  const hkdf = (ikm: Uint8Array, info: Uint8Array, length: number): Uint8Array => {
    const prk = hmac(new Uint8Array(32), ikm)
    let [out, last]: Uint8Array[] = [new Uint8Array(0), new Uint8Array(0)]
    for (let i = 1; out!.length < length; i++) {
      last = hmac(prk, concat(last!, info, Uint8Array.of(i)))
      out = concat(out!, last)
    }
    return out!.slice(0, length)
  }
  const bytes = fc.uint8Array({ maxLength: 150 })

  test('HMAC, RFC 2104', () => {
    fc.assert(
      fc.property(bytes, bytes, bytes, (key, one, two) => {
        expect(nodeCrypto.hmac(key, one, two)).toEqual(hmac(key, concat(one, two)))
      }),
    )
  })

  test('HKDF, RFC 5869', () => {
    fc.assert(
      fc.property(bytes, bytes, fc.integer({ min: 1, max: 200 }), (ikm, info, length) => {
        expect(nodeCrypto.hkdf(ikm, info, length)).toEqual(hkdf(ikm, info, length))
      }),
    )
  })
})

test('a changed bit in nonce, associated bytes or sealed text is refused', () => {
  const suites = Object.values(SUITES)
  const key = nodeCrypto.random(32)
  fc.assert(
    fc.property(
      fc.constantFrom(...suites),
      fc.uint8Array({ maxLength: 64 }),
      fc.constantFrom('nonce', 'aad', 'sealed'),
      fc.nat(),
      fc.nat(7),
      (suite, plain, field, at, bit) => {
        const aead = nodeCrypto.aead(suite, suite === AES_128_GCM ? key.subarray(0, 16) : key)
        const [nonce, aad] = [nodeCrypto.random(12), nodeCrypto.random(16)]
        const parts = { nonce, aad, sealed: aead.seal(nonce, aad, plain) }
        expect(aead.open(parts.nonce, parts.aad, parts.sealed)).toEqual(plain)
        parts[field][at % parts[field].length]! ^= 1 << bit
        expect(aead.open(parts.nonce, parts.aad, parts.sealed)).toBeNull()
      },
    ),
  )
})

test('anything shorter than a tag is refused', () => {
  const aead = nodeCrypto.aead(CHACHA20_POLY1305, nodeCrypto.random(32))
  for (const n of [0, 1, 15, 16]) expect(aead.open(new Uint8Array(12), ascii('x'), new Uint8Array(n))).toBeNull()
})

test('what comes from a peer and has the wrong length is refused, not thrown', () => {
  const seed = nodeCrypto.random(32)
  const [key, message] = [nodeCrypto.ed25519Public(seed), ascii('m')]
  const signature = nodeCrypto.ed25519Sign(seed, message)
  expect(nodeCrypto.x25519(seed, new Uint8Array(31))).toBeNull()
  expect(nodeCrypto.ed25519Verify(key.slice(1), message, signature)).toBe(false)
  expect(nodeCrypto.ed25519Verify(key, message, signature.slice(1))).toBe(false)
  expect(nodeCrypto.ed25519Verify(new Uint8Array(32).fill(0xff), message, signature)).toBe(false)
  expect(nodeCrypto.ed25519Verify(key, ascii('n'), signature)).toBe(false)
  expect(nodeCrypto.equal(key, key.slice(1))).toBe(false)
})

test('a secret of the wrong length is our bug', () => {
  expect(() => nodeCrypto.x25519Public(new Uint8Array(31))).toThrow(BugError)
  expect(() => nodeCrypto.aead(AES_128_GCM, new Uint8Array(32))).toThrow(BugError)
})

test('fresh pairs agree and differ', () => {
  const [a, c] = [nodeCrypto.x25519Pair(), nodeCrypto.x25519Pair()]
  expect(nodeCrypto.x25519(a.secret, c.public)).toEqual(nodeCrypto.x25519(c.secret, a.public))
  expect(nodeCrypto.equal(a.secret, c.secret)).toBe(false)
  expect(nodeCrypto.equal(a.public, nodeCrypto.x25519Public(a.secret))).toBe(true)
})

test('results are plain arrays of their own memory, not views of a shared pool', () => {
  const seed = nodeCrypto.random(32)
  const aead = nodeCrypto.aead(AES_256_GCM, seed)
  const sealed = aead.seal(new Uint8Array(12), seed, seed)
  const results = [
    seed,
    sealed,
    aead.open(new Uint8Array(12), seed, sealed)!,
    nodeCrypto.hash(seed),
    nodeCrypto.hmac(seed, seed),
    nodeCrypto.hkdf(seed, seed, 44),
    nodeCrypto.ed25519Public(seed),
    nodeCrypto.ed25519Sign(seed, seed),
    nodeCrypto.x25519(seed, nodeCrypto.x25519Pair().public)!,
  ]
  for (const r of results) {
    expect(r.constructor).toBe(Uint8Array)
    expect(r.buffer.byteLength).toBe(r.length)
  }
})

const SUITES: Readonly<Record<string, SuiteId>> = {
  'chacha20-poly1305': CHACHA20_POLY1305,
  'aes-128-gcm': AES_128_GCM,
  'aes-256-gcm': AES_256_GCM,
}
