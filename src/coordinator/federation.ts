import type { NodeId } from '#ntm-lib/addr/ids.ts'
import { same } from '#ntm-lib/base/bytes.ts'
import { type Instant, sooner } from '#ntm-lib/base/time.ts'
import type { ControlPeer, TransactionKey } from '#ntm-lib/negotiate/control-events.ts'
import type { ContractRow, CoordinatorStore } from '#ntm-lib/ports/coordinator-store.ts'
import { ROLE_COORDINATOR } from '#ntm-lib/wire/certificate.ts'
import type { Request } from '#ntm-lib/wire/message.ts'
import type { DirectionRequest } from '#ntm-lib/wire/messages/direction.ts'
import { Abroad } from './abroad.ts'
import type { Directions } from './direction.ts'
import type { DirectionParts } from './direction-parts.ts'
import type { Ends } from './ends.ts'
import type { Guests, GuestsParts } from './guests.ts'
import type { Moves } from './moves.ts'
import type { LinkEvent, OtherZones } from './other-zones.ts'
import type { Sessions } from './sessions.ts'
import type { CoordinatorKeys } from './settings.ts'
import { Visitors } from './visitors.ts'

/** Our sessions, through which boxes of other zones are reached by way of their own coordinators. */
export const reachingAbroad = (sessions: Sessions, store: CoordinatorStore, zones: OtherZones): Sessions => ({
  respond: (transaction, response, now) => sessions.respond(transaction, response, now),
  peer: (node) => sessions.peer(node),
  close: (node) => sessions.close(node),
  request: (node, tag, message, timeout, now) => {
    if (sessions.request(node, tag, message, timeout, now)) return true
    const foreign = store.member(node) === null ? store.foreign(node) : null
    return foreign !== null && zones.request(foreign.zone, tag, message, timeout, now)
  },
})

/** Our ends, and guests where they are known. */
export const withGuests = (own: Ends, guests: Guests): Ends => ({
  member: (node) => own.member(node) ?? guests.get(node)?.member ?? null,
  location: (node) => own.location(node) ?? guests.get(node)?.presence ?? null,
  isHere: (node) => own.isHere(node),
  tell: (node, tag, message, patience, now) => own.tell(node, tag, message, patience, now),
})

export type FederationParts = DirectionParts &
  GuestsParts & {
    readonly zones: OtherZones
    readonly guests: Guests
    readonly keys: CoordinatorKeys
    readonly directions: Directions
    readonly moves: Moves
  }

/** What the coordinator does with the coordinators of other zones, in both directions. SEED 002 §3. */
export class Federation {
  readonly #p: FederationParts
  readonly #abroad: Abroad
  readonly #visitors: Visitors

  constructor(parts: FederationParts) {
    const { directions, moves } = parts
    this.#p = parts
    this.#abroad = new Abroad({ ...parts, making: (pair) => directions.makes(pair) })
    this.#visitors = new Visitors({
      ...parts,
      abroad: this.#abroad,
      making: (pair) => directions.makes(pair),
      direct: (guest, transaction, request, now) => {
        if (!moves.ask(guest, transaction, request, now)) directions.ask(guest, transaction, request, now)
      },
      moved: (guest, now) => moves.moved(guest, now),
    })
  }

  get open(): number {
    return this.#abroad.open
  }

  /** Whether a stranger may hold a session, to show that it is a coordinator. */
  admits(roles: number): boolean {
    return (roles & ROLE_COORDINATOR) !== 0 && this.#visitors.hasRoom
  }

  established(peer: ControlPeer, now: Instant): void {
    this.#visitors.established(peer, now)
  }

  /** A request of somebody who is no member and has no token. */
  handle(peer: ControlPeer, transaction: TransactionKey, message: Request, now: Instant): void {
    this.#visitors.handle(peer, transaction, message, now)
  }

  /** Takes a Direction Request that leads to another zone; false for all others. */
  ask(node: NodeId, transaction: TransactionKey, request: DirectionRequest, now: Instant): boolean {
    const { store, moves } = this.#p
    // Of contracts that were made here, we know best where both ends are.
    if (request.why === 'moved' && request.sought.by === 'node' && store.member(request.sought.node) === null) {
      const row = store.contract(node, request.sought.node)
      if (row !== null && same(row.correspondent, node) && moves.ask(node, transaction, request, now)) return true
    }
    return this.#abroad.ask(node, transaction, request, now)
  }

  moved(node: NodeId, row: ContractRow, now: Instant): void {
    this.#abroad.moved(node, row, now)
  }

  gone(node: NodeId): void {
    this.#abroad.gone(node)
  }

  /** Takes what a link tells; the tag of an answer that others wait for, otherwise null. */
  onLink(event: LinkEvent, now: Instant): boolean {
    switch (event.event) {
      case 'response':
        return this.#abroad.answer(event.tag, event.message, now)
      case 'silent':
        return this.#abroad.silent(event.tag, now)
      case 'sought':
        this.#abroad.sought(event.name, event.zone, now)
        return true
      default:
        return event satisfies never
    }
  }

  tick(now: Instant): void {
    this.#abroad.tick(now)
    this.#visitors.tick(now)
    this.#p.guests.tick(now)
  }

  deadline(): Instant | null {
    const first = sooner(this.#abroad.deadline(), this.#visitors.deadline())
    return sooner(first, this.#p.guests.deadline())
  }
}
