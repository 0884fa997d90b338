import type { Fingerprint, NodeId, PathId } from '../addr/ids.ts'
import type { Prefix } from '../addr/prefix.ts'
import { type Decoded, ok, refuse } from '../base/decoded.ts'
import { invariant } from '../base/invariant.ts'
import { fingerprintField, nodeIdField, pathIdField, prefix } from './address-field.ts'
import { type Field, type Fields, fixed, list16, readFields, u8, u16, u32, writeFields } from './field.ts'
import { Reader } from './reader.ts'
import { Writer } from './writer.ts'

/** What both ends of a path agree to; its hash is in the handshake's prologue. `docs/wire.md`, Contract. */
export type Contract = {
  /** Current id first; a mover takes the next one. All four name this path at both ends. */
  readonly pathIds: readonly [PathId, PathId, PathId, PathId]
  readonly fingerprint: Fingerprint
  readonly opener: NodeId
  readonly acceptor: NodeId
  /** H(encoded membership certificate), 32 bytes each. */
  readonly openerMembership: Uint8Array
  readonly acceptorMembership: Uint8Array
  /** Inner sources the opener may use. */
  readonly openerAllowed: readonly Prefix[]
  /** Inner sources the acceptor may use. */
  readonly acceptorAllowed: readonly Prefix[]
  /** Bit 0 ChaCha20-Poly1305, bit 1 AES-128-GCM, bit 2 AES-256-GCM. */
  readonly suiteMask: number
  readonly leaseSeconds: number
  readonly version: number
}

/** First byte of an encoded contract. */
export const CONTRACT_LAYOUT = 1
/** Two bridges with the most hosts each, two prefixes per host, fit; so does the route that carries it. */
export const MAX_CONTRACT_BYTES = 6400

/** Both ends hash exactly these bytes. More of them than `MAX_CONTRACT_BYTES` is a `BugError`. */
export function encodeContract(c: Contract): Uint8Array {
  const w = new Writer()
  w.u8(CONTRACT_LAYOUT)
  writeFields(contractFields, w, c)
  invariant(w.length <= MAX_CONTRACT_BYTES, `contract of ${w.length} bytes, at most ${MAX_CONTRACT_BYTES}`)
  return w.done()
}

/** Total; every contract has one encoding. */
export function decodeContract(bytes: Uint8Array): Decoded<Contract> {
  if (bytes.length > MAX_CONTRACT_BYTES) return refuse('long')
  const r = new Reader(bytes)
  if (r.u8() !== CONTRACT_LAYOUT) r.refuse('bad-version')
  const contract = readFields(contractFields, r)
  r.end()
  return r.fault === null ? ok(contract as Contract) : refuse(r.fault)
}

export type FourIds = Contract['pathIds']

/** The ids of one path. */
export const fourIds: Field<FourIds> = {
  type: '4 × u48, not 0, all different',
  size: '24',
  read: (r) => {
    const ids: FourIds = [pathIdField.read(r), pathIdField.read(r), pathIdField.read(r), pathIdField.read(r)]
    if (r.fault === null && new Set(ids).size !== 4) r.refuse('bad-value')
    return ids
  },
  write: (w, v) => {
    for (const id of v) pathIdField.write(w, id)
  },
}

const allowed = list16(prefix)

/** In wire order, after the layout byte. */
export const contractFields = {
  pathIds: fourIds,
  fingerprint: fingerprintField,
  opener: nodeIdField,
  acceptor: nodeIdField,
  openerMembership: fixed(32),
  acceptorMembership: fixed(32),
  openerAllowed: allowed,
  acceptorAllowed: allowed,
  suiteMask: u16,
  leaseSeconds: u32,
  version: u8,
} satisfies Fields<Contract>
