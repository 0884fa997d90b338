import { type NodeId, nodeKey } from '#ntm-lib/addr/ids.ts'
import { same } from '#ntm-lib/base/bytes.ts'
import { Expiring } from '#ntm-lib/base/expiring.ts'
import { hex } from '#ntm-lib/base/hex.ts'
import { after, type Instant, millis, seconds, sooner } from '#ntm-lib/base/time.ts'
import type { TransactionKey } from '#ntm-lib/negotiate/control-events.ts'
import type { ContractRow } from '#ntm-lib/ports/coordinator-store.ts'
import { ROLE_TT } from '#ntm-lib/wire/certificate.ts'
import type { DirectionRequest } from '#ntm-lib/wire/messages/direction.ts'
import { mayAsk } from './direction-admit.ts'
import type { DirectionParts } from './direction-parts.ts'
import { madeAbroad } from './foreign-end.ts'
import { goalOf } from './goal.ts'
import { placeKey } from './presence.ts'
import { refusal } from './refuse.ts'
import type { Legs, Wanted } from './relay-legs.ts'
import { whereaboutsFor } from './whereabouts.ts'

/** What is to be told about one contract: to these ends, by key. */
type Errand = { readonly hash: Uint8Array; readonly tell: Map<string, NodeId> }
type Abroad = (node: NodeId, row: ContractRow, now: Instant) => void
type Asked = { readonly place: string; readonly at: Instant }

/**
 * What changes under a standing contract: its ends move, its relay goes. The contract stays what it is; only where the
 * ends send to is new, and both are told (SEED 002 §4, Fig. 5 and 6).
 */
export class Moves {
  readonly #p: DirectionParts
  /** Askers and contracts of late: who asks again from where it was gets nothing on the way it has. */
  readonly #asked = new Expiring<string, Asked>(8192)
  /** Spread over time: a coordinator with many relayed paths loses them all at once. */
  readonly #errands = new Map<string, Errand>()
  readonly #abroad: Abroad
  #slice: { until: Instant; left: number } | null = null

  /** `abroad` is told of ends of ours whose contract another zone's coordinator made. */
  constructor(parts: DirectionParts, abroad: Abroad) {
    this.#p = parts
    this.#abroad = abroad
  }

  /** Contracts whose ends are still to be told something. */
  get open(): number {
    return this.#errands.size
  }

  /**
   * Answers a Direction Request of somebody who moved or hears nothing, when its contract stands: where the peer is, and
   * the peer is told at once. False for all other requests, which are directions.
   */
  ask(node: NodeId, transaction: TransactionKey, request: DirectionRequest, now: Instant): boolean {
    if (request.why !== 'moved' || mayAsk(this.#p, node, request) !== null) return false
    const goal = goalOf(request.sought, node, this.#p)
    if ('kind' in goal || goal.to === 'server') return false
    const peer = goal.member.node
    const row = this.#p.contracts.inForce(node, peer, request.sources, [], request.lost)
    const wanted = row === null ? null : this.#wanted(row.hash)
    if (wanted === null) return false
    if (this.#p.ends.location(peer) === null) {
      this.#p.notices.tell(peer, wanted.hash, now)
      this.#p.sessions.respond(transaction, refusal('peer-silent', `${goal.name} is not reachable now`, 2000), now)
      return true
    }
    const answer = (at: Instant): void => this.#answer(node, peer, wanted, transaction, at)
    const before = this.#repeated(node, wanted.hash, now)
    if (before === 'at once') answer(now)
    else this.#look(wanted, peer, before === 'again', answer, now)
    return true
  }

  /** A node proved that it is elsewhere: all its live peers are told, and each path that has no relay may get one now. */
  moved(node: NodeId, now: Instant): void {
    for (const row of this.#p.store.contractsOf(node)) {
      if (madeAbroad(this.#p.store, row)) this.#abroad(node, row, now)
      else this.#errand(row.hash, [otherEnd(row, node)], now)
    }
    this.#run(now)
  }

  /** A relay is gone, or has forgotten everything: its paths get legs anew, and both ends are told. */
  relayLost(relay: NodeId, now: Instant): void {
    const lost = this.#p.legs.at(relay)
    if (lost.length > 0) this.#p.log.warn('relay.lost', { relay: nodeKey(relay), paths: lost.length })
    for (const { hash, contract } of lost) {
      this.#p.legs.drop(hash)
      this.#errand(hash, [contract.opener, contract.acceptor], now)
    }
  }

  tick(now: Instant): void {
    this.#asked.sweep(now)
    this.#run(now)
  }

  deadline(): Instant | null {
    const next = this.#errands.size > 0 ? (this.#slice?.until ?? null) : null
    return sooner(next, this.#asked.deadline())
  }

  /** The path's relay, looked at again: a healthy one is kept, and the answer waits only where there is something to wait for. */
  #look(wanted: Wanted, peer: NodeId, again: boolean, answer: (now: Instant) => void, now: Instant): void {
    const { legs, notices } = this.#p
    const current = legs.of(wanted.hash)
    const relayed = this.#mayRelay(wanted)
    if (relayed && current !== null && !again) {
      answer(now)
      notices.tell(peer, wanted.hash, now)
      legs.make(wanted, { current, avoid: false }, (made, at) => this.#changed(wanted, current, made, at), now)
      return
    }
    const told = (at: Instant): void => {
      answer(at)
      notices.tell(peer, wanted.hash, at)
    }
    const made = relayed ? legs.make(wanted, { current, avoid: again }, (_, at) => told(at), now) : null
    if (made === null) told(now)
  }

  #changed({ hash, contract }: Wanted, before: Legs, made: Legs | null, now: Instant): void {
    if (made === null || same(made.openerKey, before.openerKey)) return
    for (const end of [contract.opener, contract.acceptor]) this.#p.notices.tell(end, hash, now)
  }

  #answer(node: NodeId, peer: NodeId, { hash }: Wanted, transaction: TransactionKey, now: Instant): void {
    const { ends, legs, settings, calendar } = this.#p
    const [optimise, today] = [settings.optimise, calendar.today()]
    const moved = whereaboutsFor({ end: node, peer, legs: legs.of(hash), ends, optimise, today })
    this.#p.counters.count('coordinator.direction.moved')
    this.#p.sessions.respond(
      transaction,
      { kind: 'direction-response', contractHash: hash, route: null, moved, target: null },
      now,
    )
  }

  /** `at once`: it asked a moment ago, and nobody needs to hear of it twice. */
  #repeated(node: NodeId, hash: Uint8Array, now: Instant): 'first' | 'again' | 'at once' {
    const key = `${nodeKey(node)} ${hex(hash)}`
    const before = this.#asked.get(key)
    const presence = this.#p.ends.location(node)
    const place = presence === null ? '' : placeKey(presence)
    if (before !== undefined && now < after(before.at, MOMENT)) return 'at once'
    this.#asked.set(key, { place, at: now }, after(now, LATELY))
    return before?.place === place ? 'again' : 'first'
  }

  #errand(hash: Uint8Array, tell: readonly NodeId[], now: Instant): void {
    const key = hex(hash)
    const errand = this.#errands.get(key) ?? { hash, tell: new Map() }
    for (const node of tell) errand.tell.set(nodeKey(node), node)
    this.#errands.set(key, errand)
    if (this.#slice === null || this.#slice.until <= now) this.#slice = { until: after(now, SLICE), left: PER_SLICE }
  }

  #run(now: Instant): void {
    if (this.#slice === null || this.#slice.until <= now) this.#slice = { until: after(now, SLICE), left: PER_SLICE }
    for (const [key, errand] of this.#errands) {
      if (this.#slice.left-- <= 0) return
      this.#errands.delete(key)
      this.#do(errand, now)
    }
  }

  #do({ hash, tell }: Errand, now: Instant): void {
    const wanted = this.#wanted(hash)
    if (wanted === null) return this.#p.legs.release(hash, now)
    const { contract } = wanted
    const say = (ends: Iterable<NodeId>, at: Instant): void => {
      for (const end of ends) this.#p.notices.tell(end, hash, at)
    }
    const none = { current: null, avoid: false }
    const made =
      this.#mayRelay(wanted) && this.#p.legs.of(hash) === null
        ? this.#p.legs.make(
            wanted,
            none,
            (legs, at) => say(legs === null ? tell.values() : [contract.opener, contract.acceptor], at),
            now,
          )
        : null
    if (made === null) say(tell.values(), now)
  }

  #mayRelay({ contract }: Wanted): boolean {
    const roles = (node: NodeId): number => this.#p.ends.member(node)?.roles ?? 0
    return ((roles(contract.opener) | roles(contract.acceptor)) & ROLE_TT) === 0
  }

  #wanted(hash: Uint8Array): Wanted | null {
    const standing = this.#p.contracts.standing(hash)
    return standing && { hash, contract: standing.contract, until: standing.row.leaseUntil }
  }
}

const otherEnd = (row: ContractRow, node: NodeId): NodeId =>
  nodeKey(row.initiator) === nodeKey(node) ? row.correspondent : row.initiator
/** 64 contracts in 20 ms are 3200 a second: below what the sessions seal, above what a lost relay may leave behind. */
const SLICE = millis(20)
const PER_SLICE = 64
const MOMENT = millis(250)
const LATELY = seconds(30)
