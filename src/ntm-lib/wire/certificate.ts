import type { Fingerprint } from '../addr/ids.ts'
import type { Prefix } from '../addr/prefix.ts'
import type { VirtualPair } from '../addr/virtual.ts'
import { ascii, concat } from '../base/bytes.ts'
import { type Decoded, ok, refuse } from '../base/decoded.ts'
import { invariant } from '../base/invariant.ts'
import { fingerprintField, ip4, ip6, prefix } from './address-field.ts'
import {
  bytes16,
  type Field,
  type Fields,
  fixed,
  list8,
  oneOf,
  readFields,
  record,
  text8,
  u16,
  u32,
  u64,
  writeFields,
} from './field.ts'
import { Reader } from './reader.ts'
import { Writer } from './writer.ts'

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

/** Largest certificate with its signature: a chain of two fits a few datagrams. */
export const MAX_CERTIFICATE_BYTES = 1000
export const SIGNATURE_BYTES = 64
/** "NTMC" and the layout version. */
export const CERTIFICATE_MAGIC: Uint8Array = Uint8Array.of(...ascii('NTMC'), 1)

/** The bytes to be signed, without the signature. A certificate that cannot fit `MAX_CERTIFICATE_BYTES` is a `BugError`. */
export function encodeCertificateBody(c: Certificate): Uint8Array {
  const w = new Writer()
  w.bytes(CERTIFICATE_MAGIC)
  writeFields(certificateFields, w, c)
  invariant(w.length + SIGNATURE_BYTES <= MAX_CERTIFICATE_BYTES, `certificate of ${w.length} + 64 bytes is too large`)
  return w.done()
}

/** Total. Checks the shape only: signature, validity and narrowing are `crypto/`'s. */
export function decodeSignedCertificate(bytes: Uint8Array): Decoded<SignedCertificate> {
  if (bytes.length > MAX_CERTIFICATE_BYTES) return refuse('long')
  const r = new Reader(bytes)
  const magic = r.bytes(CERTIFICATE_MAGIC.length)
  if (magic.some((b, i) => b !== CERTIFICATE_MAGIC[i])) r.refuse('bad-version')
  const certificate = readFields(certificateFields, r) as Certificate
  const signature = r.bytes(SIGNATURE_BYTES).slice()
  r.end()
  if (r.fault !== null) return refuse(r.fault)
  const own = new Uint8Array(bytes)
  return ok({ certificate, body: own.subarray(0, -SIGNATURE_BYTES), signature, bytes: own })
}

export function joinCertificate(body: Uint8Array, signature: Uint8Array): Uint8Array {
  invariant(signature.length === SIGNATURE_BYTES, `a signature is 64 bytes, got ${signature.length}`)
  return concat(body, signature)
}

const hostedEntry = record<HostedEntry>('hosted-entry', {
  name: text8(),
  vip4: ip4,
  vip6: ip6,
  groups: list8(u32),
})

/** In wire order, between magic and signature. */
export const certificateFields = {
  kind: oneOf<CertificateKind>({
    issuer: 1,
    grant: 2,
    membership: 3,
    'cross-zone': 4,
    revocations: 5,
    descriptor: 6,
  }),
  roles: u16,
  serial: u64,
  issued: u64,
  expires: u64,
  signer: fixed(8),
  subject: fixed(32),
  fingerprint: fingerprintField,
  supersedes: fixed(16),
  name: text8(),
  prefixes: list8(prefix),
  groups: list8(u32),
  hosted: list8(hostedEntry),
  tail: bytes16,
} satisfies Fields<Certificate> & { readonly kind: Field<CertificateKind> }
