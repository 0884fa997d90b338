import { beforeEach, describe, expect, test } from 'vitest'
import { nodeCrypto } from '#io/crypto-node.ts'
import { unhex } from '#ntm-lib/base/hex.ts'
import { invariant } from '#ntm-lib/base/invariant.ts'
import { dataKey } from '#ntm-lib/crypto/schedule.ts'
import { OpenKey, SealKey } from '#ntm-lib/crypto/seal.ts'
import { AES_128_GCM, AES_256_GCM, CHACHA20_POLY1305, type SuiteId } from '#ntm-lib/crypto/suite.ts'
import { CLASS_CAPSULATED, encodeHeader, type Header } from '#ntm-lib/wire/header.ts'
import primitives from '#test/vectors/crypto/primitives.json' with { type: 'json' }
import vectors from '#test/vectors/crypto/seal.json' with { type: 'json' }
import { TestEngine } from './engine.ts'
import { pattern } from './packets.ts'

const K = Uint8Array.from({ length: 32 }, (_, i) => i)
const SUITES: readonly SuiteId[] = [CHACHA20_POLY1305, AES_128_GCM, AES_256_GCM]
const EPOCH = 0x8123
/** What the addon is given for an epoch: the nonce base with the epoch in bytes 4 and 5. */
const nonceOf = (iv: Uint8Array, epoch: number): Uint8Array =>
  iv.map((b, i) => (i === 4 ? b ^ (epoch >> 8) : i === 5 ? b ^ (epoch & 0xff) : b))

let engine: TestEngine
beforeEach(() => {
  engine = new TestEngine()
})

describe.each(SUITES)('suite %i', (suiteId) => {
  const secret = dataKey(nodeCrypto, K, suiteId, 0, EPOCH)
  const nonce = nonceOf(secret.iv, EPOCH)

  test.each([0, 1, 2, 3])('lane %i: what the script seals, the addon opens, and the reverse', (lane) => {
    const [sealing, opening] = [new SealKey(nodeCrypto, secret, EPOCH), new OpenKey(nodeCrypto, secret, EPOCH)]
    engine.io.setSeal(engine.keys, 0, suiteId, secret.key, nonce, 2 ** 28, 2 ** 39)
    engine.io.setOpen(engine.keys, 0, suiteId, secret.key, nonce, 8192)
    sealing.skipTo(lane, 300)
    for (const length of [0, 1, 15, 16, 17, 64, 1280, 1452, 9000, 65_535]) {
      const inner = pattern(length, length)
      const head: Header = { cls: CLASS_CAPSULATED, flags: lane << 4, word: EPOCH, id: 0xc0c0c0c0c0c0, counter: 0 }
      const datagram = sealing.seal(encodeHeader(head), inner) ?? new Uint8Array(0)
      const { slots, status } = engine.open([{ datagram, lane }])
      expect(status).toEqual([0])
      expect(slots.map((s) => [s.bytes, s.gso])).toEqual([[inner, 0]])
      expect(engine.open([{ datagram, lane }]).status).toEqual([-6])

      const header = encodeHeader(head)
      const back = sealWith(engine, header, inner, lane)
      expect(back.subarray(0, 10)).toEqual(header.subarray(0, 10))
      expect(opening.open(back)).toEqual(inner)
    }
    expect(engine.io.newestCounter(engine.keys, 0, lane)).toBe(309)
    expect(engine.io.nextCounter(engine.keys, 0, lane)).toBe(10)
  })
})

describe('vectors', () => {
  test.each(vectors.capsulated)('$suite, lane $lane: opens what others computed', (v) => {
    const secret = dataKey(nodeCrypto, K, v.suiteId as SuiteId, v.direction as 0 | 1, v.epoch)
    engine.io.setOpen(engine.keys, 3, v.suiteId, secret.key, nonceOf(secret.iv, v.epoch), 64)
    const { slots, status } = engine.open([{ datagram: bytes(v.datagram), key: 3, lane: v.lane }])
    expect(status).toEqual([0])
    expect(slots[0]?.bytes).toEqual(Uint8Array.from({ length: 40 }, (_, i) => i))
    expect(engine.io.newestCounter(engine.keys, 3, v.lane)).toBe(v.counter)
  })

  // The additional data of published vectors is no header of ours, so it is their key, nonce and text that are used: sealing by
  // the addon must agree with the library on them. The library itself is held against the vectors beside `crypto-node.ts`.
  test.each(primitives.aead)('$suite: $source', (v) => {
    const suiteId = ['chacha20-poly1305', 'aes-128-gcm', 'aes-256-gcm'].indexOf(v.suite) as SuiteId
    const [key, plain] = [bytes(v.key), bytes(v.plain)]
    engine.io.setSeal(engine.keys, 0, suiteId, key, bytes(v.nonce), 10, 2 ** 20)
    const datagram = sealWith(engine, new Uint8Array(16).fill(4), plain, 0)
    const header = datagram.subarray(0, 16)
    const expected = nodeCrypto.aead(suiteId, key).seal(bytes(v.nonce), header, plain)
    expect(datagram.subarray(16)).toEqual(expected)
    // The text itself does not depend on the additional data.
    expect(datagram.subarray(16, -16)).toEqual(bytes(v.sealed).subarray(0, -16))
  })
})

/** One packet under a header of its own. */
function sealWith(engine: TestEngine, header: Uint8Array, inner: Uint8Array, lane: number): Uint8Array {
  const out = new Uint8Array(inner.length + 32)
  const [status, done] = [new Int8Array(1), new Int32Array(4)]
  const jobs = Int32Array.of(0, 0, 0, inner.length, 0, lane << 4, 65_535, 0)
  const runs = new Int32Array(4)
  engine.io.seal(engine.keys, jobs, 0, 1, header, inner.slice(), out, runs, status, done)
  expect(status[0]).toBe(0)
  expect([...runs]).toEqual([0, 0, out.length, out.length])
  return out
}

function bytes(text: string): Uint8Array {
  const b = unhex(text)
  invariant(b !== null, 'vectors are in hex')
  return b
}
