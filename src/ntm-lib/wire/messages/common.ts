import type { Endpoint } from '../../addr/endpoint.ts'
import type { Ip4 } from '../../addr/ip4.ts'
import type { Ip6 } from '../../addr/ip6.ts'

/** Where a node may be reached. Higher priority is tried first. */
export type Candidate = {
  readonly type: 'local' | 'mapped' | 'relay'
  readonly endpoint: Endpoint
  readonly priority: number
}

/** A host behind a bridge, as the bridge names it to its coordinator: 8 opaque bytes, stable for one link address. */
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
