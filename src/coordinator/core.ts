import { type NodeId, nodeKey } from '#ntm-lib/addr/ids.ts'
import { same } from '#ntm-lib/base/bytes.ts'
import { Queue } from '#ntm-lib/base/queue.ts'
import { type Instant, instant, seconds, sooner } from '#ntm-lib/base/time.ts'
import type { ControlPeer, ControlPolicy, ControlServerEvent } from '#ntm-lib/negotiate/control-events.ts'
import type { Machine } from '#ntm-lib/ports/machine.ts'
import type { Request, Response } from '#ntm-lib/wire/message.ts'
import type { PathClose } from '#ntm-lib/wire/messages/direction.ts'
import { Contracts } from './contracts.ts'
import type { CoordinatorOut, CoordinatorParts } from './core-parts.ts'
import { Directions } from './direction.ts'
import type { DirectionParts } from './direction-parts.ts'
import { ownEnds } from './ends.ts'
import { Enrolment } from './enrol.ts'
import { Federation, reachingAbroad, withGuests } from './federation.ts'
import { Guests } from './guests.ts'
import { Moves } from './moves.ts'
import { NOTICE, Notices } from './notices.ts'
import { type LinkEvent, NO_OTHER_ZONES } from './other-zones.ts'
import { ServerPool } from './pool.ts'
import { PresenceTable } from './presence.ts'
import { refusal } from './refuse.ts'
import { Registrar } from './registration.ts'
import { RelayLegs, UNAWAITED } from './relay-legs.ts'
import { Revocations } from './revocation.ts'

/**
 * The Direction Coordinator: members, virtual addresses, locations, directions (SEED 002 §3, SEED 003 §3, SEED 000 §4).
 * Everything that must survive a restart is in the store before it is answered; what is under way is not, and drains.
 */
export class CoordinatorCore implements Machine<ControlServerEvent, CoordinatorOut>, ControlPolicy {
  readonly presences = new PresenceTable()
  readonly #p: CoordinatorParts
  readonly #pool: ServerPool
  readonly #contracts: Contracts
  readonly #enrolment: Enrolment
  readonly #registrar: Registrar
  readonly #directions: Directions
  readonly #legs: RelayLegs
  readonly #notices: Notices
  readonly #moves: Moves
  readonly #revocations: Revocations
  readonly #federation: Federation
  #now: Instant = instant(0)
  readonly #out = new Queue<CoordinatorOut>(1024)

  constructor({ zones = NO_OTHER_ZONES, ...given }: CoordinatorParts) {
    const { presences } = this
    const { settings, store, suite } = given
    const parts = { ...given, zones, sessions: reachingAbroad(given.sessions, store, zones) }
    this.#p = parts
    const guests = new Guests(parts)
    const ends = withGuests(ownEnds({ ...parts, presences }), guests)
    this.#legs = new RelayLegs({ ...parts, presences, locate: (node) => ends.location(node) })
    const contracts = new Contracts({
      ...parts,
      ended: ({ hash }) => this.#legs.release(hash, this.#now),
      pairsAbroad: (node) => guests.get(node)?.pairs ?? null,
    })
    this.#contracts = contracts
    const lastPacket = this.#contracts.lastPacket.bind(this.#contracts)
    this.#pool = new ServerPool(store, settings.plan, suite, lastPacket, settings.serversPerNode)
    this.#enrolment = new Enrolment(parts)
    this.#notices = new Notices({ ...parts, ends, contracts, legs: this.#legs })
    const making: DirectionParts = {
      ...parts,
      presences,
      contracts,
      ends,
      legs: this.#legs,
      notices: this.#notices,
      pool: this.#pool,
      zone: settings.zone,
      directed: (job, peer, how) => {
        const target = job.goal.name
        this.#tell({ event: 'directed', initiator: job.initiator, peer: peer.node, target, how })
        const fields = { node: nodeKey(job.initiator), peer: nodeKey(peer.node), how }
        parts.log.info('direction.answered', fields)
      },
    }
    this.#directions = new Directions(making)
    this.#moves = new Moves(making, (node, row, now) => this.#federation.moved(node, row, now))
    const { keys } = parts
    const others = { zones, guests, keys, suite, directions: this.#directions, moves: this.#moves }
    this.#federation = new Federation({ ...making, ...others })
    this.#revocations = new Revocations({
      ...parts,
      contracts,
      shutOut: ({ node, name }, now) => {
        presences.remove(node)
        this.#directions.gone(node, now)
        this.#moves.relayLost(node, now)
        this.#tell({ event: 'revoked', node, name })
      },
    })
    this.#registrar = new Registrar({
      ...parts,
      presences,
      restarted: (peer, now) => this.#restarted(peer, now),
      moved: (node, now) => this.#moves.moved(node, now),
    })
  }

  admits(node: NodeId, staticKey: Uint8Array, roles = 0): 'yes' | 'unknown' | 'revoked' {
    const known = this.#enrolment.admits(node, staticKey)
    return known === 'unknown' && this.#federation.admits(roles) ? 'yes' : known
  }

  tokenPsk(tokenId: Uint8Array): Uint8Array | null {
    return this.#enrolment.tokenPsk(tokenId)
  }

  /** Half-made things in memory: directions and Relay Directions under way, addresses promised. All 0 when quiet. */
  get provisional(): number {
    return this.#directions.open + this.#federation.open + this.#legs.open + this.#moves.open + this.#pool.provisional
  }

  /** Contracts that go or may go through a relay. */
  get relayed(): number {
    return this.#legs.size
  }

  /** Paths that this relay has been asked to forward. */
  relayedBy = (relay: NodeId): number => this.#legs.at(relay).length

  /** Puts on disk what answers will need, while others are asked. To be called once everything said has been sent. */
  writeAhead(): void {
    this.#pool.writeAhead(this.#p.calendar.today())
  }

  handle(event: ControlServerEvent, now: Instant): void {
    this.#now = now
    switch (event.event) {
      case 'established':
        if (this.#isStranger(event.peer)) this.#federation.established(event.peer, now)
        return
      case 'request':
        return this.#onRequest(event.peer, event.transaction, event.message, now)
      case 'response':
        return this.#late(
          event.tag,
          this.#directions.answer(event.tag, event.message, now) || this.#legs.answer(event.tag, event.message, now),
        )
      case 'silent':
        return this.#late(event.tag, this.#directions.silent(event.tag, now) || this.#legs.silent(event.tag, now))
      case 'moved':
        return this.presences.forgetEchoes(event.peer.node)
      case 'gone':
        return this.#gone(event.peer, now)
      default:
        return event satisfies never
    }
  }

  tick(now: Instant): void {
    this.#now = now
    this.#directions.tick(now)
    this.#legs.tick(now)
    this.#notices.tick(now)
    this.#moves.tick(now)
    this.#federation.tick(now)
  }

  deadline(): Instant | null {
    const first = sooner(this.#directions.deadline(), this.#legs.deadline())
    const second = sooner(this.#notices.deadline(), this.#moves.deadline())
    return sooner(sooner(first, second), this.#federation.deadline())
  }

  /** What the links to other coordinators tell. */
  onLink(event: LinkEvent, now: Instant): void {
    this.#now = now
    const wanted = this.#federation.onLink(event, now)
    if (event.event !== 'sought') this.#late(event.tag, wanted)
  }

  poll(): CoordinatorOut | null {
    return this.#out.shift() ?? null
  }

  /** Shuts a member out: its peers are told to close their paths at once, it is never admitted again. */
  revoke(node: NodeId, now: Instant): boolean {
    this.#now = now
    return this.#revocations.revoke(node, now)
  }

  /** Shuts out whom another program has revoked in the store; to be called every second or so. */
  followRevocations(now: Instant): void {
    this.#now = now
    this.#revocations.follow(now)
  }

  #onRequest(peer: ControlPeer, transaction: string, message: Request, now: Instant): void {
    if (this.#isStranger(peer)) return this.#federation.handle(peer, transaction, message, now)
    // A token opens the door to a membership, and to nothing else.
    if (message.kind !== 'direction-request' || peer.tokenId !== null)
      return this.#p.sessions.respond(transaction, this.#respond(peer, message, now), now)
    const { node } = peer
    if (this.#federation.ask(node, transaction, message, now)) return
    if (!this.#moves.ask(node, transaction, message, now)) this.#directions.ask(node, transaction, message, now)
  }

  #respond(peer: ControlPeer, message: Request, now: Instant): Response {
    if (message.kind === 'cert-renew') return this.#certRenew(peer, message)
    if (peer.tokenId !== null) return refusal('forbidden', 'enrol first')
    switch (message.kind) {
      case 'registration':
      case 'ntm-update': {
        const first = this.presences.get(peer.node) === null
        const answer = this.#registrar.register(peer, message, now)
        const name = this.#p.store.member(peer.node)?.name ?? ''
        if (first && answer.kind !== 'refusal') this.#tell({ event: 'online', node: peer.node, name })
        if (answer.kind !== 'refusal') this.#notices.wake(peer.node, now)
        return answer
      }
      case 'location-confirm':
        return this.#registrar.confirm(peer, message, now)
      case 'path-close':
        return this.#pathClose(peer, message, now)
      case 'direction-request':
      case 'route-direction':
      case 'path-extend':
      case 'peer-moved':
      case 'relay-direction':
      case 'relay-release':
      case 'coordinator-hello':
      case 'foreign-direction':
      case 'foreign-moved':
        return refusal('unsupported', 'not a request to a coordinator')
      default:
        return message satisfies never
    }
  }

  #certRenew(peer: ControlPeer, message: Extract<Request, { kind: 'cert-renew' }>): Response {
    const before = this.#p.store.member(peer.node)
    const answer = this.#enrolment.renew(peer, message)
    const member = this.#p.store.member(peer.node)
    if (before === null && member !== null) this.#tell({ event: 'enrolled', node: peer.node, name: member.name })
    return answer
  }

  /** An end gave up a path; the other end is told, and the contract is over. Only a contract of its own can be closed. */
  #pathClose(peer: ControlPeer, message: PathClose, now: Instant): Response {
    const row = this.#p.store.contractByHash(message.contractHash)
    const ends = row === null ? [] : [row.initiator, row.correspondent]
    if (row !== null && ends.some((end) => same(end, peer.node))) {
      this.#contracts.end(row)
      for (const end of ends) if (!same(end, peer.node)) this.#close(end, row.hash, message.reason, now)
    }
    return { kind: 'path-close-response' }
  }

  /** Tunnels live in memory: a node that started anew has none, whatever the contracts say. */
  #restarted(peer: ControlPeer, now: Instant): void {
    const rows = this.#p.store.contractsOf(peer.node)
    this.#p.store.transaction(() => {
      for (const row of rows) this.#contracts.end(row)
    })
    for (const { initiator, correspondent, hash } of rows)
      for (const end of [initiator, correspondent])
        if (this.#p.store.member(end) === null) this.#close(end, hash, 'lost', now)
    this.#moves.relayLost(peer.node, now)
    this.#p.log.info('node.restarted', { node: nodeKey(peer.node), contracts: rows.length })
  }

  #gone(peer: ControlPeer, now: Instant): void {
    // A newer session of the same node may already be there.
    const live = this.#p.sessions.peer(peer.node)
    if (live !== null && live.session !== peer.session) return
    const presence = this.presences.get(peer.node)
    this.presences.remove(peer.node)
    this.#directions.gone(peer.node, now)
    this.#federation.gone(peer.node)
    this.#moves.relayLost(peer.node, now)
    if (presence === null) return
    const name = this.#p.store.member(peer.node)?.name ?? ''
    this.#p.log.info('node.offline', { node: nodeKey(peer.node), name })
    this.#tell({ event: 'offline', node: peer.node, name })
  }

  #close(node: NodeId, hash: Uint8Array, reason: PathClose['reason'], now: Instant): void {
    this.#p.sessions.request(node, 'close', { kind: 'path-close', contractHash: hash, reason }, seconds(5), now)
  }

  /** Neither a member nor somebody with a token: at most another coordinator. */
  #isStranger({ node, tokenId }: ControlPeer): boolean {
    return tokenId === null && this.#p.store.member(node) === null
  }

  #late(tag: string, wanted: boolean): void {
    const unawaited = tag === 'close' || tag === UNAWAITED || tag.startsWith(NOTICE)
    if (!wanted && !unawaited) this.#p.counters.count('coordinator.late-answer')
  }

  #tell(out: CoordinatorOut): void {
    this.#out.push(out)
  }
}
