import type { Endpoint } from '../../addr/endpoint.ts'
import type { Ip4 } from '../../addr/ip4.ts'
import type { Ip6 } from '../../addr/ip6.ts'
import type { Prefix } from '../../addr/prefix.ts'
import { endpoint, ip4, ip6, prefix } from '../address-field.ts'
import { bytes16, type Fields, fixed, list8, text8, u8, u16, u32, u64 } from '../field.ts'
import { type Candidate, candidate, type HostClaim, type HostGrant, hostClaims, hostGrants } from './common.ts'
import { percent, type RelayOffer, type RelayReading, relayOffer, relayReading } from './relay.ts'

/**
 * Node → coordinator, kind 0x01: I am here. Kind 0x02 (NTM Update) has the same body: new location, and the periodic
 * keep-alive. SEED 003 §3.2, SEED 002 §3.
 */
export type Registration = {
  readonly kind: 'registration' | 'ntm-update'
  readonly name: string
  /** 8 random bytes of this start of the program. */
  readonly bootId: Uint8Array
  /** Rises by one with each change of the candidates. */
  readonly locationVersion: number
  readonly versionMin: number
  readonly versionMax: number
  readonly features: number
  /** Underlay MTU in bytes. */
  readonly mtuBytes: number
  readonly candidates: readonly Candidate[]
  readonly hosts: readonly HostClaim[]
  readonly revocationVersion: number
  /** How busy a relay or terminator is, 0 to 100; 0 of all others. */
  readonly loadPercent: number
  /** What the node measured of the relays it was offered. */
  readonly relays: readonly RelayReading[]
}

/** Coordinator → node: what it saw and what it keeps for the node. Answers kinds 0x01 and 0x02. */
export type RegistrationResponse = {
  readonly kind: 'registration-response' | 'ntm-update-response'
  /** Source of the datagram as the coordinator saw it: behind a NAT the mapped address and port. */
  readonly observed: Endpoint
  /** To be sent back in a Location Confirm; until then the observed address does not count. */
  readonly echoNonce: Uint8Array
  readonly vip4: Ip4
  readonly vip6: Ip6
  readonly hosts: readonly HostGrant[]
  /** Every range of the network's virtual plan, so that an edge keeps them off the real network. */
  readonly virtual: readonly Prefix[]
  /** Zones whose names are NTM names. */
  readonly zones: readonly string[]
  /** The coordinator's certificate chain, leaf first. */
  readonly descriptors: readonly Uint8Array[]
  /** Relays to be measured. */
  readonly relays: readonly RelayOffer[]
  readonly keepAliveSeconds: number
  readonly leaseSeconds: number
}

/** Node → coordinator, kind 0x03: the echo; only now the mapped address counts. The response has no body. */
export type LocationConfirm = {
  readonly kind: 'location-confirm'
  readonly echoNonce: Uint8Array
}
export type LocationConfirmResponse = {
  readonly kind: 'location-confirm-response'
}

export const registration = {
  name: text8(),
  bootId: fixed(8),
  locationVersion: u32,
  versionMin: u8,
  versionMax: u8,
  features: u16,
  mtuBytes: u16,
  candidates: list8(candidate),
  hosts: hostClaims,
  revocationVersion: u64,
  loadPercent: percent,
  relays: list8(relayReading),
} satisfies Fields<Registration>

export const registrationResponse = {
  observed: endpoint,
  echoNonce: fixed(8),
  vip4: ip4,
  vip6: ip6,
  hosts: hostGrants,
  virtual: list8(prefix),
  zones: list8(text8()),
  descriptors: list8(bytes16),
  relays: list8(relayOffer),
  keepAliveSeconds: u16,
  leaseSeconds: u32,
} satisfies Fields<RegistrationResponse>

export const locationConfirm = { echoNonce: fixed(8) } satisfies Fields<LocationConfirm>

export const locationConfirmResponse = {} satisfies Fields<LocationConfirmResponse>
