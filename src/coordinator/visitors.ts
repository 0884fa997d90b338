import { type NodeId, nodeKey } from '#ntm-lib/addr/ids.ts'
import { same } from '#ntm-lib/base/bytes.ts'
import { Expiring } from '#ntm-lib/base/expiring.ts'
import { after, type Instant, seconds } from '#ntm-lib/base/time.ts'
import type { ControlPeer, TransactionKey } from '#ntm-lib/negotiate/control-events.ts'
import { type ContractRow, lower } from '#ntm-lib/ports/coordinator-store.ts'
import type { Request, Response } from '#ntm-lib/wire/message.ts'
import type { DirectionRequest, PathClose, PeerMoved } from '#ntm-lib/wire/messages/direction.ts'
import type { CoordinatorHello, ForeignDirection, ForeignMoved } from '#ntm-lib/wire/messages/federation.ts'
import type { Refusal } from '#ntm-lib/wire/messages/refusal.ts'
import type { Abroad, AbroadParts } from './abroad.ts'
import { goalOf } from './goal.ts'
import type { Guest } from './guests.ts'
import { NOTICE } from './notices.ts'
import { overlapping } from './other-zones.ts'
import { refusal } from './refuse.ts'
import { zoneOfCoordinator } from './zone-proof.ts'

export type VisitorsParts = AbroadParts & {
  readonly abroad: Abroad
  /** A direction of a guest, made as one of a box of ours. */
  readonly direct: (guest: NodeId, transaction: TransactionKey, request: DirectionRequest, now: Instant) => void
  /** A guest is elsewhere: the ends of its paths here are told. */
  readonly moved: (guest: NodeId, now: Instant) => void
}

/**
 * Other coordinators as callers. Who is no member may hold a session only long enough to show that the root made it a
 * coordinator; it then speaks for the boxes of its own zone, about contracts of theirs, and for nobody else.
 */
export class Visitors {
  readonly #p: VisitorsParts
  /** Proven coordinators and their zones, by node. */
  readonly #zones = new Expiring<string, string>(256)
  /** Sessions of strangers, by node. */
  readonly #strangers = new Expiring<string, NodeId>(MAX_STRANGERS)
  #tags = 0

  constructor(parts: VisitorsParts) {
    this.#p = parts
  }

  /** Whether one more stranger who calls itself a coordinator may say hello. */
  get hasRoom(): boolean {
    return this.#strangers.size < MAX_STRANGERS
  }

  /** A session of somebody who is no member. */
  established({ node }: ControlPeer, now: Instant): void {
    const key = nodeKey(node)
    if (this.#zones.get(key) !== undefined) return
    // Many may have been let in before the first of them spoke.
    if (!this.hasRoom && this.#strangers.get(key) === undefined) return this.#p.sessions.close(node)
    this.#strangers.set(key, node, after(now, HELLO_TIME))
  }

  handle(peer: ControlPeer, transaction: TransactionKey, message: Request, now: Instant): void {
    const zone = this.#zones.get(nodeKey(peer.node))
    if (message.kind === 'foreign-direction' && zone !== undefined)
      return this.#direction(peer, zone, transaction, message, now)
    this.#p.sessions.respond(transaction, this.#respond(peer, zone, message, now), now)
  }

  tick(now: Instant): void {
    this.#zones.sweep(now)
    for (const [, node] of this.#strangers.sweep(now)) {
      this.#p.counters.count('coordinator.stranger.closed')
      this.#p.sessions.close(node)
    }
  }

  deadline(): Instant | null {
    return this.#strangers.deadline()
  }

  #respond(peer: ControlPeer, zone: string | undefined, message: Request, now: Instant): Response {
    if (message.kind === 'coordinator-hello') return this.#hello(peer, message, now)
    if (zone === undefined)
      return BETWEEN_MEMBERS.has(message.kind)
        ? refusal('forbidden', 'not a member: enrol first')
        : refusal('not-registered', 'a coordinator says hello first')
    switch (message.kind) {
      case 'foreign-moved':
        return this.#moved(zone, message, now)
      case 'peer-moved':
        return this.#peerMoved(zone, message, now)
      case 'path-close':
        return this.#close(zone, message, now)
      default:
        return refusal('unsupported', 'not a request between coordinators')
    }
  }

  #hello({ node, staticKey, endpoint }: ControlPeer, message: CoordinatorHello, now: Instant): Response {
    const { suite, keys, calendar, log, counters, zones } = this.#p
    const zone = zoneOfCoordinator({ suite, rootKey: keys.rootKey, calendar }, message.chain, staticKey)
    if (zone === null || overlapping(zone, this.#p.zone)) {
      counters.count('coordinator.stranger.refused')
      log.warn('federation.stranger', { node: nodeKey(node), why: zone === null ? 'no coordinator' : 'our zone' })
      return refusal('forbidden', zone === null ? 'not a coordinator of this network' : 'this zone is ours')
    }
    if (this.#zones.get(nodeKey(node)) === undefined) log.info('federation.admitted', { zone })
    this.#strangers.delete(nodeKey(node))
    this.#zones.set(nodeKey(node), zone, after(now, KEPT))
    const endpoints = message.endpoints.length > 0 ? message.endpoints.slice(0, 8) : [endpoint]
    zones.met(zone, { endpoints, key: staticKey }, now)
    return { kind: 'coordinator-hello-response', chain: keys.chain }
  }

  #direction(
    peer: ControlPeer,
    zone: string,
    transaction: TransactionKey,
    { sought, why, sources, lost, initiator }: ForeignDirection,
    now: Instant,
  ): void {
    const { guests, store, counters } = this.#p
    const guest = guests.take(initiator, zone, false, now)
    const no = 'code' in guest ? guest : this.#mayCome(guest, sought)
    if (no !== null || 'code' in guest) {
      const why = no ?? NOBODY
      counters.count(`coordinator.foreign.${why.code}`)
      this.#p.log.info('direction.refused', { zone, node: nodeKey(peer.node), code: why.code, why: why.text })
      return this.#p.sessions.respond(transaction, why, now)
    }
    const { node, name, chain } = guest.member
    const known = store.foreign(node)
    if (known === null || known.zone !== zone || !same(known.chain[0] ?? NO_BYTES, chain[0] ?? NO_BYTES))
      store.putForeign({ node, zone, name, chain })
    this.#p.direct(node, transaction, { kind: 'direction-request', sought, why, sources, lost }, now)
  }

  /** Only to boxes of ours, and where two directions of one pair cross, the lower Node ID's goes on. */
  #mayCome(guest: Guest, sought: ForeignDirection['sought']): Refusal | null {
    const goal = goalOf(sought, guest.member.node, this.#p)
    if ('kind' in goal) return goal
    if (goal.to === 'server') return refusal('forbidden', 'no terminators for other zones')
    const { node } = goal.member
    if (this.#p.store.member(node) === null) return refusal('unknown-name', 'nobody of this zone')
    const crossing = this.#p.abroad.asks(node, guest) && lower(node, guest.member.node)
    return crossing ? refusal('crossed', 'the other direction goes on', 50) : null
  }

  #moved(zone: string, { contractHash, end }: ForeignMoved, now: Instant): Response {
    const row = this.#rowOf(contractHash, zone)
    if (row === null) return refusal('no-route', 'no such contract')
    const guest = this.#p.guests.take(end, zone, true, now)
    if ('code' in guest) return guest
    if (!same(row.foreign, guest.member.node)) return refusal('forbidden', 'not an end of this contract')
    this.#p.moved(guest.member.node, now)
    return { kind: 'foreign-moved-response' }
  }

  /** The coordinator that made the contract tells our end where its box is now. */
  #peerMoved(zone: string, message: PeerMoved, now: Instant): Response {
    const row = this.#rowOf(message.contractHash, zone)
    if (row === null) return refusal('no-route', 'no such contract')
    this.#p.sessions.request(row.own, `${NOTICE}foreign ${++this.#tags}`, message, seconds(30), now)
    return { kind: 'peer-moved-response' }
  }

  #close(zone: string, message: PathClose, now: Instant): Response {
    const row = this.#rowOf(message.contractHash, zone)
    const former = this.#p.abroad.formerly(message.contractHash)
    const own = row?.own ?? (former?.zone === zone ? former.own : null)
    if (row !== null) this.#p.contracts.end(row.row)
    if (own !== null) this.#p.sessions.request(own, 'close', message, seconds(5), now)
    return { kind: 'path-close-response' }
  }

  /** A contract between a box of ours and one of this zone. */
  #rowOf(
    hash: Uint8Array,
    zone: string,
  ): { readonly row: ContractRow; readonly own: NodeId; readonly foreign: NodeId } | null {
    const { store } = this.#p
    const row = store.contractByHash(hash)
    if (row === null) return null
    const [own, foreign] =
      store.member(row.initiator) === null ? [row.correspondent, row.initiator] : [row.initiator, row.correspondent]
    if (store.member(own) === null || store.member(foreign) !== null) return null
    return store.foreign(foreign)?.zone === zone ? { row, own, foreign } : null
  }
}

const BETWEEN_MEMBERS: ReadonlySet<string> = new Set(['registration', 'ntm-update', 'location-confirm', 'cert-renew'])
const NOBODY = refusal('forbidden', 'nobody')
const NO_BYTES = new Uint8Array(0)
const MAX_STRANGERS = 32
const HELLO_TIME = seconds(5)
/** Far longer than between two hellos. */
const KEPT = seconds(180)
