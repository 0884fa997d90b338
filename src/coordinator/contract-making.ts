import { same } from '#ntm-lib/base/bytes.ts'
import { type Instant, wallTime } from '#ntm-lib/base/time.ts'
import type { Member } from '#ntm-lib/ports/coordinator-store.ts'
import type { PathAccept, Route, RouteDirection } from '#ntm-lib/wire/messages/direction.ts'
import type { ExtendingState, Job, RoutingState } from './direction-job.ts'
import { askedTarget, type DirectionParts, routeTo } from './direction-parts.ts'
import type { Legs } from './relay-legs.ts'
import type { Decision } from './route.ts'
import type { Succession } from './succession.ts'
import { isTerminator } from './whereabouts.ts'

/**
 * Mints a contract and asks for a relay, which may be told to the correspondent before it has answered: the Relay
 * Direction travels in parallel with the Route Direction. `relayed` is called when it is known what came of it. Null when
 * these two cannot meet without a relay and there is none.
 */
export function beginContract(
  p: DirectionParts,
  { initiator, peer }: { readonly initiator: Member; readonly peer: Member },
  decision: Decision,
  tag: string,
  relayed: (state: RoutingState, now: Instant) => void,
  now: Instant,
): RoutingState | null {
  const minted = p.contracts.mint(initiator, peer, decision.opener)
  const state: RoutingState = { at: 'routing', peer, minted, decision, tag, relaying: { at: 'none' }, accept: null }
  if (isTerminator(peer) || isTerminator(initiator)) return state
  const { hash, contract } = minted
  const until = wallTime(p.calendar.today() + contract.leaseSeconds * 1000)
  const done = (_: Legs | null, at: Instant): void => {
    if (state.relaying.at === 'asking') state.relaying = { ...state.relaying, at: 'done' }
    relayed(state, at)
  }
  const told = p.legs.make({ hash, contract, until }, { current: null, avoid: false }, done, now)
  if (told !== null) state.relaying = { at: 'asking', told }
  return told === null && needsRelay(decision) ? null : state
}

const needsRelay = ({ way, alone }: Decision): boolean => way === 'relay' && !alone

/** What the correspondent is told of a contract that is being made. */
export function routeDirection(p: DirectionParts, job: Job, initiator: Member, state: RoutingState): RouteDirection {
  const told = state.relaying.at === 'none' ? null : state.relaying.told
  const route = routeTo(p, state.peer.node, initiator, state.minted, told)
  return { kind: 'route-direction', route, target: askedTarget(job) }
}

/** Whether a contract that is being made lacks the relay without which its ends cannot meet. */
export const lacksRelay = (p: DirectionParts, { decision, minted }: RoutingState): boolean =>
  needsRelay(decision) && p.legs.of(minted.hash) === null

/** Whether the correspondent was told of other legs than there are; the relay may have been lost since it said yes. */
function toldOtherwise({ relaying }: RoutingState, legs: Legs | null): boolean {
  if (relaying.at === 'none') return false
  return legs === null || !same(legs.openerKey, relaying.told.openerKey)
}

/** Correspondent and relay said yes: the contract is in force. What the initiator is told. */
export function enactContract(
  p: DirectionParts,
  succession: Succession,
  job: Job,
  state: RoutingState,
  accept: PathAccept,
  now: Instant,
): Route {
  const { peer, minted } = state
  const row = p.store.contract(job.initiator, peer.node)
  // Two boxes that lose their contract to a power cut make another one; a server's address must never be given to two.
  const disk = job.goal.to === 'server' ? 'now' : 'soon'
  const settle = p.store.transaction(() => {
    p.contracts.enact(job.initiator, peer.node, minted)
    return commitServer(p, job, accept)
  }, disk)
  settle?.()
  if (row !== null) succession.superseded([job.initiator, peer.node], row.hash, now)
  succession.enacted(minted.hash, now)
  const legs = p.legs.of(minted.hash)
  if (toldOtherwise(state, legs)) p.notices.tell(peer.node, minted.hash, now)
  return routeTo(p, job.initiator, peer, minted, legs)
}

/** The correspondent took one more name, or a longer lease. False when another contract came into force meanwhile. */
export function extendContract(
  p: DirectionParts,
  job: Job,
  { peer, hash, leaseSeconds }: ExtendingState,
  accept: PathAccept,
  now: Instant,
): boolean {
  const row = p.store.contract(job.initiator, peer.node)
  if (row === null || !same(row.hash, hash)) return false
  let longer = row
  const settle = p.store.transaction(() => {
    longer = p.contracts.prolong(row, leaseSeconds)
    return commitServer(p, job, accept)
  })
  settle?.()
  if (longer !== row) p.legs.prolong(hash, longer.leaseUntil, now)
  return true
}

const commitServer = (p: DirectionParts, { goal, initiator }: Job, { ttlSeconds }: PathAccept): (() => void) | null =>
  goal.to === 'server' ? p.pool.commit(initiator, goal.name, ttlSeconds, p.calendar.today()) : null
