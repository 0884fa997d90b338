import type { Endpoint } from '../addr/endpoint.ts'
import type { Via } from '../addr/via.ts'

/** One way to the peer: out of one of our own, to one of the places where it may be heard. */
export type WayTo = {
  readonly via: Via | null
  readonly to: Endpoint
  readonly kind: 'direct' | 'relay'
}

/** The ways of one path. */
export type Ways = { readonly list: readonly WayTo[] }
