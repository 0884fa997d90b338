import type { Endpoint } from '#ntm-lib/addr/endpoint.ts'
import type { Instant, Millis } from '#ntm-lib/base/time.ts'
import type { Request, Response } from '#ntm-lib/wire/message.ts'

/** Where a coordinator is said to be, and the static key it is said to have. Proves nothing: the link's chains do. */
export type Lead = { readonly endpoints: readonly Endpoint[]; readonly key: Uint8Array }

export type LinksOut =
  | { readonly out: 'send'; readonly to: Endpoint; readonly bytes: Uint8Array }
  /** Look this name's coordinator up in DNS and say so with `found`. */
  | { readonly out: 'find'; readonly name: string }
  | { readonly out: 'event'; readonly event: LinkEvent }

/** What links tell the coordinator. */
export type LinkEvent =
  | { readonly event: 'response'; readonly tag: string; readonly zone: string; readonly message: Response }
  | { readonly event: 'silent'; readonly tag: string }
  /** What came of `seek`: the zone whose coordinator answers for the name, or null. */
  | { readonly event: 'sought'; readonly name: string; readonly zone: string | null }

/** The other zones' coordinators as ours uses them. */
export interface OtherZones {
  /** Zones whose names are NTM names, as configured or proven. */
  readonly zones: readonly string[]
  /** The zone of a name; null when no coordinator of it is known. */
  zoneOf(name: string): string | null
  /** One `response` or `silent` event with this tag follows. False when no coordinator of the zone is known. */
  request(zone: string, tag: string, message: Request, patience: Millis, now: Instant): boolean
  /** Finds the coordinator of a name that belongs to no known zone; one `sought` event follows. */
  seek(name: string, now: Instant): void
  /** Another coordinator proved itself here and told where it listens. */
  met(zone: string, lead: Lead, now: Instant): void
}

/** A coordinator without any: everything outside its own zone is an ordinary server's. */
export const NO_OTHER_ZONES: OtherZones = {
  zones: [],
  zoneOf: () => null,
  request: () => false,
  seek: () => {},
  met: () => {},
}

/** Whether a name is the zone's or below it. */
export const covers = (zone: string, name: string): boolean => name === zone || name.endsWith(`.${zone}`)
/** Whether one of these zones lies in the other. */
export const overlapping = (a: string, b: string): boolean => covers(a, b) || covers(b, a)
