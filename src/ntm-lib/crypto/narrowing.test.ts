import fc from 'fast-check'
import { expect, test } from 'vitest'
import { prefixOf } from '#test/support/network.ts'
import { seededCrypto } from '#test/support/seeded-crypto.ts'
import { ip4FromWord } from '../addr/ip4.ts'
import { contains, type Prefix } from '../addr/prefix.ts'
import { wallTime } from '../base/time.ts'
import {
  type Certificate,
  type CertificateKind,
  ROLE_BRIDGE,
  ROLE_NODE,
  ROLE_RELAY,
  ROLE_TT,
} from '../wire/certificate.ts'
import { signCertificate, verifyChain } from './certificate.ts'
import { makeRoot } from './identity.ts'
import { canonicalName, isCanonicalName, nameCovers } from './narrowing.ts'

test.each([
  ['.plant.example', 'a.plant.example', true],
  ['.plant.example', 'a.b.plant.example', true],
  ['.plant.example', '.b.plant.example', true],
  ['.plant.example', '.plant.example', true],
  ['.plant.example', '', true],
  ['.plant.example', 'plant.example', false],
  ['.plant.example', 'xplant.example', false],
  ['.plant.example', '.xplant.example', false],
  ['.plant.example', 'plant.example.org', false],
  ['.plant.example', '.example', false],
  ['a.plant.example', 'a.plant.example', true],
  ['a.plant.example', 'b.a.plant.example', false],
  ['', '', true],
  ['', 'a.plant.example', false],
])('"%s" covers "%s": %s', (outer, inner, covers) => {
  expect(nameCovers(outer, inner)).toBe(covers)
})

test.each(['a', 'a.b', '.a', '_ntm._udp.a', 'a-1.b', '', `${'a'.repeat(63)}.b`])('"%s" is canonical', (name) => {
  expect(isCanonicalName(name)).toBe(true)
})
test.each(['.', 'a.', 'a..b', '..a', 'A', 'a b', 'ä', 'a*', `${'a'.repeat(64)}`, 'a.'.repeat(130).concat('a')])(
  '"%s" is not',
  (name) => {
    expect(isCanonicalName(name)).toBe(false)
  },
)
test('canonicalName', () => {
  expect(canonicalName('Robot.Plant.Example.')).toBe('robot.plant.example')
})

const suite = seededCrypto('narrowing')
const root = makeRoot(suite)
const signerSeed = suite.random(32)
const label = fc.constantFrom('a', 'b', 'plant')
const name = fc
  .tuple(fc.boolean(), fc.array(label, { maxLength: 3 }))
  .map(([suffix, labels]) => (labels.length === 0 ? '' : `${suffix ? '.' : ''}${labels.join('.')}`))
const prefix: fc.Arbitrary<Prefix> = fc.constantFrom(
  ...[
    '0.0.0.0/0',
    '198.18.0.0/15',
    '198.18.0.0/16',
    '198.19.0.0/16',
    '198.18.4.0/24',
    'fd00::/8',
    'fd12::/32',
    '::/0',
  ].map(prefixOf),
)
const certificate = (kinds: readonly CertificateKind[], subject: Uint8Array) =>
  fc.record({
    kind: fc.constantFrom(...kinds),
    // Mostly the few bits that exist, so that chains are often accepted.
    roles: fc.oneof(fc.constantFrom(ROLE_NODE, ROLE_BRIDGE, ROLE_TT, 3, 15), fc.nat(0x1f)),
    issued: fc.nat(6),
    expires: fc.integer({ min: 4, max: 20 }),
    name,
    prefixes: fc.array(prefix, { maxLength: 2 }),
    serial: fc.nat(9),
    subject: fc.constant(subject),
    fingerprint: fc.constant(root.fingerprint),
    supersedes: fc.constant(new Uint8Array(16)),
    groups: fc.constant([]),
    hosted: fc.constant([]),
    tail: fc.constant(new Uint8Array(0)),
  })
const parents = certificate(['issuer', 'grant', 'grant', 'membership'], suite.ed25519Public(signerSeed))
const children = certificate(['membership', 'membership', 'membership', 'grant'], suite.random(32))
/** Fields the child takes over from its signer, so that many chains are nearly or wholly acceptable. */
const alike = fc.subarray(['roles', 'issued', 'expires', 'name', 'prefixes'] as const, { minLength: 3 })
const probes = [0, 0xc6120000, 0xc6120401, 0xc6130001, 0xc6140000, 0x0a000001].map(ip4FromWord)
const names = ['a', 'plant', 'a.plant', 'b.a', 'b.a.plant', 'xplant', 'a.b.plant']
/** Every concrete name and address a certificate lets its holder give or be. */
const reach = (c: Omit<Certificate, 'signer'>): string[] => [
  ...names.filter((n) => c.name === n || (c.name.startsWith('.') && `.${n}`.endsWith(c.name) && `.${n}` !== c.name)),
  ...probes.filter((ip) => c.prefixes.some((p) => contains(p, ip))).map(String),
]

test('a chain never widens: whatever is accepted, the leaf reaches nothing its signer does not', () => {
  let accepted = 0
  fc.assert(
    fc.property(parents, children, alike, fc.option(fc.nat(25), { freq: 1 }), (parent, own, same, now) => {
      const child = { ...own, ...Object.fromEntries(same.map((field) => [field, parent[field]])) }
      const verdict = verifyChain({
        suite,
        chain: [signCertificate(suite, signerSeed, child), signCertificate(suite, root.seed, parent)],
        rootPublicKey: root.public,
        now: now === null ? null : wallTime(now * 1000),
        floor: wallTime(0),
        revoked: () => false,
      })
      if (!verdict.ok) return
      accepted++
      expect(parent.kind).not.toBe('membership')
      expect(child.kind).toBe('membership')
      expect(child.roles & ~parent.roles).toBe(0)
      expect(child.roles & ~(parent.kind === 'issuer' ? 3 : 3 | ROLE_TT | ROLE_RELAY)).toBe(0)
      expect(child.issued >= parent.issued && child.expires <= parent.expires).toBe(true)
      expect(reach(child).filter((r) => !reach(parent).includes(r))).toEqual([])
      if (now !== null) expect(child.expires).toBeGreaterThan(now)
    }),
    { numRuns: 1000 },
  )
  expect(accepted).toBeGreaterThan(40)
})
