import type { NodeId } from '#ntm-lib/addr/ids.ts'
import type { VirtualPair } from '#ntm-lib/addr/virtual.ts'
import { hex } from '#ntm-lib/base/hex.ts'
import type { CoordinatorStore, HostRow, Member } from '#ntm-lib/ports/coordinator-store.ts'
import { ROLE_BRIDGE, ROLE_NODE } from '#ntm-lib/wire/certificate.ts'
import type { Presence } from './presence.ts'

/** What a name of the zone, or a virtual address, stands for: a box, or one host behind it. */
export type Named = { readonly member: Member; readonly name: string; readonly pair: VirtualPair }

export type HostWorld = {
  readonly store: Pick<CoordinatorStore, 'memberByName' | 'hostsOf'>
  readonly presences: { get(node: NodeId): Presence | null }
}

/**
 * Whom a name leads to; null when nobody has it. A bridge's own name leads to the host behind it: the only one, or the
 * first that was given its addresses and is still there. `<host>.<bridge>` leads to the host of that name.
 */
export function byName(name: string, w: HostWorld): Named | null {
  const own = w.store.memberByName(name)
  if (own !== null) return isDestination(own) ? ofMember(own, w) : null
  const dot = name.indexOf('.')
  const bridge = dot < 0 ? null : w.store.memberByName(name.slice(dot + 1))
  if (bridge === null || bridge.revoked || (bridge.roles & ROLE_BRIDGE) === 0) return null
  const label = name.slice(0, dot)
  const row = ranked(bridge, w).find((h) => labelOf(h) === label)
  return row === undefined ? null : { member: bridge, name, pair: row.pair }
}

/** The destination that a box's own name stands for. */
export function ofMember(member: Member, w: HostWorld): Named {
  const { name } = member
  const [first] = (member.roles & ROLE_BRIDGE) !== 0 ? ranked(member, w) : []
  return { member, name, pair: first?.pair ?? member.pair }
}

/** A host by its row, under the name it has now. */
export const ofHost = (member: Member, row: HostRow): Named => ({
  member,
  name: labelOf(row) === null ? member.name : `${labelOf(row)}.${member.name}`,
  pair: row.pair,
})

/** Whether something that could answer stands behind the name at the moment: a bridge alone is no destination. */
export function isThere({ member, pair }: Named, w: HostWorld): boolean {
  if ((member.roles & ROLE_BRIDGE) === 0) return true
  const here = w.presences.get(member.node)?.hosts
  return w.store.hostsOf(member.node).some((h) => h.pair.vip4 === pair.vip4 && here?.has(hex(h.host)) === true)
}

/** The label under which a host is found below its bridge; null when what it calls itself is none (RFC 1123 §2.1). */
export function labelOf({ name }: HostRow): string | null {
  const label = name.toLowerCase()
  return /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/.test(label) ? label : null
}

/** Only boxes with hosts or applications are looked for; a terminator, relay or coordinator merely has a name. */
export const isDestination = ({ revoked, roles }: Member): boolean =>
  !revoked && (roles & (ROLE_NODE | ROLE_BRIDGE)) !== 0

/** Present hosts before absent ones, then in the order in which they got their addresses. */
function ranked(member: Member, { store, presences }: HostWorld): HostRow[] {
  const here = presences.get(member.node)?.hosts
  const absent = (h: HostRow): number => (here?.has(hex(h.host)) === true ? 0 : 1)
  return store.hostsOf(member.node).toSorted((a, b) => absent(a) - absent(b) || a.pair.vip4 - b.pair.vip4)
}
