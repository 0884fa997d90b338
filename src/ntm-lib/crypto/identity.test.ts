import { expect, test } from 'vitest'
import { BIRTH, chainOf, prefixOf } from '#test/support/network.ts'
import { seededCrypto } from '#test/support/seeded-crypto.ts'
import { BugError } from '../base/invariant.ts'
import { type Certificate, decodeSignedCertificate, ROLE_BRIDGE, ROLE_NODE, ROLE_TT } from '../wire/certificate.ts'
import { identityOf, makeGrant, makeIssuer, makeMembership, makeRoot, rootOf } from './identity.ts'
import { fingerprintOf, keyIdOf, nodeIdOf } from './schedule.ts'

const suite = seededCrypto('identity')
const root = makeRoot(suite)
const life = { issued: BIRTH, expires: BIRTH + 86_400 }
const read = (bytes: Uint8Array): Certificate => {
  const decoded = decodeSignedCertificate(bytes)
  if (!decoded.ok) throw new Error(decoded.fault)
  return decoded.value.certificate
}

test('a root comes back from its kept seed', () => {
  expect(rootOf(suite, root.seed)).toEqual(root)
  expect(root.fingerprint).toEqual(fingerprintOf(suite, suite.ed25519Public(root.seed)))
})

test('an issuer and a grant say what they were made for, and the root signed them', () => {
  const prefixes = [prefixOf('198.18.0.0/16')]
  const issuer = makeIssuer(suite, root, { suffix: '.Plant.Example', prefixes, ...life })
  expect(read(issuer.certificate)).toMatchObject({
    kind: 'issuer',
    roles: ROLE_NODE | ROLE_BRIDGE,
    name: '.plant.example',
    prefixes,
    subject: suite.ed25519Public(issuer.seed),
    signer: keyIdOf(suite, root.public),
    fingerprint: root.fingerprint,
    ...life,
  })
  const grant = makeGrant(suite, root, { roles: ROLE_TT, name: 'tt.plant.example', prefixes: [], ...life })
  expect(read(grant.certificate)).toMatchObject({ kind: 'grant', roles: ROLE_TT, name: 'tt.plant.example' })
})

test('a membership carries the box, its signer behind it, and a serial of its own', () => {
  const issuer = makeIssuer(suite, root, { suffix: '.plant.example', prefixes: [], ...life })
  const [pair, old] = [suite.x25519Pair(), nodeIdOf(suite, suite.random(32))]
  const wish = { staticKey: pair.public, name: 'Robot.plant.example.', roles: ROLE_BRIDGE, supersedes: old, ...life }
  const chain = chainOf(makeMembership(suite, issuer, wish))
  expect(read(chain[0]!)).toMatchObject({
    kind: 'membership',
    name: 'robot.plant.example',
    subject: pair.public,
    supersedes: old,
    signer: keyIdOf(suite, suite.ed25519Public(issuer.seed)),
  })
  expect(chain[1]).toEqual(issuer.certificate)
  const again = chainOf(makeMembership(suite, issuer, wish))
  expect(read(again[0]!).serial).not.toBe(read(chain[0]!).serial)
  expect(identityOf(suite, pair, chain)).toEqual({ static: pair, nodeId: nodeIdOf(suite, pair.public), chain })
})

test('an issuer without a leading dot, a name that is none, or a life that ends first is our bug', () => {
  expect(() => makeIssuer(suite, root, { suffix: 'plant.example', prefixes: [], ...life })).toThrow(BugError)
  expect(() => makeIssuer(suite, root, { suffix: '.plant..example', prefixes: [], ...life })).toThrow(BugError)
  const backwards = { issued: BIRTH, expires: BIRTH - 1 }
  expect(() => makeGrant(suite, root, { roles: ROLE_TT, name: 'a', prefixes: [], ...backwards })).toThrow(BugError)
})
