import type { NodeId } from '../addr/ids.ts'
import { concat, same } from '../base/bytes.ts'
import { type WallTime, wallTime } from '../base/time.ts'
import {
  type Certificate,
  type CertificateKind,
  decodeSignedCertificate,
  encodeCertificateBody,
  joinCertificate,
  ROLE_COORDINATOR,
  ROLE_TT,
  type SignedCertificate,
} from '../wire/certificate.ts'
import { canonicalName, isCanonicalName, type Widening, widening } from './narrowing.ts'
import { fingerprintOf, keyIdOf, LABELS, nodeIdOf } from './schedule.ts'
import type { CryptoSuite } from './suite.ts'

/** Leaf and at most one signer between it and the root: issuers and grants cannot make their like. */
export const MAX_CHAIN = 2
/** How far two good clocks may differ before "not yet valid" is believed. */
export const CLOCK_SKEW_SECONDS = 600

/** Why a chain proves nothing. Each is a counter and a log field. */
export type ChainFault =
  | Widening
  | 'empty'
  | 'too-long'
  | 'malformed'
  /** Not the kind that was asked for. */
  | 'kind'
  | 'fingerprint'
  | 'wrong-signer'
  | 'bad-signature'
  | 'revoked'
  | 'not-yet-valid'
  | 'expired'

/** A chain that leads to the root. */
export type ProvenChain = {
  readonly leaf: Certificate
  /** Hash of the leaf's subject; an identity only when the leaf is a membership. */
  readonly nodeId: NodeId
  readonly certificates: readonly Certificate[]
  /** Only ever true with `expiredToo`. */
  readonly expired: boolean
}

export type ChainVerdict =
  | { readonly ok: true; readonly value: ProvenChain }
  | { readonly ok: false; readonly fault: ChainFault }

export type ChainQuestion = {
  readonly suite: CryptoSuite
  /** Leaf first, without the root. */
  readonly chain: readonly Uint8Array[]
  readonly rootPublicKey: Uint8Array
  /** Trusted time, or null: then nothing is too early, and only the floor makes things too late. */
  readonly now: WallTime | null
  /** A moment that has certainly passed: image build time, or later by `raisedFloor`. */
  readonly floor: WallTime
  readonly revoked: (certificate: Certificate) => boolean
  /** What the leaf must be. Default: membership. */
  readonly kind?: CertificateKind
  /** Pass expired chains, marked so: an expired member may still say hello and renew, and nothing else. */
  readonly expiredToo?: boolean
}

/** Signs with an Ed25519 seed and fills in the signer's id. The bytes of the whole certificate. */
export function signCertificate(suite: CryptoSuite, seed: Uint8Array, c: Omit<Certificate, 'signer'>): Uint8Array {
  const body = encodeCertificateBody({ ...c, signer: keyIdOf(suite, suite.ed25519Public(seed)) })
  return joinCertificate(body, suite.ed25519Sign(seed, concat(LABELS.certificate, body)))
}

/** Whether this key signed exactly these bytes. Says nothing about whether it may. */
export const verifySignature = (suite: CryptoSuite, c: SignedCertificate, publicKey: Uint8Array): boolean =>
  suite.ed25519Verify(publicKey, concat(LABELS.certificate, c.body), c.signature)

/**
 * Follows a chain from the pinned root down to its leaf: each certificate genuine, of this network, within what its
 * signer may give (`narrowing.ts`), not revoked, and of its time. Total; cheap checks come before signatures.
 */
export function verifyChain(q: ChainQuestion): ChainVerdict {
  if (q.chain.length === 0) return no('empty')
  if (q.chain.length > MAX_CHAIN) return no('too-long')
  const signed: SignedCertificate[] = []
  for (const bytes of q.chain) {
    const decoded = decodeSignedCertificate(bytes)
    if (!decoded.ok) return no('malformed')
    signed.push(decoded.value)
  }
  const certificates = signed.map((s) => s.certificate)
  const [leaf] = certificates
  if (leaf === undefined) return no('empty')
  if (leaf.kind !== (q.kind ?? 'membership')) return no('kind')
  const fault = shapeFault(q, certificates) ?? signatureFault(q, signed) ?? timeFault(q, certificates)
  if (fault !== null) return no(fault)
  const expired = hasExpired(q, certificates)
  if (expired && q.expiredToo !== true) return no('expired')
  return { ok: true, value: { leaf, nodeId: nodeIdOf(q.suite, leaf.subject), certificates, expired } }
}

/**
 * The floor after a chain was accepted. Only what the root signed raises it: an issuer's clock may have jumped ahead,
 * and a floor in the future would lock this box out of its network.
 */
export function raisedFloor(floor: WallTime, proven: ProvenChain): WallTime {
  const top = proven.certificates.at(-1)
  return top === undefined ? floor : wallTime(Math.max(floor, top.issued * 1000))
}

/** Whether the peer may terminate tunnels of ordinary servers' names. */
export const isTerminator = (proven: ProvenChain): boolean => hasRole(proven, ROLE_TT)
export const isCoordinator = (proven: ProvenChain): boolean => hasRole(proven, ROLE_COORDINATOR)
export const hasRole = (proven: ProvenChain, role: number): boolean => (proven.leaf.roles & role) === role

/** Whether the peer is who was asked for: its own name, or one it hosts, at the asker's spelling. */
export function peerNameMatches(proven: ProvenChain, asked: string): boolean {
  const name = canonicalName(asked)
  if (name === '' || name.startsWith('.')) return false
  if (proven.leaf.name === name || proven.leaf.hosted.some((h) => h.name === name)) return true
  // Who has a name has what is one label below it: a bridge's hosts, by the names their DHCP lease gave them.
  return proven.leaf.name !== '' && name.slice(name.indexOf('.') + 1) === proven.leaf.name
}

/** Everything that needs no signature: network, names, and each signer giving no more than it has. */
function shapeFault(q: ChainQuestion, certificates: readonly Certificate[]): ChainFault | null {
  const network = fingerprintOf(q.suite, q.rootPublicKey)
  for (const [i, c] of certificates.entries()) {
    if (!same(c.fingerprint, network)) return 'fingerprint'
    if (c.issued > c.expires) return 'validity'
    if (!isCanonicalName(c.name) || !c.hosted.every((h) => isHostName(h.name))) return 'name'
    // A suffix is something to hand out names from, never a name to answer to.
    if (c.kind === 'membership' && c.name.startsWith('.')) return 'name'
    const parent = certificates[i + 1]
    const wide = parent === undefined ? null : widening(parent, c)
    if (wide !== null) return wide
  }
  return null
}

function signatureFault(q: ChainQuestion, signed: readonly SignedCertificate[]): ChainFault | null {
  for (const [i, s] of signed.entries()) {
    const key = signed[i + 1]?.certificate.subject ?? q.rootPublicKey
    if (!same(s.certificate.signer, keyIdOf(q.suite, key))) return 'wrong-signer'
    if (!verifySignature(q.suite, s, key)) return 'bad-signature'
  }
  return null
}

function timeFault(q: ChainQuestion, certificates: readonly Certificate[]): ChainFault | null {
  if (certificates.some(q.revoked)) return 'revoked'
  if (q.now === null) return null
  const latest = q.now / 1000 + CLOCK_SKEW_SECONDS
  return certificates.some((c) => c.issued > latest) ? 'not-yet-valid' : null
}

/** Trusted time decides alone; the floor is only for boxes without it. */
function hasExpired(q: ChainQuestion, certificates: readonly Certificate[]): boolean {
  const at = (q.now ?? q.floor) / 1000
  return certificates.some((c) => c.expires <= at)
}

const isHostName = (name: string): boolean => name !== '' && !name.startsWith('.') && isCanonicalName(name)
const no = (fault: ChainFault): ChainVerdict => ({ ok: false, fault })
