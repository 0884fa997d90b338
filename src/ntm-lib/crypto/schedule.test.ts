import { expect, test } from 'vitest'
import { nodeCrypto as suite } from '#io/crypto-node.ts'
import vectors from '#test/vectors/crypto/schedule.json' with { type: 'json' }
import { fingerprint, nodeId } from '../addr/ids.ts'
import { ascii, be16, concat } from '../base/bytes.ts'
import { hex } from '../base/hex.ts'
import {
  contractHash,
  controlKey,
  controlKeyId,
  controlPrologue,
  controlTagKey,
  cookieSealKey,
  dataKey,
  directionKeys,
  enrolPsk,
  fingerprintOf,
  keyIdOf,
  LABELS,
  mac16,
  nodeIdOf,
  resetToken,
  tunnelPrologue,
  tunnelPsk,
  tunnelTagKey,
} from './schedule.ts'
import { AES_128_GCM, AES_256_GCM, CHACHA20_POLY1305 } from './suite.ts'

const k = Uint8Array.from({ length: 32 }, (_, i) => i)
const h = suite.hash(ascii('contract'))
/** KDF as `docs/wire.md` writes it, spelled out a second time. */
const kdf = (label: string, context: readonly number[], length: number): string =>
  hex(suite.hkdf(k, Uint8Array.from([...ascii('ntm1 '), ...ascii(label), ...context]), length))

test('each derivation is the one in wire.md', () => {
  expect(hex(tunnelPsk(suite, k, h))).toBe(kdf('psk', [...h], 32))
  expect(hex(tunnelTagKey(suite, k, 1))).toBe(kdf('mac1', [1], 32))
  expect(hex(enrolPsk(suite, k))).toBe(kdf('enrol', [], 32))
  const nonce = ascii('sixteen bytes ok')
  const forCookies = suite.hkdf(k, ascii('ntm1 cookie'), 32)
  expect(hex(cookieSealKey(suite, k, nonce))).toBe(hex(suite.hmac(forCookies, nonce)))
  for (const [id, length] of [
    [CHACHA20_POLY1305, 32],
    [AES_128_GCM, 16],
    [AES_256_GCM, 32],
  ] as const) {
    const { key, iv, suiteId } = dataKey(suite, k, id, 1, 0x0203)
    expect(hex(concat(key, iv))).toBe(kdf('data', [id, 1, 2, 3], length + 12))
    expect([suiteId, key.length, iv.length]).toEqual([id, length, 12])
  }
  const control = controlKey(suite, k, 1)
  expect(hex(concat(control.key, control.iv))).toBe(kdf('control', [CHACHA20_POLY1305, 1, 0, 0], 44))
  expect(hex(mac16(suite, k, h))).toBe(hex(suite.hmac(k, h)).slice(0, 32))
})

test('K[0] is what the opener sends with, whoever started the handshake', () => {
  const keys = { k1: ascii('initiator'), k2: ascii('responder'), hash: h }
  expect(directionKeys(keys, true)).toEqual([keys.k1, keys.k2])
  expect(directionKeys(keys, false)).toEqual([keys.k2, keys.k1])
})

test('prologues have the layout of wire.md', () => {
  const network = fingerprint(new Uint8Array(16).fill(0xaa))
  const tunnel = tunnelPrologue({ fingerprint: network, contractHash: h, epoch: 0x0102, initiatorIsOpener: true })
  expect(hex(tunnel)).toBe(`${hex(ascii('NTM1 tunnel'))}01${'aa'.repeat(16)}${hex(h)}010201`)
  const coordinator = nodeId(new Uint8Array(16).fill(0xbb))
  expect(hex(controlPrologue({ fingerprint: network, coordinator, firstType: 4 }))).toBe(
    `${hex(ascii('NTM1 control'))}01${'aa'.repeat(16)}${'bb'.repeat(16)}04`,
  )
})

test('names of keys: node, network, signer', () => {
  const id = suite.hash(ascii('NTM1 node id'), Uint8Array.of(1), k)
  expect(hex(nodeIdOf(suite, k))).toBe(hex(id).slice(0, 32))
  expect(hex(fingerprintOf(suite, k))).toBe(hex(suite.hash(k)).slice(0, 32))
  expect(hex(keyIdOf(suite, k))).toBe(hex(suite.hash(k)).slice(0, 16))
})

test('reset tokens differ by scope, id and secret', () => {
  const id = Uint8Array.of(0, 0, 0, 0, 0, 7)
  const tokens = [
    resetToken(suite, k, 'path', id),
    resetToken(suite, k, 'session', id),
    resetToken(suite, k, 'path', Uint8Array.of(0, 0, 0, 0, 0, 8)),
    resetToken(suite, h, 'path', id),
  ].map(hex)
  expect(new Set(tokens).size).toBe(4)
  expect(tokens[0]).toHaveLength(32)
})

test('no label is the beginning of another in its family, so no context can turn one into the other', () => {
  for (const family of [LABELS.kdf, LABELS.hash, LABELS.prologue]) {
    const texts = Object.values(family).map(hex)
    for (const a of texts) for (const b of texts) expect(a !== b && b.startsWith(a)).toBe(false)
  }
})

test('golden values, computed by another program', () => {
  const [secret, pub] = [k, Uint8Array.from({ length: 32 }, (_, i) => 32 + i)]
  const hash = contractHash(suite, ascii('an encoded contract'))
  const [network, coordinator] = [fingerprintOf(suite, pub), nodeIdOf(suite, pub)]
  const id = Uint8Array.of(0, 0, 0, 0, 0, 7)
  const joined = (s: { readonly key: Uint8Array; readonly iv: Uint8Array }): Uint8Array => concat(s.key, s.iv)
  const ours: Record<keyof typeof vectors.values, Uint8Array> = {
    contractHash: hash,
    tunnelPsk: tunnelPsk(suite, secret, hash),
    tunnelTagKey0: tunnelTagKey(suite, secret, 0),
    tunnelTagKey1: tunnelTagKey(suite, secret, 1),
    controlTagKey: controlTagKey(suite, pub),
    controlKeyId: be16(controlKeyId(suite, pub)),
    enrolPsk: enrolPsk(suite, secret),
    cookieSealKey: cookieSealKey(suite, secret, secret.slice(0, 16)),
    dataKeyChaCha: joined(dataKey(suite, secret, CHACHA20_POLY1305, 1, 0x1234)),
    dataKeyAes128: joined(dataKey(suite, secret, AES_128_GCM, 0, 0x1234)),
    dataKeyAes256: joined(dataKey(suite, secret, AES_256_GCM, 1, 0xffff)),
    controlKey0: joined(controlKey(suite, secret, 0)),
    controlKey1: joined(controlKey(suite, secret, 1)),
    nodeId: coordinator,
    fingerprint: network,
    keyId: keyIdOf(suite, pub),
    mac16: mac16(suite, secret, pub),
    resetPath: resetToken(suite, secret, 'path', id),
    resetSession: resetToken(suite, secret, 'session', id),
    tunnelPrologue: tunnelPrologue({
      fingerprint: network,
      contractHash: hash,
      epoch: 0x1234,
      initiatorIsOpener: true,
    }),
    controlPrologue: controlPrologue({ fingerprint: network, coordinator, firstType: 4 }),
  }
  expect(Object.fromEntries(Object.entries(ours).map(([name, bytes]) => [name, hex(bytes)]))).toEqual(vectors.values)
})
