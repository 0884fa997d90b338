import { type Fingerprint, idFromRandom, type NodeId } from '../addr/ids.ts'
import type { Prefix } from '../addr/prefix.ts'
import { invariant } from '../base/invariant.ts'
import {
  type Certificate,
  type CertificateKind,
  decodeSignedCertificate,
  type HostedEntry,
  ROLE_BRIDGE,
  ROLE_COORDINATOR,
  ROLE_NODE,
} from '../wire/certificate.ts'
import { signCertificate } from './certificate.ts'
import { canonicalName, isCanonicalName, type Widening, widening } from './narrowing.ts'
import { fingerprintOf, nodeIdOf } from './schedule.ts'
import type { CryptoSuite, KeyPair } from './suite.ts'

/** What makes a box itself: its static key, and the certificates that tie the key to the network. */
export type Identity = {
  readonly static: KeyPair
  readonly nodeId: NodeId
  /** Leaf first, without the root; empty before enrolment. */
  readonly chain: readonly Uint8Array[]
}

/** The network's offline key. `seed` is the secret. */
export type Root = { readonly seed: Uint8Array; readonly public: Uint8Array; readonly fingerprint: Fingerprint }

/** An Ed25519 key that may sign memberships: an issuer at the coordinator, a grant in a token. */
export type Signer = {
  readonly seed: Uint8Array
  /** The signer's own certificate, signed by the root. */
  readonly certificate: Uint8Array
}

/** Seconds since 1970 UTC. */
export type Validity = { readonly issued: number; readonly expires: number }

export type MembershipWish = Validity & {
  /** X25519 public key of the box. */
  readonly staticKey: Uint8Array
  readonly roles: number
  readonly name: string
  readonly prefixes?: readonly Prefix[]
  readonly groups?: readonly number[]
  readonly hosted?: readonly HostedEntry[]
  /** Node ID this identity replaces. */
  readonly supersedes?: NodeId
}

/** The chain to hand to the box, leaf first, or what the wish would widen. */
export type Issued =
  | { readonly ok: true; readonly chain: readonly Uint8Array[] }
  | { readonly ok: false; readonly fault: Widening }

export function identityOf(suite: CryptoSuite, pair: KeyPair, chain: readonly Uint8Array[] = []): Identity {
  return { static: pair, nodeId: nodeIdOf(suite, pair.public), chain }
}

export const makeRoot = (suite: CryptoSuite): Root => rootOf(suite, suite.random(32))

/** The same root again from its kept seed. */
export function rootOf(suite: CryptoSuite, seed: Uint8Array): Root {
  const key = suite.ed25519Public(seed)
  return { seed, public: key, fingerprint: fingerprintOf(suite, key) }
}

/** The coordinator's online key: node and bridge memberships below `suffix` (".plant.example") and `prefixes` only. */
export function makeIssuer(
  suite: CryptoSuite,
  root: Root,
  { suffix, prefixes, ...validity }: Validity & { readonly suffix: string; readonly prefixes: readonly Prefix[] },
): Signer {
  invariant(suffix.startsWith('.'), `an issuer's name is a suffix with a leading dot, got "${suffix}"`)
  return makeSigner(suite, root, {
    kind: 'issuer',
    roles: ROLE_NODE | ROLE_BRIDGE,
    name: suffix,
    prefixes,
    ...validity,
  })
}

/** A membership signed ahead: whoever holds the seed may sign one box in, with these roles at most. */
export const makeGrant = (
  suite: CryptoSuite,
  root: Root,
  wish: Validity & { readonly roles: number; readonly name: string; readonly prefixes: readonly Prefix[] },
): Signer => makeSigner(suite, root, { kind: 'grant', ...wish })

/** The coordinator's own membership; only the root can make one. */
export const makeCoordinatorChain = (
  suite: CryptoSuite,
  root: Root,
  wish: Omit<MembershipWish, 'roles'>,
): readonly Uint8Array[] => [signByRoot(suite, root, memberFields({ ...wish, roles: ROLE_COORDINATOR }))]

/** A membership directly under the root, for terminators and relays enrolled by the operator. */
export const makeRootMembership = (suite: CryptoSuite, root: Root, wish: MembershipWish): readonly Uint8Array[] => [
  signByRoot(suite, root, memberFields(wish)),
]

/**
 * A membership under an issuer or a grant. Validity is cut to the signer's (its clock and the root's may differ);
 * anything else the signer may not give is refused by value: names come from whoever asks.
 */
export function makeMembership(suite: CryptoSuite, signer: Signer, wish: MembershipWish): Issued {
  const decoded = decodeSignedCertificate(signer.certificate)
  invariant(decoded.ok, 'our own signer certificate does not decode')
  const parent = decoded.value.certificate
  const issued = Math.min(Math.max(wish.issued, parent.issued), parent.expires)
  const expires = Math.max(Math.min(wish.expires, parent.expires), issued)
  const fields = memberFields({ ...wish, issued, expires })
  const child: Certificate = {
    ...fields,
    ...fresh(suite),
    fingerprint: parent.fingerprint,
    signer: parent.signer,
  }
  if (!isCanonicalName(child.name) || child.name.startsWith('.')) return { ok: false, fault: 'name' }
  const fault = widening(parent, child)
  if (fault !== null) return { ok: false, fault }
  return { ok: true, chain: [signCertificate(suite, signer.seed, child), signer.certificate] }
}

type Fields = Omit<Certificate, 'signer' | 'fingerprint' | 'serial' | 'tail'>

function makeSigner(
  suite: CryptoSuite,
  root: Root,
  wish: Validity & {
    readonly kind: CertificateKind
    readonly roles: number
    readonly name: string
    readonly prefixes: readonly Prefix[]
  },
): Signer {
  const seed = suite.random(32)
  const fields: Fields = {
    ...wish,
    name: canonicalName(wish.name),
    subject: suite.ed25519Public(seed),
    supersedes: NOBODY,
    groups: [],
    hosted: [],
  }
  return { seed, certificate: signByRoot(suite, root, fields) }
}

function signByRoot(suite: CryptoSuite, root: Root, fields: Fields): Uint8Array {
  invariant(isCanonicalName(fields.name), `"${fields.name}" is no name`)
  invariant(fields.issued <= fields.expires, 'a certificate expires after it was issued')
  return signCertificate(suite, root.seed, { ...fields, ...fresh(suite), fingerprint: root.fingerprint })
}

const memberFields = (wish: MembershipWish): Fields => ({
  kind: 'membership',
  roles: wish.roles,
  issued: wish.issued,
  expires: wish.expires,
  subject: wish.staticKey,
  supersedes: wish.supersedes ?? NOBODY,
  name: canonicalName(wish.name),
  prefixes: wish.prefixes ?? [],
  groups: wish.groups ?? [],
  hosted: wish.hosted ?? [],
})

/** Serials only have to differ. */
const fresh = (suite: CryptoSuite) => ({ serial: idFromRandom(suite.random(6)), tail: new Uint8Array(0) })
const NOBODY = new Uint8Array(16)
