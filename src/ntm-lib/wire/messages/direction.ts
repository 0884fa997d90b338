import type { NodeId } from '../../addr/ids.ts'
import type { Ip } from '../../addr/ip.ts'
import type { Candidate, PathRole, Target } from './common.ts'

/** What a Direction Request asks for: a name, a virtual address somebody remembered, or a node. */
export type Sought =
  | { readonly by: 'name'; readonly name: string }
  | { readonly by: 'vip'; readonly vip: Ip }
  | { readonly by: 'node'; readonly node: NodeId }

export type DirectionWhy = 'dns' | 'data' | 'moved' | 'reset' | 'renew'

/** Node → coordinator, kind 0x04. SEED 003 §3.3. */
export type DirectionRequest = {
  readonly kind: 'direction-request'
  readonly sought: Sought
  readonly why: DirectionWhy
  /** Virtual addresses of the hosts that will use the path; they must be in the contract's allowed sources. */
  readonly sources: readonly Ip[]
  /** Hash of the contract the asker still holds with that peer and cannot use (why = reset); 32 zero bytes otherwise. */
  readonly lost: Uint8Array
}

/** Everything one end needs to open or accept a path. */
export type Route = {
  /** Encoded contract, `wire/contract.ts`; both ends hash these bytes. */
  readonly contract: Uint8Array
  /** 32 bytes. */
  readonly pathSecret: Uint8Array
  /** The peer's certificates, leaf first, without the root. */
  readonly peerChain: readonly Uint8Array[]
  readonly peerCandidates: readonly Candidate[]
  readonly youAre: PathRole
  readonly peerLocationVersion: number
}

/** Coordinator → acceptor, kind 0x05: expect a Tunnel Request on this path. SEED 000 §4.2, SEED 003 §3.3. */
export type RouteDirection = {
  readonly kind: 'route-direction'
  readonly route: Route
  /** Ordinary server the terminator is to resolve; null between two nodes. */
  readonly target: Target | null
}

/**
 * Acceptor → coordinator, response to 0x05 and 0x09 (kind 0x06 on the wire, Path Accept). `ttlSeconds` and `families`
 * tell what the terminator's own resolution found; both 0 between two nodes.
 */
export type PathAccept = {
  readonly kind: 'path-accept'
  readonly ttlSeconds: number
  readonly families: number
}

/**
 * Coordinator → initiator, response to 0x04, sent after the acceptor's Path Accept: the seeds' Route Direction to the
 * initiator. `route` is null when the pair's contract still stands; `contractHash` names it in both cases.
 */
export type DirectionResponse = {
  readonly kind: 'direction-response'
  readonly contractHash: Uint8Array
  readonly route: Route | null
  readonly target: Target | null
}

/** Coordinator → terminator, kind 0x09: one more name on a standing path, or a longer lease. Answered by Path Accept. */
export type PathExtend = {
  readonly kind: 'path-extend'
  readonly contractHash: Uint8Array
  readonly target: Target | null
  readonly leaseSeconds: number
}

/** Either way, kind 0x0A: forget the path now. The response has no body. */
export type PathClose = {
  readonly kind: 'path-close'
  readonly contractHash: Uint8Array
  readonly reason: 'expired' | 'revoked' | 'replaced' | 'unused' | 'lost'
}
export type PathCloseResponse = { readonly kind: 'path-close-response' }
