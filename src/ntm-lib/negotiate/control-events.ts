import type { Endpoint } from '../addr/endpoint.ts'
import type { NodeId, SessionId } from '../addr/ids.ts'
import type { Request, Response } from '../wire/message.ts'

/** The far end of one control session, as the coordinator sees it. */
export type ControlPeer = {
  readonly session: SessionId
  readonly node: NodeId
  /** The peer's static X25519 public key, 32 bytes; proven by the handshake. */
  readonly staticKey: Uint8Array
  /** 8 random bytes of the peer's start. */
  readonly bootId: Uint8Array
  /** 8-byte id of the enrolment token when the session was opened with one; null for a member's session. */
  readonly tokenId: Uint8Array | null
  /** Source of the newest authenticated datagram. */
  readonly endpoint: Endpoint
}

/** Names one request that waits for its response; opaque to its owner. */
export type TransactionKey = string

/** What the coordinator's control sessions hand to the coordinator. */
export type ControlServerEvent =
  | { readonly event: 'established'; readonly peer: ControlPeer }
  /** To be answered once with `respond(transaction, …)`; duplicates are answered from the cache without an event. */
  | {
      readonly event: 'request'
      readonly peer: ControlPeer
      readonly transaction: TransactionKey
      readonly message: Request
    }
  /** Answer to a request of ours; `message` may be a Refusal. */
  | { readonly event: 'response'; readonly peer: ControlPeer; readonly tag: string; readonly message: Response }
  /** The peer did not answer a request of ours within its time. */
  | { readonly event: 'silent'; readonly node: NodeId; readonly tag: string }
  /** The peer speaks from another endpoint now: what was sent to the old one may be repeated to the new one. */
  | { readonly event: 'moved'; readonly peer: ControlPeer }
  | { readonly event: 'gone'; readonly peer: ControlPeer }

/** What the sessions must know about who may speak; the coordinator implements it over its store. */
export interface ControlPolicy {
  /** Whether a node with this static key, which says it has these roles, may hold a session. */
  admits(node: NodeId, staticKey: Uint8Array, roles: number): 'yes' | 'unknown' | 'revoked'
  /** The 32-byte pre-shared key of an unused (or this node's own) enrolment token; null when there is none. */
  tokenPsk(tokenId: Uint8Array): Uint8Array | null
}
