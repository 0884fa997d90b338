import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { nodeCrypto } from '#io/crypto-node.ts'
import { seededCrypto } from '#test/support/seeded-crypto.ts'
import vectors from '#test/vectors/crypto/noise.json' with { type: 'json' }
import { ascii, concat } from '../base/bytes.ts'
import { hex, unhex } from '../base/hex.ts'
import { BugError } from '../base/invariant.ts'
import { HandshakeInitiator, HandshakeResponder, type NoiseMessage1, type NoisePattern } from './noise.ts'
import { CHACHA20_POLY1305 } from './suite.ts'

const pair = (secret: string) => ({ secret: unhex(secret)!, public: nodeCrypto.x25519Public(unhex(secret)!) })

test('the vectors are there', () => {
  const names = vectors.vectors.map((v) => v.protocol_name)
  expect(names.filter((n) => n === 'Noise_IK_25519_ChaChaPoly_BLAKE2s')).toHaveLength(2)
  expect(names.filter((n) => n === 'Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s')).toHaveLength(1)
})

describe.each(vectors.vectors.map((v) => [`${v.protocol_name} of ${v.file}`, v] as const))('%s', (_, v) => {
  test('both sides give the published bytes', () => {
    const pattern = v.protocol_name.split('_')[1] as NoisePattern
    const psk = pattern === 'IKpsk2' ? unhex(v.init_psks![0]!)! : null
    const initiator = new HandshakeInitiator({
      suite: nodeCrypto,
      pattern,
      prologue: unhex(v.init_prologue)!,
      s: pair(v.init_static),
      rs: unhex(v.init_remote_static)!,
      e: pair(v.init_ephemeral),
      ...(psk === null ? {} : { psk }),
    })
    const responder = new HandshakeResponder({
      suite: nodeCrypto,
      pattern,
      prologue: unhex(v.resp_prologue)!,
      s: pair(v.resp_static),
      e: pair(v.resp_ephemeral),
    })
    const [first, second, ...transport] = v.messages
    const message1 = initiator.writeMessage1(unhex(first!.payload)!)!
    expect(hex(concat(message1.e, message1.encStatic, message1.encPayload))).toBe(first!.ciphertext)
    const heard = responder.readMessage1(message1)!
    expect(hex(heard.payload)).toBe(first!.payload)
    expect(hex(heard.rs)).toBe(hex(pair(v.init_static).public))
    const message2 = responder.writeMessage2(unhex(second!.payload)!, psk)!
    expect(hex(concat(message2.e, message2.encPayload))).toBe(second!.ciphertext)
    expect(hex(initiator.readMessage2(message2)!)).toBe(second!.payload)

    const keys = initiator.split()
    expect(responder.split()).toEqual(keys)
    if (v.handshake_hash !== undefined) expect(hex(keys.hash)).toBe(v.handshake_hash)
    expect(transport.length).toBeGreaterThan(0)
    // After the two messages the vectors alternate, the initiator first.
    for (const [i, m] of transport.entries()) {
      const key = nodeCrypto.aead(CHACHA20_POLY1305, i % 2 === 0 ? keys.k1 : keys.k2)
      const nonce = new Uint8Array(12)
      nonce[4] = i >> 1
      expect(hex(key.seal(nonce, new Uint8Array(0), unhex(m.payload)!))).toBe(m.ciphertext)
    }
  })
})

const suite = seededCrypto('noise')
const psk = suite.random(32)
const [alice, bob, mallory] = [suite.x25519Pair(), suite.x25519Pair(), suite.x25519Pair()]
const prologue = ascii('a test')
const start = (over: { rs?: Uint8Array; psk?: Uint8Array; prologue?: Uint8Array } = {}) =>
  new HandshakeInitiator({ suite, pattern: 'IKpsk2', prologue, s: alice, rs: bob.public, psk, ...over })
const answerer = () => new HandshakeResponder({ suite, pattern: 'IKpsk2', prologue, s: bob })

test('a changed bit anywhere in message 1 is refused, and the true one still passes', () => {
  const responder = answerer()
  const message = start().writeMessage1(ascii('hello'))!
  fc.assert(
    fc.property(fc.constantFrom('e', 'encStatic', 'encPayload'), fc.nat(), fc.nat(7), (field, at, bit) => {
      const bytes = message[field].slice()
      // X25519 ignores the top bit of a coordinate, but the transcript's hash does not.
      bytes[at % bytes.length]! ^= 1 << bit
      expect(responder.readMessage1({ ...message, [field]: bytes })).toBeNull()
    }),
  )
  expect(responder.readMessage1(message)?.rs).toEqual(alice.public)
})

test('a forged message 2 does not spoil the wait for the true one', () => {
  const [initiator, responder] = [start(), answerer()]
  responder.readMessage1(initiator.writeMessage1(ascii('hello'))!)
  const message = responder.writeMessage2(ascii('welcome'), psk)!
  fc.assert(
    fc.property(fc.constantFrom('e', 'encPayload'), fc.nat(), fc.nat(7), (field, at, bit) => {
      const bytes = message[field].slice()
      bytes[at % bytes.length]! ^= 1 << bit
      expect(initiator.readMessage2({ ...message, [field]: bytes })).toBeNull()
    }),
  )
  expect(initiator.readMessage2(message)).toEqual(ascii('welcome'))
  expect(initiator.split()).toEqual(responder.split())
})

test('any bytes are a value, never an exception', () => {
  const bytes = fc.uint8Array({ maxLength: 80, size: 'max' })
  fc.assert(
    fc.property(bytes, bytes, bytes, (e, encStatic, encPayload) => {
      expect(answerer().readMessage1({ e, encStatic, encPayload })).toBeNull()
    }),
  )
})

test.each([
  ['another responder', { rs: mallory.public }],
  ['another prologue', { prologue: ascii('a rest') }],
])('%s: message 1 is refused', (_, over) => {
  expect(answerer().readMessage1(start(over).writeMessage1(ascii('x'))!)).toBeNull()
})

test('another psk: message 1 passes, message 2 does not', () => {
  const [initiator, responder] = [start({ psk: suite.random(32) }), answerer()]
  expect(responder.readMessage1(initiator.writeMessage1(ascii('x'))!)).not.toBeNull()
  expect(initiator.readMessage2(responder.writeMessage2(ascii('y'), psk)!)).toBeNull()
})

test('low-order keys are refused wherever they come from', () => {
  const low = new Uint8Array(32)
  expect(start({ rs: low }).writeMessage1(ascii('x'))).toBeNull()
  const message = start().writeMessage1(ascii('x'))!
  expect(answerer().readMessage1({ ...message, e: low })).toBeNull()
  const initiator = start()
  initiator.writeMessage1(ascii('x'))
  expect(initiator.readMessage2({ e: low, encPayload: suite.random(20) })).toBeNull()
})

test('message 1 shows nobody outside who calls: the static key is not in the clear', () => {
  const { e, encStatic, encPayload }: NoiseMessage1 = start().writeMessage1(ascii('x'))!
  expect(hex(concat(e, encStatic, encPayload))).not.toContain(hex(alice.public))
})

test('calls out of order are bugs', () => {
  expect(() => start().split()).toThrow(BugError)
  expect(() => start().readMessage2({ e: psk, encPayload: psk })).toThrow(BugError)
  expect(() => answerer().writeMessage2(psk, psk)).toThrow(BugError)
  const initiator = start()
  const responder = answerer()
  responder.readMessage1(initiator.writeMessage1(ascii('x'))!)
  expect(() => initiator.writeMessage1(ascii('x'))).toThrow(BugError)
  expect(() => responder.writeMessage2(ascii('y'))).toThrow(BugError)
  expect(() => new HandshakeInitiator({ suite, pattern: 'IK', prologue, s: alice, rs: bob.public, psk })).toThrow(
    BugError,
  )
})
