import type { Fingerprint, NodeId, PathId } from '../addr/ids.ts'
import type { Prefix } from '../addr/prefix.ts'

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
