import { describe, expect, test } from 'vitest'
import { BIRTH, chainOf, prefixOf, TODAY, testNetwork } from '#test/support/network.ts'
import { seededCrypto } from '#test/support/seeded-crypto.ts'
import { parseIp4 } from '../addr/ip4.ts'
import { parseIp6 } from '../addr/ip6.ts'
import { concat } from '../base/bytes.ts'
import { wallTime } from '../base/time.ts'
import {
  type Certificate,
  decodeSignedCertificate,
  ROLE_BRIDGE,
  ROLE_COORDINATOR,
  ROLE_NODE,
  ROLE_RELAY,
  ROLE_TT,
} from '../wire/certificate.ts'
import {
  type ChainFault,
  type ChainQuestion,
  type ChainVerdict,
  CLOCK_SKEW_SECONDS,
  hasRole,
  isCoordinator,
  isTerminator,
  peerNameMatches,
  raisedFloor,
  signCertificate,
  verifyChain,
  verifySignature,
} from './certificate.ts'
import { makeGrant, makeMembership, makeRoot, makeRootMembership, type Signer } from './identity.ts'
import { nodeIdOf } from './schedule.ts'

const suite = seededCrypto('certificate')
const net = testNetwork(suite)
const DAY = 86_400
const bridge = net.member('robot.plant.example', ROLE_BRIDGE)
const tt = net.terminator('tt.plant.example')

const ask = (chain: readonly Uint8Array[], over: Partial<ChainQuestion> = {}): ChainVerdict =>
  verifyChain({
    suite,
    chain,
    rootPublicKey: net.root.public,
    now: TODAY,
    floor: wallTime(BIRTH * 1000),
    revoked: () => false,
    ...over,
  })
const faultOf = (verdict: ChainVerdict): ChainFault | 'accepted' => (verdict.ok ? 'accepted' : verdict.fault)
const proven = (chain: readonly Uint8Array[]) => {
  const verdict = ask(chain)
  if (!verdict.ok) throw new Error(`refused: ${verdict.fault}`)
  return verdict.value
}
const read = (bytes: Uint8Array): Certificate => {
  const decoded = decodeSignedCertificate(bytes)
  if (!decoded.ok) throw new Error(decoded.fault)
  return decoded.value.certificate
}
/** The leaf as an attacker who holds the signer's key would sign it, past every check of our own helpers. */
const resigned = (
  chain: readonly Uint8Array[],
  seed: Uint8Array,
  over: Partial<Certificate>,
): readonly Uint8Array[] => {
  const { signer: _, ...leaf } = read(chain[0]!)
  return [signCertificate(suite, seed, { ...leaf, ...over }), ...chain.slice(1)]
}

test('chains of a network lead to its root', () => {
  expect(proven(bridge.chain).nodeId).toEqual(bridge.nodeId)
  expect(proven(bridge.chain).nodeId).toEqual(nodeIdOf(suite, bridge.static.public))
  expect(proven(bridge.chain).certificates.map((c) => c.kind)).toEqual(['membership', 'issuer'])
  expect([isTerminator(proven(bridge.chain)), isTerminator(proven(tt.chain))]).toEqual([false, true])
  expect([isCoordinator(proven(tt.chain)), isCoordinator(proven(net.coordinator.chain))]).toEqual([false, true])
  expect(hasRole(proven(bridge.chain), ROLE_BRIDGE)).toBe(true)
  expect(faultOf(ask([net.issuer.certificate], { kind: 'issuer' }))).toBe('accepted')
})

describe('a chain from somewhere else', () => {
  test('another root', () => {
    expect(faultOf(ask(bridge.chain, { rootPublicKey: makeRoot(suite).public }))).toBe('fingerprint')
  })
  test('another root that names our network', () => {
    const forger = { ...makeRoot(suite), fingerprint: net.root.fingerprint }
    const wish = {
      staticKey: bridge.static.public,
      name: 'robot.plant.example',
      roles: ROLE_NODE,
      issued: BIRTH,
      expires: BIRTH + DAY,
    }
    expect(faultOf(ask(makeRootMembership(suite, forger, wish)))).toBe('wrong-signer')
  })
  test('another key under the signer id of the root', () => {
    const forged = bridge.chain[1]!.slice()
    const signature = suite.ed25519Sign(suite.random(32), forged.subarray(0, -64))
    expect(faultOf(ask([bridge.chain[0]!, concat(forged.subarray(0, -64), signature)]))).toBe('bad-signature')
  })
  test('another network in one certificate', () => {
    const other = testNetwork(suite)
    expect(faultOf(ask([bridge.chain[0]!, other.issuer.certificate]))).toBe('fingerprint')
  })
  test('a signature of another certificate', () => {
    const [leaf, signer] = [bridge.chain[0]!, bridge.chain[1]!]
    expect(faultOf(ask([concat(leaf.subarray(0, -64), signer.subarray(-64)), signer]))).toBe('bad-signature')
  })
})

describe('a chain out of shape', () => {
  const [leaf, signer] = [bridge.chain[0]!, bridge.chain[1]!]
  test.each<[string, readonly Uint8Array[], ChainFault]>([
    ['empty', [], 'empty'],
    ['reversed', [signer, leaf], 'kind'],
    ['without its signer', [leaf], 'wrong-signer'],
    ['with another signer', [leaf, tt.chain[1]!], 'roles'],
    ['too long', [leaf, signer, signer], 'too-long'],
    ['trailing bytes', [concat(leaf, Uint8Array.of(0)), signer], 'malformed'],
    ['cut off', [leaf.subarray(0, -1), signer], 'malformed'],
    ['no certificate at all', [suite.random(200)], 'malformed'],
    ['a signer where a member belongs', [signer], 'kind'],
  ])('%s', (_, chain, fault) => {
    expect(faultOf(ask(chain))).toBe(fault)
  })

  test('one changed byte anywhere', () => {
    for (let at = 0; at < leaf.length; at++) {
      const changed = leaf.slice()
      changed[at]! ^= 1
      expect(ask([changed, signer]).ok).toBe(false)
    }
  })
})

describe('a signer that gives more than it has', () => {
  const more: [string, Partial<Certificate>, ChainFault][] = [
    ['a terminator', { roles: ROLE_TT }, 'roles'],
    ['a relay', { roles: ROLE_NODE | ROLE_RELAY }, 'roles'],
    ['a coordinator', { roles: ROLE_COORDINATOR }, 'roles'],
    ['a role nobody knows', { roles: 0x8000 }, 'roles'],
    ['a name of another suffix', { name: 'robot.office.example' }, 'name'],
    ['a name that only ends alike', { name: 'xplant.example' }, 'name'],
    ['the suffix itself as a name', { name: 'plant.example' }, 'name'],
    ['all names below', { name: '.plant.example' }, 'name'],
    ['an empty label', { name: 'a..plant.example' }, 'name'],
    ['another spelling', { name: 'Robot.plant.example' }, 'name'],
    ['a lookalike letter', { name: 'r\u043ebot.plant.example' }, 'name'],
    ['a wider prefix', { prefixes: [prefixOf('198.18.0.0/15')] }, 'prefixes'],
    ['a prefix elsewhere', { prefixes: [prefixOf('198.18.5.0/24'), prefixOf('10.0.0.0/8')] }, 'prefixes'],
    ['a life before its own', { issued: BIRTH - 1 }, 'validity'],
    ['a life after its own', { expires: BIRTH + 6 * 365 * DAY }, 'validity'],
    ['an end before the beginning', { issued: BIRTH + 9, expires: BIRTH + 8 }, 'validity'],
    ['a signer', { kind: 'grant' }, 'kind'],
    ['another network', { fingerprint: makeRoot(suite).fingerprint }, 'fingerprint'],
  ]
  test.each(more)('%s', (_, over, fault) => {
    expect(faultOf(ask(resigned(bridge.chain, net.issuer.seed, over)))).toBe(fault)
  })

  const vips = { vip4: parseIp4('198.18.0.9')!, vip6: parseIp6('fd12:3456:789a::9')!, groups: [] }
  test.each<[string, Partial<typeof vips & { name: string }>, ChainFault | 'accepted']>([
    ['inside', {}, 'accepted'],
    ['another suffix', { name: 'plc.office.example' }, 'name'],
    ['a suffix', { name: '.plant.example' }, 'name'],
    ['no name', { name: '' }, 'name'],
    ['an address elsewhere', { vip4: parseIp4('198.19.0.9')! }, 'prefixes'],
    ['an IPv6 address elsewhere', { vip6: parseIp6('fd12:3456:789b::9')! }, 'prefixes'],
  ])('a hosted entry: %s', (_, over, fault) => {
    const hosted = [{ name: 'plc.plant.example', ...vips, ...over }]
    expect(faultOf(ask(resigned(bridge.chain, net.issuer.seed, { hosted })))).toBe(fault)
  })

  test('an issuer whose own certificate carries TT still makes no terminator', () => {
    const { signer: _, ...issuer } = read(net.issuer.certificate)
    const certificate = signCertificate(suite, net.root.seed, { ...issuer, roles: ROLE_NODE | ROLE_BRIDGE | ROLE_TT })
    const chain = [bridge.chain[0]!, certificate]
    expect(faultOf(ask(chain))).toBe('accepted')
    expect(faultOf(ask(resigned(chain, net.issuer.seed, { roles: ROLE_TT })))).toBe('roles')
  })

  test.each(['issuer', 'grant'] as const)('an issuer never makes an %s', (kind) => {
    const made = resigned(bridge.chain, net.issuer.seed, { kind, roles: ROLE_NODE })
    expect(faultOf(ask(made, { kind }))).toBe('signer-kind')
  })

  test('a grant never makes a coordinator', () => {
    const life = { issued: BIRTH, expires: BIRTH + DAY * 365 }
    const grant = makeGrant(suite, net.root, { roles: 0xffff, name: '.plant.example', prefixes: [], ...life })
    const chain = chainOf(
      makeMembership(suite, grant, { staticKey: suite.random(32), name: 'a.plant.example', roles: ROLE_TT, ...life }),
    )
    expect(faultOf(ask(chain))).toBe('accepted')
    expect(faultOf(ask(resigned(chain, grant.seed, { roles: ROLE_COORDINATOR })))).toBe('roles')
  })

  test('a membership signs nothing, even when its subject is a signing key', () => {
    const seed = suite.random(32)
    const life = { issued: BIRTH, expires: BIRTH + DAY * 365 }
    const member = makeRootMembership(suite, net.root, {
      staticKey: suite.ed25519Public(seed),
      name: 'evil.plant.example',
      roles: ROLE_NODE,
      ...life,
    })
    const { signer: _, ...leaf } = read(bridge.chain[0]!)
    const child = signCertificate(suite, seed, { ...leaf, name: 'evil.plant.example', roles: ROLE_NODE, ...life })
    expect(faultOf(ask([child, member[0]!]))).toBe('signer-kind')
  })
})

describe('time', () => {
  const leaf = read(bridge.chain[0]!)
  const at = (seconds: number) => wallTime(seconds * 1000)

  test('with trusted time: not before, not after', () => {
    const late = leaf.issued
    expect(faultOf(ask(bridge.chain, { now: at(late - CLOCK_SKEW_SECONDS) }))).toBe('accepted')
    expect(faultOf(ask(bridge.chain, { now: at(late - CLOCK_SKEW_SECONDS - 1) }))).toBe('not-yet-valid')
    expect(faultOf(ask(bridge.chain, { now: at(leaf.expires - 1) }))).toBe('accepted')
    expect(faultOf(ask(bridge.chain, { now: at(leaf.expires) }))).toBe('expired')
  })

  test('without: nothing is too early, and the floor alone makes things too late', () => {
    expect(faultOf(ask(bridge.chain, { now: null, floor: at(0) }))).toBe('accepted')
    expect(faultOf(ask(bridge.chain, { now: null, floor: at(leaf.expires) }))).toBe('expired')
  })

  test('an expired member may still be heard, marked as expired', () => {
    const verdict = ask(bridge.chain, { now: at(leaf.expires), expiredToo: true })
    expect(verdict.ok && verdict.value.expired).toBe(true)
    expect(proven(bridge.chain).expired).toBe(false)
  })

  test('a revoked one not, expired or not, and neither with a revoked signer', () => {
    const revoked = (serial: number) => (c: Certificate) => c.serial === serial
    for (const expiredToo of [false, true]) {
      expect(faultOf(ask(bridge.chain, { revoked: revoked(leaf.serial), expiredToo }))).toBe('revoked')
      expect(faultOf(ask(bridge.chain, { revoked: revoked(read(bridge.chain[1]!).serial), expiredToo }))).toBe(
        'revoked',
      )
    }
  })

  test('attack 11: an issuer with a jumped clock does not move the floor, the root does', () => {
    const ahead = BIRTH + 4 * 365 * DAY
    const jumped = resigned(bridge.chain, net.issuer.seed, { issued: ahead, expires: ahead + DAY })
    expect(faultOf(ask(jumped))).toBe('not-yet-valid')
    const verdict = ask(jumped, { now: null })
    if (!verdict.ok) throw new Error(verdict.fault)
    expect(raisedFloor(at(0), verdict.value)).toBe(at(BIRTH))
    expect(raisedFloor(at(BIRTH + 1), verdict.value)).toBe(at(BIRTH + 1))
  })
})

test('names: the peer is who was asked for', () => {
  const hosted = [
    { name: 'plc.plant.example', vip4: parseIp4('198.18.0.9')!, vip6: parseIp6('fd12:3456:789a::9')!, groups: [] },
  ]
  const chain = proven(resigned(bridge.chain, net.issuer.seed, { hosted }))
  // Who has a name has the names one label below it: its hosts'.
  for (const name of [
    'robot.plant.example',
    'ROBOT.plant.example.',
    'plc.plant.example',
    'plc-7.robot.plant.example',
  ]) {
    expect(peerNameMatches(chain, name)).toBe(true)
  }
  for (const name of [
    '',
    '.',
    'plant.example',
    '.plant.example',
    'y.x.robot.plant.example',
    '.robot.plant.example',
    'x.plc.plant.example',
    'robot.plant.example.evil',
  ]) {
    expect(peerNameMatches(chain, name)).toBe(false)
  }
  const nameless = proven(resigned(bridge.chain, net.issuer.seed, { name: '' }))
  for (const name of ['', '.', 'x', 'x.']) expect(peerNameMatches(nameless, name)).toBe(false)
})

test('a signature is over the label and the received bytes', () => {
  const decoded = decodeSignedCertificate(bridge.chain[1]!)
  if (!decoded.ok) throw new Error(decoded.fault)
  expect(verifySignature(suite, decoded.value, net.root.public)).toBe(true)
  const bare = suite.ed25519Sign(net.root.seed, decoded.value.body)
  expect(verifySignature(suite, { ...decoded.value, signature: bare }, net.root.public)).toBe(false)
})

test('own helpers refuse by value what the issuer may not give', () => {
  const wish = { staticKey: suite.random(32), issued: BIRTH, expires: BIRTH + DAY }
  const tryIt = (by: Signer, name: string, roles: number) => makeMembership(suite, by, { ...wish, name, roles })
  expect(tryIt(net.issuer, 'a.office.example', ROLE_NODE)).toEqual({ ok: false, fault: 'name' })
  expect(tryIt(net.issuer, '.plant.example', ROLE_NODE)).toEqual({ ok: false, fault: 'name' })
  expect(tryIt(net.issuer, 'a b.plant.example', ROLE_NODE)).toEqual({ ok: false, fault: 'name' })
  expect(tryIt(net.issuer, 'a.plant.example', ROLE_TT)).toEqual({ ok: false, fault: 'roles' })
  expect(tryIt(net.issuer, 'A.plant.example.', ROLE_NODE).ok).toBe(true)
})

test('validity is cut to the signer: a coordinator whose clock is behind the root machine still signs', () => {
  const chain = chainOf(
    makeMembership(suite, net.issuer, {
      staticKey: suite.random(32),
      name: 'a.plant.example',
      roles: ROLE_NODE,
      issued: BIRTH - 3600,
      expires: BIRTH + 99 * 365 * DAY,
    }),
  )
  const [leaf, signer] = chain.map(read)
  expect([leaf!.issued, leaf!.expires]).toEqual([signer!.issued, signer!.expires])
  expect(faultOf(ask(chain))).toBe('accepted')
})
