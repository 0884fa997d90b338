import type { RelayPlaneConfig } from './relay-words.ts'
import type { RoleKind, RoleParts, RolePlane } from './role-plane.ts'
import type { TtPlaneConfig } from './tt-words.ts'
import type { TunPlaneConfig } from './tun-plane.ts'

/** Starts the role plane of a kind; loaded only now, for a terminator needs no bridge. */
export async function startRole(kind: RoleKind, config: unknown, parts: RoleParts<unknown>): Promise<StartedRole> {
  switch (kind) {
    case 'tun':
      return (await import('./tun-plane.ts')).startTunPlane(config as TunPlaneConfig, parts)
    case 'tt':
      return (await import('./tt-plane.ts')).startTtPlane(config as TtPlaneConfig, parts)
    case 'bridge':
      return (await import('./bridge-plane.ts')).startBridgePlane(null, parts)
    case 'relay':
      return (await import('./relay-plane.ts')).startRelayPlane(config as RelayPlaneConfig, parts as RoleParts<never>)
    default:
      return kind satisfies never
  }
}

export type StartedRole = { readonly role: RolePlane<unknown>; readonly started?: unknown }
