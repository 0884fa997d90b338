import type { Fingerprint } from '../addr/ids.ts'
import type { Prefix } from '../addr/prefix.ts'
import type { VirtualPair } from '../addr/virtual.ts'

export const ROLE_NODE = 1
export const ROLE_BRIDGE = 2
export const ROLE_TT = 4
export const ROLE_RELAY = 8
export const ROLE_COORDINATOR = 16

export type CertificateKind = 'issuer' | 'grant' | 'membership' | 'cross-zone' | 'revocations' | 'descriptor'

export type HostedEntry = VirtualPair & {
  readonly name: string
  readonly groups: readonly number[]
}

/** A signed statement under the network root. `docs/wire.md`, Certificate. Times are seconds since 1970 UTC. */
export type Certificate = {
  readonly kind: CertificateKind
  /** Bits `ROLE_…`. */
  readonly roles: number
  readonly serial: number
  readonly issued: number
  readonly expires: number
  /** First 8 bytes of H(signer's Ed25519 public key). */
  readonly signer: Uint8Array
  /** Issuer, grant: Ed25519 public key. Membership, descriptor: X25519 static public key. 32 bytes. */
  readonly subject: Uint8Array
  readonly fingerprint: Fingerprint
  /** Node ID this identity replaces, or 16 zero bytes. */
  readonly supersedes: Uint8Array
  /** Host name; with a leading "." every name below that suffix. */
  readonly name: string
  readonly prefixes: readonly Prefix[]
  readonly groups: readonly number[]
  readonly hosted: readonly HostedEntry[]
  /** Kind-specific; empty for the kinds used so far. */
  readonly tail: Uint8Array
}

/** A certificate as received: the exact bytes that were signed, and the signature over them. */
export type SignedCertificate = {
  readonly certificate: Certificate
  /** Everything before the signature, as received. */
  readonly body: Uint8Array
  /** Ed25519 over "NTM1 cert" ‖ body. */
  readonly signature: Uint8Array
  /** body ‖ signature. */
  readonly bytes: Uint8Array
}
