import type { RelayPlaneConfig } from './relay-words.ts'
import type { RoleKind, RoleParts, RolePlane } from './role-plane.ts'
import type { TtPlaneConfig } from './tt-words.ts'
import type { TunPlaneConfig } from './tun-plane.ts'

/** The role planes, each loaded on demand: a terminator needs no bridge. */
export const PLANES = {
  tun: () => import('./tun-plane.ts'),
  tt: () => import('./tt-plane.ts'),
  bridge: () => import('./bridge-plane.ts'),
  relay: () => import('./relay-plane.ts'),
} as const satisfies Readonly<Record<RoleKind, () => Promise<unknown>>>

/** Starts the role plane of a kind. */
export async function startRole(kind: RoleKind, config: unknown, parts: RoleParts<unknown>): Promise<StartedRole> {
  switch (kind) {
    case 'tun':
      return (await PLANES.tun()).startTunPlane(config as TunPlaneConfig, parts)
    case 'tt':
      return (await PLANES.tt()).startTtPlane(config as TtPlaneConfig, parts)
    case 'bridge':
      return (await PLANES.bridge()).startBridgePlane(null, parts)
    case 'relay':
      return (await PLANES.relay()).startRelayPlane(config as RelayPlaneConfig, parts as RoleParts<never>)
    default:
      return kind satisfies never
  }
}

export type StartedRole = { readonly role: RolePlane<unknown>; readonly started?: unknown }
