import fc from 'fast-check'
import { expect, test } from 'vitest'
import { BIRTH } from '#test/support/network.ts'
import { seededCrypto } from '#test/support/seeded-crypto.ts'
import { parseEndpoint } from '../addr/endpoint.ts'
import { ROLE_NODE, ROLE_TT } from '../wire/certificate.ts'
import { makeGrant, makeRoot } from './identity.ts'
import { type EnrolmentToken, formatToken, parseToken } from './token.ts'

const suite = seededCrypto('token')
const root = makeRoot(suite)
const plain: EnrolmentToken = {
  rootPublicKey: root.public,
  coordinatorStatic: suite.random(32),
  endpoints: [parseEndpoint('192.0.2.1:4330')!],
  id: suite.random(8),
  seed: suite.random(32),
  roles: ROLE_NODE,
  grant: null,
}
const life = { issued: BIRTH, expires: BIRTH + 86_400 }
const granted: EnrolmentToken = {
  ...plain,
  endpoints: [...plain.endpoints, parseEndpoint('[2001:db8::1]:4330')!],
  roles: ROLE_TT,
  grant: makeGrant(suite, root, { roles: ROLE_TT, name: 'tt.plant.example', prefixes: [], ...life }),
}
const text = formatToken(suite, plain)
const faultOf = (t: string): string => {
  const verdict = parseToken(suite, t)
  return verdict.ok ? 'accepted' : verdict.fault
}

test('a token survives being written, mailed and typed', () => {
  for (const token of [plain, granted]) {
    const written = formatToken(suite, token)
    expect(written).toMatch(/^ntm1-[0-9a-hjkmnp-tv-z]+$/)
    const forms = [
      written,
      written.toUpperCase(),
      `  ${written.replaceAll(/(.{40})/g, '$1\r\n > '.replace('>', ''))}\n`,
      written.replaceAll('0', 'o').replace(/(?<=-.*)1/g, 'l'),
    ]
    for (const form of forms) expect(parseToken(suite, form)).toEqual({ ok: true, value: token })
  }
})

test('one wrong letter is a typo, never another token', () => {
  const letters = '0123456789abcdefghjkmnpqrstvwxyz'
  fc.assert(
    fc.property(fc.integer({ min: 5, max: text.length - 1 }), fc.constantFrom(...letters), (at, letter) => {
      const changed = text.slice(0, at) + letter + text.slice(at + 1)
      expect(faultOf(changed)).toBe(changed === text ? 'accepted' : 'typo')
    }),
  )
})

test('bits behind the last byte are checked too', () => {
  const long = formatToken(suite, granted)
  expect((long.length - 5) % 8).not.toBe(0)
  const last = '0123456789abcdefghjkmnpqrstvwxyz'.indexOf(long.slice(-1))
  expect(faultOf(long.slice(0, -1) + '0123456789abcdefghjkmnpqrstvwxyz'[last + 1])).toBe('typo')
})

test.each([
  ['nothing', '', 'not-a-token'],
  ['something else', 'hello world', 'not-a-token'],
  ['another version', text.replace('ntm1', 'ntm2'), 'other-version'],
  ['half of it', text.slice(0, 100), 'cut-off'],
  ['the last letter missing', text.slice(0, -1), 'cut-off'],
  ['the last two missing', text.slice(0, -2), 'cut-off'],
  ['a letter in the middle missing', text.slice(0, 60) + text.slice(61), 'cut-off'],
  ['a letter tokens do not have', text.replace(/.$/, 'u'), 'typo'],
])('%s', (_, t, fault) => {
  const verdict = parseToken(suite, t)
  expect(faultOf(t)).toBe(fault)
  expect(!verdict.ok && verdict.text.length > 10).toBe(true)
})

test('a right checksum over something unknown is told apart from a typo', () => {
  const none = formatToken(suite, { ...plain, endpoints: [] })
  expect(['not-understood', 'cut-off']).toContain(faultOf(none))
  expect(faultOf(formatToken(suite, { ...granted, endpoints: [] }))).toBe('not-understood')
})

test('any text is a value, never an exception', () => {
  fc.assert(
    fc.property(fc.string({ maxLength: 300, size: 'max' }), (t) => {
      expect(faultOf(t)).not.toBe('accepted')
      expect(faultOf(`ntm1-${t}`)).not.toBe('accepted')
    }),
  )
})
