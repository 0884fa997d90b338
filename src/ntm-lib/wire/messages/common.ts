import type { Endpoint } from '../../addr/endpoint.ts'
import type { Ip4 } from '../../addr/ip4.ts'
import type { Ip6 } from '../../addr/ip6.ts'
import { endpoint, ip4, ip6 } from '../address-field.ts'
import { bytes16, clipped8, fixed, list8, list16, oneOf, record, text8, u8, u32, where } from '../field.ts'

/** From this priority on the coordinator has seen the node there itself (an echo came back); below it is what the node says. */
export const SEEN_PRIORITY = 150

/** Where a node may be reached. Higher priority is tried first. */
export type Candidate = {
  readonly type: 'local' | 'mapped' | 'relay'
  readonly endpoint: Endpoint
  readonly priority: number
}

/** A host behind a bridge, as the bridge names it to its coordinator: 8 opaque bytes, stable for one link address. A longer name is cut. */
export type HostClaim = { readonly host: Uint8Array; readonly name: string }

/** The virtual pair the coordinator keeps for one host behind a bridge. */
export type HostGrant = {
  readonly host: Uint8Array
  readonly vip4: Ip4
  readonly vip6: Ip6
}

/**
 * What a direction is for. `ttlSeconds` and `families` are 0 towards the acceptor, which resolves the name itself;
 * towards the initiator they are what the acceptor answered. `families`: bit 0 = the server has IPv4, bit 1 = IPv6.
 */
export type Target = {
  readonly name: string
  readonly vip4: Ip4
  readonly vip6: Ip6
  readonly ttlSeconds: number
  readonly families: number
}

/** Which end of a path the receiver of a direction is. The opener sends the Tunnel Request. */
export type PathRole = 'opener' | 'acceptor'

/** Hosts behind one bridge that fit a message of 8 parts, each with the longest name. A bridge claims no more. */
export const MAX_HOSTS = 120
/** One DNS label. RFC 1035 §2.3.4. */
export const MAX_HOST_NAME_BYTES = 63

export const candidate = record<Candidate>('candidate', {
  type: oneOf({ local: 1, mapped: 2, relay: 3 }),
  endpoint,
  priority: u32,
})

export const hostClaims = where(
  list16(record<HostClaim>('host-claim', { host: fixed(8), name: clipped8(MAX_HOST_NAME_BYTES) })),
  `at most ${MAX_HOSTS}`,
  (v) => v.length <= MAX_HOSTS,
)

export const hostGrants = where(
  list16(record<HostGrant>('host-grant', { host: fixed(8), vip4: ip4, vip6: ip6 })),
  `at most ${MAX_HOSTS}`,
  (v) => v.length <= MAX_HOSTS,
)

export const target = record<Target>('target', {
  name: text8(),
  vip4: ip4,
  vip6: ip6,
  ttlSeconds: u32,
  families: where(u8, '0–3', (v) => v <= 3),
})

export const pathRole = oneOf<PathRole>({ opener: 0, acceptor: 1 })

/** Certificates, leaf first, without the root. */
export const chain = list8(bytes16)
