import { type NodeId, nodeKey } from '#ntm-lib/addr/ids.ts'
import { ipText } from '#ntm-lib/addr/ip.ts'
import type { CoordinatorStore } from '#ntm-lib/ports/coordinator-store.ts'
import type { Sought } from '#ntm-lib/wire/messages/direction.ts'
import type { Refusal } from '#ntm-lib/wire/messages/refusal.ts'
import type { Ends } from './ends.ts'
import { byName, isThere, type Named, ofHost, ofMember } from './hosts.ts'
import type { ServerPool } from './pool.ts'
import type { PresenceTable } from './presence.ts'
import { refusal } from './refuse.ts'

/**
 * Whom a direction leads to: an ordinary server by name, through some terminator; or one box of the network, `pair` being
 * its own or that of the host behind it that is meant.
 */
export type Goal = { readonly to: 'server'; readonly name: string } | ({ readonly to: 'node' } & Named)

export type GoalWorld = {
  readonly store: CoordinatorStore
  readonly pool: ServerPool
  readonly presences: PresenceTable
  readonly zone: string
  /** Boxes of other zones too, where they are known. */
  readonly ends: Pick<Ends, 'member'>
}

/**
 * What a Direction Request is after. A name below our zone is a box of ours, a host behind one, or nothing; the peer being
 * general is known from the name alone (SEED 000 §4.2). A virtual address of a server is only worth something to the node
 * it was given to.
 */
export function goalOf(sought: Sought, asker: NodeId, world: GoalWorld): Goal | Refusal {
  const { store, pool } = world
  switch (sought.by) {
    case 'name': {
      const name = canonical(sought.name)
      if (name === world.zone || name.endsWith(`.${world.zone}`)) return toNode(byName(name, world), asker, world)
      return isServerName(name) ? { to: 'server', name } : refusal('unknown-name', 'not a name of an Internet server')
    }
    case 'peer':
      return toNode(below(sought.name, world.zone) ? byName(canonical(sought.name), world) : null, asker, world)
    case 'node': {
      const member = world.ends.member(sought.node)
      return toNode(member === null ? null : ofMember(member, world), asker, null)
    }
    case 'vip': {
      const server = pool.serverByVip(sought.vip)
      if (server !== null)
        return nodeKey(server.node) === nodeKey(asker)
          ? { to: 'server', name: server.name }
          : refusal('unknown-name', 'this address was given to another node')
      const behind = store.hostByVip(sought.vip)
      const member = behind === null ? store.memberByVip(sought.vip) : store.member(behind.node)
      if (member === null) return toNode(null, asker, null)
      const own = { member, name: member.name, pair: member.pair }
      return toNode(behind === null ? own : ofHost(member, behind), asker, null)
    }
    default:
      return sought satisfies never
  }
}

const below = (name: string, zone: string): boolean => canonical(name).endsWith(`.${zone}`)

/** The key under which equal wishes of one node share one direction. */
export const goalKey = (goal: Goal): string =>
  goal.to === 'server'
    ? `name ${goal.name}`
    : `node ${nodeKey(goal.member.node)} ${ipText(goal.pair.vip4)} ${goal.name}`

/** `world` where the name counts only with somebody behind it. */
function toNode(named: Named | null, asker: NodeId, world: GoalWorld | null): Goal | Refusal {
  if (named === null || named.member.revoked) return refusal('unknown-name', 'nobody of that name in this network')
  if (nodeKey(named.member.node) === nodeKey(asker)) return refusal('no-route', 'that is the asking box itself')
  if (world !== null && !isThere(named, world))
    return refusal('peer-silent', `no host is behind ${named.name} now`, 5000)
  return { to: 'node', ...named }
}

/** RFC 1035 sizes, at least two labels, and none of the names that never leave a site. */
function isServerName(name: string): boolean {
  if (name.length > 253 || !/^([a-z0-9_]([a-z0-9_-]{0,62})\.)+[a-z0-9]([a-z0-9-]{0,62})$/.test(name)) return false
  return !NEVER_OURS.some((suffix) => name === suffix || name.endsWith(`.${suffix}`))
}

const canonical = (name: string): string => name.toLowerCase().replace(/\.$/, '')
/** RFC 6762, RFC 8375, RFC 7686, RFC 6761, and reverse names. */
const NEVER_OURS = ['local', 'home.arpa', 'onion', 'localhost', 'invalid', 'in-addr.arpa', 'ip6.arpa']
