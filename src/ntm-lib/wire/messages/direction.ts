import type { NodeId } from '../../addr/ids.ts'
import type { Ip } from '../../addr/ip.ts'
import { unreachable } from '../../base/invariant.ts'
import { ip, nodeIdField } from '../address-field.ts'
import {
  bytes16,
  type Field,
  type Fields,
  fixed,
  list8,
  list16,
  oneOf,
  optional,
  record,
  text8,
  u8,
  u32,
  where,
} from '../field.ts'
import { type Candidate, candidate, chain, type PathRole, pathRole, type Target, target } from './common.ts'
import { type RelayLeg, relayLeg } from './relay.ts'

/** What a Direction Request asks for: a name, a virtual address somebody remembered, or a node. */
export type Sought =
  | { readonly by: 'name'; readonly name: string }
  | { readonly by: 'vip'; readonly vip: Ip }
  | { readonly by: 'node'; readonly node: NodeId }
  /** The name of a box of the network, in whatever zone; never an ordinary server's. */
  | { readonly by: 'peer'; readonly name: string }

/** `moved`: one of the ends is elsewhere now, or nothing comes from the peer any more. */
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

/** Which way the coordinator expects to work; the ends try the other one when it does not. */
export type Way = 'direct' | 'relay'

/** `ice`: ends of a path through a relay look for a direct way in the background and take it; `seed`: they stay (SEED 002 §3.3). */
export type Optimise = 'seed' | 'ice'

/** Where the peer of a path is, and how to get there. */
export type Whereabouts = {
  /** Where it may be sent to without a relay. */
  readonly peerCandidates: readonly Candidate[]
  /** Rises with every change of the peer's location; older whereabouts than those known are dropped. */
  readonly peerLocationVersion: number
  readonly way: Way
  readonly optimise: Optimise
  /** Our leg of a relay both ends were told of; null: there is none. With way `direct` it is for when that fails, and for moves. */
  readonly relay: RelayLeg | null
}

/** Everything one end needs to open or accept a path. */
export type Route = Whereabouts & {
  /** Encoded contract, `wire/contract.ts`; both ends hash these bytes. */
  readonly contract: Uint8Array
  /** 32 bytes. */
  readonly pathSecret: Uint8Array
  /** The peer's certificates, leaf first, without the root. */
  readonly peerChain: readonly Uint8Array[]
  readonly youAre: PathRole
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

/** Coordinator → end, kind 0x0B: the peer of a path is elsewhere, or its way changed. The response has no body. SEED 002 §4. */
export type PeerMoved = {
  readonly kind: 'peer-moved'
  readonly contractHash: Uint8Array
  readonly whereabouts: Whereabouts
}
export type PeerMovedResponse = { readonly kind: 'peer-moved-response' }

/**
 * Coordinator → initiator, response to 0x04, sent after the acceptor's Path Accept: the seeds' Route Direction to the
 * initiator. `route` is null when the pair's contract still stands; `contractHash` names it in both cases.
 */
export type DirectionResponse = {
  readonly kind: 'direction-response'
  readonly contractHash: Uint8Array
  readonly route: Route | null
  /** Where the peer is now, when the contract stands and that was asked (why = moved); null otherwise. */
  readonly moved: Whereabouts | null
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

export const sought: Field<Sought> = {
  type: 'u8: 0 name (text8), 1 virtual address (ip), 2 Node ID, 3 name of a box (text8)',
  size: '1 + n',
  read: (r) => {
    const by = r.u8()
    if (by === 0) return { by: 'name', name: soughtName.read(r) }
    if (by === 1) return { by: 'vip', vip: ip.read(r) }
    if (by === 3) return { by: 'peer', name: soughtName.read(r) }
    if (by > 3) r.refuse('bad-value')
    return { by: 'node', node: nodeIdField.read(r) }
  },
  write: (w, v) => {
    switch (v.by) {
      case 'name':
        w.u8(0)
        return soughtName.write(w, v.name)
      case 'vip':
        w.u8(1)
        return ip.write(w, v.vip)
      case 'node':
        w.u8(2)
        return nodeIdField.write(w, v.node)
      case 'peer':
        w.u8(3)
        return soughtName.write(w, v.name)
      default:
        unreachable(v)
    }
  },
}
const soughtName = text8()
const families = where(u8, '0–3', (v) => v <= 3)
export const directionWhy = oneOf<DirectionWhy>({ dns: 1, data: 2, moved: 3, reset: 4, renew: 5 })

export const directionRequest = {
  sought,
  why: directionWhy,
  sources: list16(ip),
  lost: fixed(32),
} satisfies Fields<DirectionRequest>

const wayFields = {
  peerCandidates: list8(candidate),
  peerLocationVersion: u32,
  way: oneOf<Way>({ direct: 0, relay: 1 }),
  optimise: oneOf<Optimise>({ seed: 0, ice: 1 }),
  relay: optional(relayLeg),
} satisfies Fields<Whereabouts>

const whereabouts = record<Whereabouts>('whereabouts', wayFields)

export const route = record<Route>('route', {
  contract: bytes16,
  pathSecret: fixed(32),
  peerChain: chain,
  youAre: pathRole,
  ...wayFields,
})

export const routeDirection = { route, target: optional(target) } satisfies Fields<RouteDirection>

export const pathAccept = { ttlSeconds: u32, families } satisfies Fields<PathAccept>

export const directionResponse = {
  contractHash: fixed(32),
  route: optional(route),
  moved: optional(whereabouts),
  target: optional(target),
} satisfies Fields<DirectionResponse>

export const peerMoved = { contractHash: fixed(32), whereabouts } satisfies Fields<PeerMoved>

export const peerMovedResponse = {} satisfies Fields<PeerMovedResponse>

export const pathExtend = {
  contractHash: fixed(32),
  target: optional(target),
  leaseSeconds: u32,
} satisfies Fields<PathExtend>

/** Also the reasons of the close frame. */
export const closeReason = oneOf<PathClose['reason']>({ expired: 1, revoked: 2, replaced: 3, unused: 4, lost: 5 })

export const pathClose = { contractHash: fixed(32), reason: closeReason } satisfies Fields<PathClose>

export const pathCloseResponse = {} satisfies Fields<PathCloseResponse>
