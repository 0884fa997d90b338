import type { Endpoint } from '../../addr/endpoint.ts'
import type { NodeId, PathId } from '../../addr/ids.ts'
import { endpoint, nodeIdField, pathIdField } from '../address-field.ts'
import { fourIds } from '../contract.ts'
import { type Fields, fixed, list8, record, u8, u16, u32, where } from '../field.ts'

/** A relay that a node may measure its way to; the coordinator names those it would choose from. */
export type RelayOffer = { readonly relay: NodeId; readonly endpoints: readonly Endpoint[] }

/** What a node measured: its best round trip to one relay. */
export type RelayReading = {
  readonly relay: NodeId
  /** At most 65,535; 65,535 = it did not answer. */
  readonly rttMillis: number
}

/** One end's part of a path through a relay. SEED 002 §4, SEED 003 §3.3. */
export type RelayLeg = {
  readonly relay: NodeId
  /** Where the relay listens, of both families where it has them. */
  readonly endpoints: readonly Endpoint[]
  /** 32 bytes: proves to the relay that this end may bind its leg. Opens no packet. */
  readonly key: Uint8Array
  readonly leaseSeconds: number
}

/** Coordinator → relay, kind 0x07: forward between the two ends of this path. Sent before either end is told. SEED 002 §3.3. */
export type RelayDirection = {
  readonly kind: 'relay-direction'
  /** The contract's; any of them names the path on either leg. */
  readonly pathIds: readonly [PathId, PathId, PathId, PathId]
  /** 32 bytes each: the legs of the opener (D = 0) and of the acceptor (D = 1). */
  readonly openerKey: Uint8Array
  readonly acceptorKey: Uint8Array
  /** Most that is forwarded for this path, both directions together; 0 = no limit but the relay's own. */
  readonly kbitPerSecond: number
  readonly packetsPerSecond: number
  readonly leaseSeconds: number
}

/** Relay → coordinator, response to 0x07 (kind 0x08). */
export type RelayAccept = {
  readonly kind: 'relay-accept'
  readonly endpoints: readonly Endpoint[]
  readonly loadPercent: number
}

/** Coordinator → relay, kind 0x10: forget a path. Unknown ids are no fault. The response has no body. */
export type RelayRelease = { readonly kind: 'relay-release'; readonly pathId: PathId }
export type RelayReleaseResponse = { readonly kind: 'relay-release-response' }

export const percent = where(u8, '0–100', (v) => v <= 100)

export const relayOffer = record<RelayOffer>('relay-offer', { relay: nodeIdField, endpoints: list8(endpoint) })
export const relayReading = record<RelayReading>('relay-reading', { relay: nodeIdField, rttMillis: u16 })
export const relayLeg = record<RelayLeg>('relay-leg', {
  relay: nodeIdField,
  endpoints: list8(endpoint),
  key: fixed(32),
  leaseSeconds: u32,
})

export const relayDirection = {
  pathIds: fourIds,
  openerKey: fixed(32),
  acceptorKey: fixed(32),
  kbitPerSecond: u32,
  packetsPerSecond: u32,
  leaseSeconds: u32,
} satisfies Fields<RelayDirection>

export const relayAccept = { endpoints: list8(endpoint), loadPercent: percent } satisfies Fields<RelayAccept>

export const relayRelease = { pathId: pathIdField } satisfies Fields<RelayRelease>

export const relayReleaseResponse = {} satisfies Fields<RelayReleaseResponse>
