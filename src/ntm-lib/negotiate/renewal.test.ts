import { expect, test } from 'vitest'
import { BIRTH, chainOf, testNetwork } from '#test/support/network.ts'
import { seededCrypto } from '#test/support/seeded-crypto.ts'
import { after, instant, seconds, type WallTime, wallTime } from '../base/time.ts'
import { makeMembership } from '../crypto/identity.ts'
import { ROLE_NODE } from '../wire/certificate.ts'
import { Renewal } from './renewal.ts'

const suite = seededCrypto('renewal')
const network = testNetwork(suite)
const key = suite.x25519Pair()
const DAY = 86_400
const chain = (from: number, days: number, name = 'box.plant.example', staticKey = key.public): readonly Uint8Array[] =>
  chainOf(makeMembership(suite, network.issuer, { staticKey, name, roles: ROLE_NODE, issued: BIRTH + from * DAY, expires: BIRTH + (from + days) * DAY })) // biome-ignore format: one wish
const day = (n: number): WallTime => wallTime((BIRTH + n * DAY) * 1000)
const T0 = instant(1000)

test('asked from day 60 of 90 on, once an hour until the answer is there', () => {
  let today: WallTime | null = day(59.99)
  const r = new Renewal({ chain: chain(0, 90), today: () => today })
  expect(r.due(T0)).toBe(false)
  today = day(60)
  expect(r.due(T0)).toBe(true)
  expect(r.due(after(T0, seconds(3599)))).toBe(false)
  expect(r.due(after(T0, seconds(3600)))).toBe(true)
  expect(r.take(chain(60, 90))).toBe(true)
  expect(r.due(after(T0, seconds(9000)))).toBe(false)
  today = day(120)
  expect(r.due(after(T0, seconds(99_000)))).toBe(true)
})

test('without a clock it asks once a day, and the same membership again changes nothing', () => {
  const r = new Renewal({ chain: chain(0, 90), today: () => null })
  expect(r.due(T0)).toBe(true)
  expect(r.take(chain(0, 90))).toBe(false)
  expect(r.due(after(T0, seconds(80_000)))).toBe(false)
  expect(r.due(after(T0, seconds(86_400)))).toBe(true)
})

test('a membership of another name or key, an older one and rubbish are not taken: the box would be mute for ever', () => {
  const r = new Renewal({ chain: chain(0, 90), today: () => day(70) })
  expect(r.take(chain(60, 90, 'other.plant.example'))).toBe(false)
  expect(r.take(chain(60, 90, 'box.plant.example', suite.x25519Pair().public))).toBe(false)
  expect(r.take(chain(0, 60))).toBe(false)
  expect(r.take([])).toBe(false)
  expect(r.take([new Uint8Array(40)])).toBe(false)
  expect(r.take(chain(60, 90))).toBe(true)
})

test('a box that is no member yet has nothing to renew', () => {
  const r = new Renewal({ chain: [], today: () => day(80) })
  expect(r.due(T0)).toBe(false)
  r.enrolled(chain(0, 90))
  expect(r.due(T0)).toBe(true)
})
