import type { Endpoint } from '../../addr/endpoint.ts'
import type { Ip } from '../../addr/ip.ts'
import type { VirtualPair } from '../../addr/virtual.ts'
import { endpoint, ip, ip4, ip6 } from '../address-field.ts'
import { type Fields, fixed, list8, list16, optional, record, u8, u32, where } from '../field.ts'
import { type Candidate, candidate, chain } from './common.ts'
import { type DirectionWhy, directionWhy, type Sought, sought } from './direction.ts'
import { type RelayReading, relayReading } from './relay.ts'

/**
 * Coordinator → coordinator, kind 0x11: the first sealed request of a caller that is no member, and its keep-alive. The
 * chain is the coordinator's own, signed by the root; its name without the first label is its zone. SEED 002 §3.
 */
export type CoordinatorHello = {
  readonly kind: 'coordinator-hello'
  readonly chain: readonly Uint8Array[]
  /** Where the caller listens itself. */
  readonly endpoints: readonly Endpoint[]
}
/** The called coordinator's own chain. */
export type CoordinatorHelloResponse = {
  readonly kind: 'coordinator-hello-response'
  readonly chain: readonly Uint8Array[]
}

/** A box as its own coordinator tells another one: who it is, what it may be inside, and where. */
export type ForeignEnd = {
  /** Its certificates, leaf first, without the root. */
  readonly chain: readonly Uint8Array[]
  /** Its own virtual pair, then those of the hosts behind it. */
  readonly pairs: readonly VirtualPair[]
  /** What it names itself. */
  readonly candidates: readonly Candidate[]
  /** Source of its newest datagram, as its coordinator sees it. */
  readonly observed: Endpoint
  /** Where echoes came back from, one of each family. */
  readonly confirmed4: Endpoint | null
  readonly confirmed6: Endpoint | null
  readonly locationVersion: number
  /** Confirmed changes since that version. */
  readonly changes: number
  readonly relays: readonly RelayReading[]
}

/**
 * Coordinator → correspondent's coordinator, kind 0x12: a Direction Request of a box of ours for one of yours. Answered by
 * a Direction Response, which goes on to the initiator as it is. SEED 002 §3, Fig. 4.
 */
export type ForeignDirection = {
  readonly kind: 'foreign-direction'
  readonly sought: Sought
  readonly why: DirectionWhy
  readonly sources: readonly Ip[]
  readonly lost: Uint8Array
  readonly initiator: ForeignEnd
}

/** Initiator's coordinator → the one that made the contract, kind 0x13: this end of it is elsewhere. The response has no body. */
export type ForeignMoved = {
  readonly kind: 'foreign-moved'
  readonly contractHash: Uint8Array
  readonly end: ForeignEnd
}
export type ForeignMovedResponse = { readonly kind: 'foreign-moved-response' }

export const coordinatorHello = { chain, endpoints: list8(endpoint) } satisfies Fields<CoordinatorHello>

export const coordinatorHelloResponse = { chain } satisfies Fields<CoordinatorHelloResponse>

const pairs = where(
  list16(record<VirtualPair>('pair', { vip4: ip4, vip6: ip6 })),
  '1–129',
  (v) => v.length >= 1 && v.length <= 129,
)

const foreignEnd = record<ForeignEnd>('foreign-end', {
  chain,
  pairs,
  candidates: list8(candidate),
  observed: endpoint,
  confirmed4: optional(endpoint),
  confirmed6: optional(endpoint),
  locationVersion: u32,
  changes: u8,
  relays: list8(relayReading),
})

export const foreignDirection = {
  sought,
  why: directionWhy,
  sources: list16(ip),
  lost: fixed(32),
  initiator: foreignEnd,
} satisfies Fields<ForeignDirection>

export const foreignMoved = { contractHash: fixed(32), end: foreignEnd } satisfies Fields<ForeignMoved>

export const foreignMovedResponse = {} satisfies Fields<ForeignMovedResponse>
