import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { nodeCrypto } from '#io/crypto-node.ts'
import { seededCrypto } from '#test/support/seeded-crypto.ts'
import vectors from '#test/vectors/crypto/seal.json' with { type: 'json' }
import { concat } from '../base/bytes.ts'
import { hex, unhex } from '../base/hex.ts'
import { BugError } from '../base/invariant.ts'
import { CLASS_CAPSULATED, CLASS_CONTROL, encodeHeader, readHeader } from '../wire/header.ts'
import { controlKey, dataKey, type SealSecret } from './schedule.ts'
import { KEY_LIMITS, OpenKey, SEAL_OVERHEAD, SealKey } from './seal.ts'
import { AES_128_GCM, AES_256_GCM, CHACHA20_POLY1305, type CryptoSuite, type SuiteId } from './suite.ts'

const suite = seededCrypto('seal')
const k = suite.random(32)
/** The golden vectors' K. */
const IOTA = Uint8Array.from({ length: 32 }, (_, i) => i)
const EPOCH = 0x1234
const secret = dataKey(suite, k, CHACHA20_POLY1305, 0, EPOCH)
const header = (lane = 0, epoch = EPOCH): Uint8Array =>
  encodeHeader({ cls: CLASS_CAPSULATED, flags: lane << 4, word: epoch, id: 0x010203040506, counter: 0 })
const inner = Uint8Array.from({ length: 40 }, (_, i) => i)
const counterOf = (datagram: Uint8Array): number => {
  const h = readHeader(datagram)
  return h.ok ? h.value.counter : -1
}

/** Notes every nonce a key is used with, and stops the second use. */
function watched(base: CryptoSuite): { readonly suite: CryptoSuite; readonly used: Set<string> } {
  const used = new Set<string>()
  const aead = (id: SuiteId, key: Uint8Array) => {
    const real = base.aead(id, key)
    return {
      ...real,
      seal: (nonce: Uint8Array, aad: Uint8Array, plain: Uint8Array) => {
        const pair = `${hex(key)} ${hex(nonce)}`
        if (used.has(pair)) throw new Error(`nonce used twice: ${pair}`)
        used.add(pair)
        return real.seal(nonce, aad, plain)
      },
    }
  }
  return { suite: { ...base, aead }, used }
}

test.each([
  ['chacha20-poly1305', CHACHA20_POLY1305],
  ['aes-128-gcm', AES_128_GCM],
  ['aes-256-gcm', AES_256_GCM],
] as const)('%s: what is sealed opens, once', (_, id) => {
  const s = dataKey(suite, k, id, 0, EPOCH)
  const [sealing, opening] = [new SealKey(suite, s, EPOCH), new OpenKey(suite, s, EPOCH)]
  const datagram = sealing.seal(header(), inner)!
  expect(datagram).toHaveLength(inner.length + SEAL_OVERHEAD)
  expect(opening.open(datagram)).toEqual(inner)
  expect(opening.open(datagram)).toBeNull()
  expect(opening.refused).toEqual({ short: 0, replay: 1, badTag: 0 })
})

test('the datagram is header, then the AEAD of the inner packet under iv ⊕ (0 ‖ lane ‖ epoch ‖ counter)', () => {
  const sealing = new SealKey(suite, secret, EPOCH)
  sealing.skipTo(2, 0x0000a1b2c3d4e5f6)
  const datagram = sealing.seal(header(2), inner)!
  const head = encodeHeader({ cls: 4, flags: 2 << 4, word: EPOCH, id: 0x010203040506, counter: 0xa1b2c3d4e5f6 })
  const nonce = Uint8Array.of(0, 0, 0, 2, 0x12, 0x34, 0xa1, 0xb2, 0xc3, 0xd4, 0xe5, 0xf6).map(
    (b, i) => b ^ secret.iv[i]!,
  )
  const sealed = nodeCrypto.aead(CHACHA20_POLY1305, secret.key).seal(nonce, head, inner)
  expect(datagram).toEqual(concat(head, sealed))
})

test.each(vectors.capsulated)('golden datagram: $suite, direction $direction, lane $lane, epoch $epoch', (v) => {
  const golden = dataKey(suite, IOTA, v.suiteId as SuiteId, v.direction as 0 | 1, v.epoch)
  const sealing = new SealKey(suite, golden, v.epoch)
  sealing.skipTo(v.lane, v.counter)
  const flags = (v.direction << 7) | (v.lane << 4)
  const head = encodeHeader({ cls: CLASS_CAPSULATED, flags, word: v.epoch, id: v.pathId, counter: 0 })
  expect(hex(sealing.seal(head, inner)!)).toBe(v.datagram)
  expect(new OpenKey(suite, golden, v.epoch).open(unhex(v.datagram)!)).toEqual(inner)
})

test('golden datagram: control', () => {
  expect(new OpenKey(suite, controlKey(suite, IOTA, 1), 0).open(unhex(vectors.control)!)).toEqual(inner)
})

test('sealing in place touches nothing around the datagram', () => {
  const sealing = new SealKey(suite, secret, EPOCH)
  const arena = new Uint8Array(200).fill(0xee)
  arena.set(header(), 48)
  arena.set(inner, 64)
  expect(sealing.sealAt(arena, 48, inner.length)).toBe(72)
  expect(new OpenKey(suite, secret, EPOCH).open(arena.slice(48, 120))).toEqual(inner)
  expect([...arena.slice(0, 48), ...arena.slice(120)].every((b) => b === 0xee)).toBe(true)
})

describe('attack 1: a counter is never used twice', () => {
  test('going back is refused', () => {
    const sealing = new SealKey(suite, secret, EPOCH)
    for (let i = 0; i < 3; i++) sealing.seal(header(), inner)
    expect(() => sealing.skipTo(0, 2)).toThrow(BugError)
    expect(() => sealing.skipTo(0, 2 ** 48)).toThrow(BugError)
    expect(() => sealing.skipTo(4, 0)).toThrow(BugError)
    sealing.skipTo(0, 100)
    expect(counterOf(sealing.seal(header(), inner)!)).toBe(100)
  })

  test('a packet sealed again after a failed send takes a new counter', () => {
    const sealing = new SealKey(suite, secret, EPOCH)
    const arena = concat(header(), inner, new Uint8Array(16))
    const counters = [0, 1, 2].map(() => {
      sealing.sealAt(arena, 0, inner.length)
      return counterOf(arena)
    })
    expect(counters).toEqual([0, 1, 2])
  })

  test('a seal that fails half-way has used its counter up', () => {
    let broken = true
    const failing: CryptoSuite = {
      ...suite,
      aead: (id, key) => {
        const real = suite.aead(id, key)
        return {
          ...real,
          seal: (...args) => {
            const sealed = real.seal(...args)
            if (broken) throw new Error('injected: EIO')
            return sealed
          },
        }
      },
    }
    const sealing = new SealKey(failing, secret, EPOCH)
    expect(() => sealing.seal(header(), inner)).toThrow('EIO')
    broken = false
    expect(counterOf(sealing.seal(header(), inner)!)).toBe(1)
  })

  test('any mix of lanes, epochs, directions and skips never repeats (key, nonce)', () => {
    fc.assert(
      fc.property(
        fc.array(fc.record({ lane: fc.nat(3), key: fc.nat(3), skip: fc.nat(3) }), { maxLength: 60 }),
        (steps) => {
          const seen = watched(suite)
          const make = (d: 0 | 1, epoch: number): SealKey =>
            new SealKey(seen.suite, dataKey(suite, k, CHACHA20_POLY1305, d, epoch), epoch)
          const keys = [make(0, 1), make(1, 1), make(0, 2), make(1, 2)]
          for (const { lane, key, skip } of steps) {
            const sealing = keys[key]!
            sealing.skipTo(lane, sealing.next(lane) + skip)
            sealing.seal(header(lane, sealing.epoch), inner)
          }
          expect(seen.used.size).toBe(steps.length)
        },
      ),
    )
  })
})

test('lanes count apart: the same counter opens once in each', () => {
  const [sealing, opening] = [new SealKey(suite, secret, EPOCH), new OpenKey(suite, secret, EPOCH)]
  const datagrams = [0, 1, 2, 3].map((lane) => sealing.seal(header(lane), inner)!)
  expect(datagrams.map(counterOf)).toEqual([0, 0, 0, 0])
  expect(datagrams.map((d) => opening.open(d) !== null)).toEqual([true, true, true, true])
  expect(datagrams.map((d) => opening.open(d))).toEqual([null, null, null, null])
  expect([0, 1, 2, 3].map((lane) => opening.newest(lane))).toEqual([0, 0, 0, 0])
})

test('a changed bit anywhere is refused, moves no window, and the true packet still opens', () => {
  const sealing = new SealKey(suite, secret, EPOCH)
  const opening = new OpenKey(suite, secret, EPOCH)
  opening.open(sealing.seal(header(), inner)!)
  const datagram = sealing.seal(header(), inner)!
  fc.assert(
    fc.property(fc.nat(datagram.length - 1), fc.nat(7), (at, bit) => {
      const forged = datagram.slice()
      forged[at]! ^= 1 << bit
      expect(opening.open(forged)).toBeNull()
      expect([0, 1, 2, 3].map((lane) => opening.newest(lane))).toEqual([0, -1, -1, -1])
    }),
  )
  expect(opening.open(datagram)).toEqual(inner)
})

test('the other direction, the other epoch and the other suite do not open it', () => {
  const datagram = new SealKey(suite, secret, EPOCH).seal(header(), inner)!
  const wrong: SealSecret[] = [
    dataKey(suite, k, CHACHA20_POLY1305, 1, EPOCH),
    dataKey(suite, k, CHACHA20_POLY1305, 0, EPOCH + 1),
    dataKey(suite, k, AES_256_GCM, 0, EPOCH),
    controlKey(suite, k, 0),
  ]
  for (const s of wrong) expect(new OpenKey(suite, s, EPOCH).open(datagram)).toBeNull()
})

test('control packets: the same engine, lane and epoch 0 whatever their flags say', () => {
  const s = controlKey(suite, k, 1)
  const [sealing, opening] = [new SealKey(suite, s, 0), new OpenKey(suite, s, 0)]
  const head = encodeHeader({ cls: CLASS_CONTROL, flags: 0x80, word: 0, id: 7, counter: 0 })
  expect(opening.open(sealing.seal(head, inner)!)).toEqual(inner)
  expect(sealing.next(0)).toBe(1)
})

test('any bytes are a value, never an exception', () => {
  const opening = new OpenKey(suite, secret, EPOCH)
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 80, size: 'max' }), (bytes) => {
      expect(opening.open(bytes)).toBeNull()
    }),
  )
  const { short, badTag, replay } = opening.refused
  expect([short > 0, badTag > 0, replay]).toEqual([true, true, 0])
})

test('a key that has done all it may refuses by value, and asks for its successor long before', () => {
  const limits = { rekeyPackets: 2, rekeyBytes: 1000, stopPackets: 4, stopBytes: 2000 }
  const packets = new SealKey(suite, secret, EPOCH, limits)
  const wants = [0, 1, 2, 3].map((lane) => {
    expect(packets.seal(header(lane), inner)).not.toBeNull()
    return packets.wantsRekey
  })
  expect(wants).toEqual([false, true, true, true])
  expect(packets.seal(header(), inner)).toBeNull()
  expect(packets.packets).toBe(4)

  const bytes = new SealKey(suite, secret, EPOCH, { ...limits, rekeyPackets: 99, stopPackets: 99 })
  expect(bytes.seal(header(), new Uint8Array(1000))).not.toBeNull()
  expect(bytes.wantsRekey).toBe(true)
  expect(bytes.seal(header(), new Uint8Array(1001))).toBeNull()
  expect(bytes.seal(header(), new Uint8Array(1000))).not.toBeNull()
  expect(bytes.seal(header(), inner)).toBeNull()
  expect(KEY_LIMITS).toEqual({ rekeyPackets: 2 ** 26, rekeyBytes: 2 ** 38, stopPackets: 2 ** 28, stopBytes: 2 ** 39 })
})

test('no room for the tag, or a header of another epoch, is our bug', () => {
  const sealing = new SealKey(suite, secret, EPOCH)
  expect(() => sealing.sealAt(concat(header(), inner), 0, inner.length)).toThrow(BugError)
  expect(() => sealing.seal(header(0, EPOCH + 1), inner)).toThrow(BugError)
  expect(sealing.next(0)).toBe(0)
})
