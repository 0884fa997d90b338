import { expect, test } from 'vitest'
import { testNetwork } from '#test/support/network.ts'
import { seededCrypto } from '#test/support/seeded-crypto.ts'
import { instant } from '../base/time.ts'
import { writeTags } from '../crypto/cookie.ts'
import { dataKey } from '../crypto/schedule.ts'
import { SealKey } from '../crypto/seal.ts'
import { AES_128_GCM } from '../crypto/suite.ts'
import { capsulatedFlags, FRAG_WHOLE, writeCapsulated } from '../wire/capsulated.ts'
import { encodeHeader, readHeader } from '../wire/header.ts'
import {
  type Bond,
  makeRequest,
  makeResponse,
  PathSecrets,
  readRequest,
  readResponse,
  slotFrom,
} from './tunnel-handshake.ts'

const suite = seededCrypto('tunnel handshake')
const network = testNetwork(suite)
const [a, b] = [network.member('a.plant.example'), network.member('b.plant.example')]
const contractHash = suite.random(32)
const pathSecret = suite.random(32)
const bond = (direction: 0 | 1, hash = contractHash, secret = pathSecret): Bond => ({
  suite,
  self: direction === 0 ? a.static : b.static,
  peerStatic: direction === 0 ? b.static.public : a.static.public,
  fingerprint: network.root.fingerprint,
  contractHash: hash,
  secrets: new PathSecrets(suite, secret, hash),
  direction,
})
const common = {
  bootId: new Uint8Array(8),
  membershipSerial: 1,
  revocationVersion: 0,
  resetToken: new Uint8Array(16),
  innerMtuBytes: 1280,
  features: 0,
}
const asking = { ...common, suiteMask: 7, versionMin: 1, versionMax: 1 }
const answering = { ...common, suite: AES_128_GCM, verdict: 0, version: 1, retryAfterSeconds: 0 }
const at = { epoch: 7, id: 99, tryNumber: 3 }

/** One whole handshake begun by `initiator`. */
function run(initiator: 0 | 1) {
  const [first, second] = initiator === 0 ? [bond(0), bond(1)] : [bond(1), bond(0)]
  const out = makeRequest(first, at, asking, null, instant(0))
  if (out === null) throw new Error('no request')
  const header = readHeader(out.bytes)
  const read = readRequest(second, out.bytes)
  if (!header.ok || read === null) throw new Error('not read')
  const response = makeResponse(second, header.value, read.noise, answering)
  if (response === null) throw new Error('no response')
  return { first, second, out, response }
}

test('sizes and headers are those of the wire page', () => {
  const { out, response } = run(0)
  expect(out.bytes.length).toBe(256)
  expect(response.bytes.length).toBe(208)
  expect([...out.bytes.subarray(0, 16)]).toEqual([0x13, 1, 0, 7, 0, 0, 0, 0, 0, 99, 0, 0, 0, 0, 0, 3])
  expect([...response.bytes.subarray(0, 16)]).toEqual([0x13, 0x82, 0, 7, 0, 0, 0, 0, 0, 99, 0, 0, 0, 0, 0, 3])
  expect(run(1).out.bytes[1]).toBe(0x81)
})

test('K[0] is the opener’s and K[1] the acceptor’s key, whoever began the handshake', () => {
  const refused = { short: 0, replay: 0, badTag: 0 }
  for (const initiator of [0, 1] as const) {
    const { first, second, out, response } = run(initiator)
    const answer = readResponse(out, response.bytes)
    if (answer === null || answer === 'spent') throw new Error('no answer')
    expect(answer.keys).toEqual(response.keys)
    const slots = [
      slotFrom(first, answer.keys, 7, AES_128_GCM, true, refused, null, instant(0)),
      slotFrom(second, response.keys, 7, AES_128_GCM, false, refused, null, instant(0)),
    ]
    const [opener, acceptor] = initiator === 0 ? slots : slots.toReversed()
    // k1 is the initiator's: the opener's when it began.
    const [k0, k1] = initiator === 0 ? [response.keys.k1, response.keys.k2] : [response.keys.k2, response.keys.k1]
    const sealed = (k: Uint8Array, d: 0 | 1): Uint8Array => {
      const header = new Uint8Array(16)
      writeCapsulated(new DataView(header.buffer), 0, capsulatedFlags(d, false, 0, FRAG_WHOLE), 7, 99, 0)
      return new SealKey(suite, dataKey(suite, k, AES_128_GCM, d, 7), 7).seal(
        header,
        Uint8Array.of(1, 2, 3),
      ) as Uint8Array
    }
    expect(acceptor?.open.open(sealed(k0, 0))).toEqual(Uint8Array.of(1, 2, 3))
    expect(opener?.open.open(sealed(k1, 1))).toEqual(Uint8Array.of(1, 2, 3))
    expect(opener?.open.open(sealed(k0, 1))).toBeNull()
  }
})

test('another contract, another secret, another caller, a changed header: nothing is read', () => {
  const out = makeRequest(bond(0), at, asking, null, instant(0))
  if (out === null) throw new Error('no request')
  expect(readRequest(bond(1), out.bytes)).not.toBeNull()
  expect(readRequest(bond(1, suite.random(32)), out.bytes)).toBeNull()
  const stranger = network.member('c.plant.example')
  expect(readRequest({ ...bond(1), peerStatic: stranger.static.public }, out.bytes)).toBeNull()
  for (const [byte, value] of [
    [3, 8],
    [9, 98],
    [15, 4],
  ] as const) {
    const changed = out.bytes.slice()
    changed[byte] = value
    writeTags(suite, changed, bond(1).secrets.tagKey(0))
    expect(readRequest(bond(1), changed), `byte ${byte}`).toBeNull()
  }
  // The psk comes in with the response: an end with another path secret is found out there.
  const header = readHeader(out.bytes)
  const other = bond(1, contractHash, suite.random(32))
  const read = readRequest(other, out.bytes)
  if (read === null || !header.ok) throw new Error('not read')
  const response = makeResponse(other, header.value, read.noise, answering)
  expect(readResponse(out, response?.bytes ?? new Uint8Array(0))).toBeNull()
})

test('a forged response spoils nothing; a genuine one that says something else is used up', () => {
  const { out, response } = run(0)
  const forged = response.bytes.slice()
  forged[60] = (forged[60] ?? 0) ^ 1
  expect(readResponse(out, forged)).toBeNull()
  const headed = response.bytes.slice()
  headed.set(encodeHeader({ cls: 3, flags: 0x82, word: 7, id: 98, counter: 3 }))
  expect(readResponse(out, headed)).toBe('spent')
})

test('secrets do not print, and are overwritten when the path is gone', () => {
  const { secrets } = bond(0)
  expect(`${secrets} ${JSON.stringify({ secrets })}`).toBe('[key] {"secrets":"[key]"}')
  secrets.forget()
  expect(secrets.psk).toEqual(new Uint8Array(32))
  expect(secrets.tagKey(0)).toEqual(new Uint8Array(32))
})
