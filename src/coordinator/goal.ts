import { type NodeId, nodeKey } from '#ntm-lib/addr/ids.ts'
import type { CoordinatorStore, Member } from '#ntm-lib/ports/coordinator-store.ts'
import { ROLE_BRIDGE, ROLE_NODE } from '#ntm-lib/wire/certificate.ts'
import type { Sought } from '#ntm-lib/wire/messages/direction.ts'
import type { Refusal } from '#ntm-lib/wire/messages/refusal.ts'
import type { ServerPool } from './pool.ts'
import { refusal } from './refuse.ts'

/** Whom a direction leads to: an ordinary server by name, through some terminator, or one box of the network. */
export type Goal = { readonly to: 'server'; readonly name: string } | { readonly to: 'node'; readonly member: Member }

export type GoalWorld = { readonly store: CoordinatorStore; readonly pool: ServerPool; readonly zone: string }

/**
 * What a Direction Request is after. A name below our zone is a box of ours or nothing; the peer being general is known
 * from the name alone (SEED 000 §4.2). A virtual address of a server is only worth something to the node it was given to.
 */
export function goalOf(sought: Sought, asker: NodeId, world: GoalWorld): Goal | Refusal {
  switch (sought.by) {
    case 'name':
      return byName(canonical(sought.name), asker, world)
    case 'node':
      return toMember(world.store.member(sought.node), asker)
    case 'vip': {
      const { store, pool } = world
      const server = pool.serverByVip(sought.vip)
      if (server !== null)
        return nodeKey(server.node) === nodeKey(asker)
          ? { to: 'server', name: server.name }
          : refusal('unknown-name', 'this address was given to another node')
      const behind = store.hostByVip(sought.vip)
      return toMember(behind === null ? store.memberByVip(sought.vip) : store.member(behind.node), asker)
    }
    default:
      return sought satisfies never
  }
}

/** The key under which equal wishes of one node share one direction. */
export const goalKey = (goal: Goal): string =>
  goal.to === 'server' ? `name ${goal.name}` : `node ${nodeKey(goal.member.node)}`

function byName(name: string, asker: NodeId, { store, zone }: GoalWorld): Goal | Refusal {
  if (name !== zone && !name.endsWith(`.${zone}`)) {
    return isServerName(name) ? { to: 'server', name } : refusal('unknown-name', 'not a name of an Internet server')
  }
  const member = store.memberByName(name)
  // A terminator or coordinator has a name in the zone but is no destination of hosts.
  return toMember(member !== null && (member.roles & (ROLE_NODE | ROLE_BRIDGE)) !== 0 ? member : null, asker)
}

function toMember(member: Member | null, asker: NodeId): Goal | Refusal {
  if (member === null || member.revoked) return refusal('unknown-name', 'nobody of that name in this network')
  if (nodeKey(member.node) === nodeKey(asker)) return refusal('no-route', 'that is the asking box itself')
  return { to: 'node', member }
}

/** RFC 1035 sizes, at least two labels, and none of the names that never leave a site. */
function isServerName(name: string): boolean {
  if (name.length > 253 || !/^([a-z0-9_]([a-z0-9_-]{0,62})\.)+[a-z0-9]([a-z0-9-]{0,62})$/.test(name)) return false
  return !NEVER_OURS.some((suffix) => name === suffix || name.endsWith(`.${suffix}`))
}

const canonical = (name: string): string => name.toLowerCase().replace(/\.$/, '')
/** RFC 6762, RFC 8375, RFC 7686, RFC 6761, and reverse names. */
const NEVER_OURS = ['local', 'home.arpa', 'onion', 'localhost', 'invalid', 'in-addr.arpa', 'ip6.arpa']
