import fc from 'fast-check'
import { expect, test } from 'vitest'
import { seededCrypto } from '#test/support/seeded-crypto.ts'
import vectors from '#test/vectors/crypto/seal.json' with { type: 'json' }
import { type Endpoint, parseEndpoint } from '../addr/endpoint.ts'
import { ascii, concat } from '../base/bytes.ts'
import { unhex } from '../base/hex.ts'
import { instant } from '../base/time.ts'
import {
  COOKIE_DATAGRAM_BYTES,
  CookieMaker,
  checkTag1,
  checkTag2,
  openCookie,
  sealCookie,
  tag1Of,
  writeTags,
} from './cookie.ts'
import { controlTagKey, mac16, tunnelTagKey } from './schedule.ts'

const suite = seededCrypto('cookie')
const key = suite.random(32)
const cookie = suite.random(16)
const here = parseEndpoint('192.0.2.1:4330')!
const request = (withCookie: Uint8Array | null = null): Uint8Array => {
  const datagram = concat(suite.random(224), new Uint8Array(32))
  writeTags(suite, datagram, key, withCookie)
  return datagram
}

test('tags stand where wire.md puts them', () => {
  const datagram = request(cookie)
  expect(datagram.slice(224, 240)).toEqual(mac16(suite, key, datagram.slice(0, 224)))
  expect(datagram.slice(240)).toEqual(mac16(suite, cookie, datagram.slice(0, 240)))
  expect(tag1Of(datagram)).toEqual(datagram.slice(224, 240))
  expect(request().slice(240)).toEqual(new Uint8Array(16))
})

test('a changed bit before a tag makes it wrong, and so does another key', () => {
  fc.assert(
    fc.property(fc.nat(239), fc.nat(7), (at, bit) => {
      const datagram = request(cookie)
      expect(checkTag1(suite, datagram, key) && checkTag2(suite, datagram, cookie)).toBe(true)
      datagram[at]! ^= 1 << bit
      expect(checkTag1(suite, datagram, key)).toBe(false)
      expect(checkTag2(suite, datagram, cookie)).toBe(false)
    }),
  )
  expect(checkTag1(suite, request(), cookie)).toBe(false)
  expect(checkTag2(suite, request(), cookie)).toBe(false)
  expect(checkTag1(suite, new Uint8Array(47), key)).toBe(false)
})

test('keys of tag 1 differ by direction, by path and by receiver', () => {
  const secret = suite.random(32)
  const keys = [
    tunnelTagKey(suite, secret, 0),
    tunnelTagKey(suite, secret, 1),
    tunnelTagKey(suite, suite.random(32), 0),
    controlTagKey(suite, secret),
  ]
  expect(new Set(keys.map(String)).size).toBe(keys.length)
})

test('a cookie counts for its own address and port only', () => {
  const maker = new CookieMaker(suite)
  const now = instant(0)
  const datagram = request(maker.cookieFor(here, now))
  expect(maker.proves(datagram, here, now)).toBe(true)
  const others = ['192.0.2.1:4331', '192.0.2.2:4330', '[::ffff:192.0.2.1]:4330'].map(
    (t) => parseEndpoint(t) as Endpoint,
  )
  for (const other of others) expect(maker.proves(datagram, other, now)).toBe(false)
  expect(maker.proves(request(), here, now)).toBe(false)
})

test('secrets are renewed every 120 s; the one before is honoured as long again', () => {
  const maker = new CookieMaker(suite)
  const datagram = request(maker.cookieFor(here, instant(1000)))
  const fresh = String(maker.cookieFor(here, instant(120_999)))
  expect(fresh).toBe(String(maker.cookieFor(here, instant(1000))))
  expect(String(maker.cookieFor(here, instant(121_000)))).not.toBe(fresh)
  expect(maker.proves(datagram, here, instant(240_999))).toBe(true)
  expect(maker.proves(datagram, here, instant(241_000))).toBe(false)
})

test('after a long sleep no old cookie is honoured', () => {
  const maker = new CookieMaker(suite)
  const datagram = request(maker.cookieFor(here, instant(0)))
  expect(maker.proves(datagram, here, instant(240_000))).toBe(false)
})

test('a Cookie reaches only the sender of that request, and is smaller than the request', () => {
  const datagram = request()
  const sealed = sealCookie(suite, ascii('0123456789abcdef'), key, tag1Of(datagram), cookie)
  expect(sealed).toHaveLength(COOKIE_DATAGRAM_BYTES)
  expect(sealed.length).toBeLessThan(datagram.length)
  expect(openCookie(suite, sealed, key, tag1Of(datagram))).toEqual(cookie)
  expect(openCookie(suite, sealed, key, tag1Of(request()))).toBeNull()
  expect(openCookie(suite, sealed, suite.random(32), tag1Of(datagram))).toBeNull()
  expect(openCookie(suite, sealed.slice(1), key, tag1Of(datagram))).toBeNull()
  fc.assert(
    fc.property(fc.integer({ min: 16, max: 63 }), fc.nat(7), (at, bit) => {
      const forged = sealed.slice()
      forged[at]! ^= 1 << bit
      expect(openCookie(suite, forged, key, tag1Of(datagram))).toBeNull()
    }),
  )
})

test('golden Cookie', () => {
  const iota = (from: number, to: number) => Uint8Array.from({ length: to - from }, (_, i) => from + i)
  expect(openCookie(suite, unhex(vectors.cookie)!, iota(0, 32), iota(0, 16))).toEqual(iota(100, 116))
})
