import { createHmac } from 'node:crypto'
import { expect, test } from 'vitest'
import { nodeCrypto } from '#io/crypto-node.ts'
import { type Endpoint, parseEndpoint } from '../addr/endpoint.ts'
import { pathId } from '../addr/ids.ts'
import { unhex } from '../base/hex.ts'
import { instant } from '../base/time.ts'
import { joinKnock } from '../wire/handshake.ts'
import { encodeRelayLeg } from '../wire/relay-leg.ts'
import { checkKnock, checkLeg, legTag, RelayCookies, relayCookie, signKnock, signLeg } from './relay-leg.ts'

const key = new Uint8Array(32).fill(7)
const path = pathId(0x010203040506)
const bind = (): Uint8Array =>
  encodeRelayLeg({
    kind: 'bind',
    path,
    direction: 1,
    seq: 9,
    nonce: new Uint8Array(8).fill(3),
    tag: new Uint8Array(16),
  })
const hmac = (k: Uint8Array, ...parts: Uint8Array[]): Uint8Array => {
  const h = createHmac('blake2s256', k)
  for (const p of parts) h.update(p)
  return new Uint8Array(h.digest().subarray(0, 16))
}

test('the tag is HMAC-BLAKE2s over all before it, and the relay says so behind it', () => {
  const before = bind().subarray(0, 48)
  expect(legTag(nodeCrypto, key, bind(), false)).toEqual(hmac(key, before))
  expect(legTag(nodeCrypto, key, bind(), true)).toEqual(hmac(key, before, new TextEncoder().encode('relay')))
})

test('what is signed is believed of its sender alone, and not after any byte changed', () => {
  for (const byRelay of [false, true]) {
    const signed = signLeg(nodeCrypto, key, bind(), byRelay)
    expect(checkLeg(nodeCrypto, key, signed, byRelay)).toBe(true)
    expect(checkLeg(nodeCrypto, key, signed, !byRelay)).toBe(false)
    expect(checkLeg(nodeCrypto, new Uint8Array(32), signed, byRelay)).toBe(false)
    for (let i = 0; i < signed.length; i++) {
      const bent = signed.slice()
      bent[i] = (bent[i] ?? 0) ^ 1
      expect(checkLeg(nodeCrypto, key, bent, byRelay), `byte ${i}`).toBe(false)
    }
  }
  expect(checkLeg(nodeCrypto, key, new Uint8Array(31), false)).toBe(false)
})

test('a Knock carries tag 1 over its header', () => {
  const header = { cls: 3, flags: 0x84, word: 0, id: path, counter: 1 } as const
  const knock = signKnock(nodeCrypto, key, joinKnock({ header, tag1: new Uint8Array(16) }))
  expect(knock.subarray(16)).toEqual(hmac(key, knock.subarray(0, 16)))
  expect(checkKnock(nodeCrypto, key, knock)).toBe(true)
  expect(
    checkKnock(
      nodeCrypto,
      key.map((b) => b ^ 1),
      knock,
    ),
  ).toBe(false)
})

test('a cookie binds path, direction, address, port and seq', () => {
  const from = parseEndpoint('192.0.2.1:4330')!
  const input = unhex('010203040506 01 c0000201 10ea 000000000009')!
  const made = relayCookie(nodeCrypto, key, path, 1, from, 9)
  expect(made).toEqual(hmac(key, input))
  const others: Uint8Array[] = [
    relayCookie(nodeCrypto, key, pathId(1), 1, from, 9),
    relayCookie(nodeCrypto, key, path, 0, from, 9),
    relayCookie(nodeCrypto, key, path, 1, { ...from, port: 1 }, 9),
    relayCookie(nodeCrypto, key, path, 1, parseEndpoint('192.0.2.2:4330')!, 9),
    relayCookie(nodeCrypto, key, path, 1, parseEndpoint('[2001:db8::1]:4330')!, 9),
    relayCookie(nodeCrypto, key, path, 1, from, 10),
  ]
  for (const other of others) expect(other).not.toEqual(made)
})

test('a cookie is honoured in its own two minutes and the next, not longer', () => {
  const from: Endpoint = parseEndpoint('[2001:db8::1]:4330')!
  const cookies = new RelayCookies(nodeCrypto)
  const cookie = cookies.cookieFor(path, 0, from, 4, instant(0))
  const holds = (at: number): boolean => cookies.proves(cookie, path, 0, from, 4, instant(at))
  expect(holds(119_999)).toBe(true)
  expect(cookies.proves(cookie, path, 0, from, 5, instant(119_999))).toBe(false)
  expect(holds(120_000)).toBe(true)
  expect(holds(239_999)).toBe(true)
  expect(holds(240_000)).toBe(false)
})
