import type { Prefix } from '#ntm-lib/addr/prefix.ts'
import { parsePrefix } from '#ntm-lib/addr/prefix.ts'
import { BugError } from '#ntm-lib/base/invariant.ts'
import type { WallTime } from '#ntm-lib/base/time.ts'
import { wallTime } from '#ntm-lib/base/time.ts'
import {
  type Identity,
  type Issued,
  identityOf,
  makeCoordinatorChain,
  makeGrant,
  makeIssuer,
  makeMembership,
  makeRoot,
  type Root,
  type Signer,
} from '#ntm-lib/crypto/identity.ts'
import type { CryptoSuite } from '#ntm-lib/crypto/suite.ts'
import { ROLE_NODE, ROLE_TT } from '#ntm-lib/wire/certificate.ts'

/** 2026-01-01T00:00:00Z, the day test networks are made; seconds. */
export const BIRTH = 1_767_225_600
const YEAR = 365 * 86_400
/** A moment well inside everything's validity. */
export const TODAY: WallTime = wallTime((BIRTH + 30 * 86_400) * 1000)

/** A whole network with real keys: root, issuer, coordinator, and makers of members. Zone `plant.example`. */
export type TestNetwork = {
  readonly root: Root
  readonly issuer: Signer
  readonly coordinator: Identity
  member(name: string, roles?: number): Identity
  terminator(name: string): Identity
}

export function testNetwork(suite: CryptoSuite): TestNetwork {
  const root = makeRoot(suite)
  const prefixes = ['198.18.0.0/16', 'fd12:3456:789a::/48'].map(prefixOf)
  const long = { issued: BIRTH, expires: BIRTH + 5 * YEAR }
  const short = { issued: BIRTH, expires: BIRTH + 90 * 86_400 }
  const issuer = makeIssuer(suite, root, { suffix: '.plant.example', prefixes, ...long })
  const pair = suite.x25519Pair()
  const chain = makeCoordinatorChain(suite, root, { staticKey: pair.public, name: 'dc.plant.example', ...long })
  const signed = (by: Signer, name: string, roles: number): Identity => {
    const own = suite.x25519Pair()
    return identityOf(suite, own, chainOf(makeMembership(suite, by, { staticKey: own.public, name, roles, ...short })))
  }
  return {
    root,
    issuer,
    coordinator: identityOf(suite, pair, chain),
    member: (name, roles = ROLE_NODE) => signed(issuer, name, roles),
    terminator: (name) =>
      signed(makeGrant(suite, root, { roles: ROLE_TT, name, prefixes: [], ...long }), name, ROLE_TT),
  }
}

export function prefixOf(text: string): Prefix {
  const prefix = parsePrefix(text)
  if (prefix === null) throw new BugError(`not a prefix: ${text}`)
  return prefix
}

export function chainOf(issued: Issued): readonly Uint8Array[] {
  if (!issued.ok) throw new BugError(`the signer may not give that: ${issued.fault}`)
  return issued.chain
}
