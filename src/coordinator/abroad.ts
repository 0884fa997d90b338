import { type NodeId, nodeKey } from '#ntm-lib/addr/ids.ts'
import type { Ip } from '#ntm-lib/addr/ip.ts'
import { contains } from '#ntm-lib/addr/prefix.ts'
import { same } from '#ntm-lib/base/bytes.ts'
import { Expiring } from '#ntm-lib/base/expiring.ts'
import { hex } from '#ntm-lib/base/hex.ts'
import { after, type Instant, millis, seconds, sooner } from '#ntm-lib/base/time.ts'
import type { CryptoSuite } from '#ntm-lib/crypto/suite.ts'
import type { TransactionKey } from '#ntm-lib/negotiate/control-events.ts'
import { type ContractRow, pairKey } from '#ntm-lib/ports/coordinator-store.ts'
import { decodeContract } from '#ntm-lib/wire/contract.ts'
import type { Response } from '#ntm-lib/wire/message.ts'
import type { DirectionRequest, DirectionResponse, Sought } from '#ntm-lib/wire/messages/direction.ts'
import type { Refusal } from '#ntm-lib/wire/messages/refusal.ts'
import { mayAsk } from './direction-admit.ts'
import type { DirectionParts } from './direction-parts.ts'
import { refuse } from './direction-replies.ts'
import { enactForeign } from './foreign-contract.ts'
import { foreignEnd } from './foreign-end.ts'
import type { Guest, Guests } from './guests.ts'
import { NOTICE } from './notices.ts'
import { covers, type OtherZones } from './other-zones.ts'
import { refusal } from './refuse.ts'
import type { CoordinatorKeys } from './settings.ts'

export type AbroadParts = DirectionParts & {
  readonly zones: OtherZones
  readonly guests: Guests
  readonly suite: CryptoSuite
  readonly keys: Pick<CoordinatorKeys, 'rootKey' | 'chain'>
  /** Whether a direction of ours makes a contract of this pair now. */
  readonly making: (pair: string) => boolean
}

type Task = {
  readonly tag: string
  readonly node: NodeId
  readonly transaction: TransactionKey
  readonly request: DirectionRequest
  /** Null while the coordinator of `name` is being looked for. */
  zone: string | null
  /** What was asked for; '' where it was no name. */
  readonly name: string
  readonly deadline: Instant
  /** When it is asked again, because directions of this pair crossed. */
  retryAt: Instant | null
  /** The contract that the other coordinator believes in and we do not know. */
  lost: Uint8Array | null
}

/**
 * Directions of our boxes to boxes of other zones. The correspondent's own coordinator is asked, mints the contract and
 * tells its box; what it answers goes on to ours, and both coordinators keep the contract (SEED 002 §3, Fig. 4).
 */
export class Abroad {
  readonly #p: AbroadParts
  readonly #tasks = new Map<string, Task>()
  /** Contracts that gave way to a newer one of their pair: whose they were, for the word that closes them. */
  readonly #old = new Expiring<string, { readonly own: NodeId; readonly zone: string }>(4096)
  #tags = 0

  constructor(parts: AbroadParts) {
    this.#p = parts
  }

  /** Directions under way. */
  get open(): number {
    return this.#tasks.size
  }

  /** Takes a Direction Request for somebody in another zone; false for all others. */
  ask(node: NodeId, transaction: TransactionKey, request: DirectionRequest, now: Instant): boolean {
    const name = 'name' in request.sought ? canonical(request.sought.name) : ''
    const zone = this.#zoneOf(node, request.sought)
    const seek = zone === null && request.sought.by === 'peer' && !covers(this.#p.zone, name)
    if (zone === null && !seek) return false
    const no = mayAsk(this.#p, node, request) ?? this.#tooMany(node)
    if (no !== null) {
      refuse(this.#p, node, transaction, no, now)
      return true
    }
    const tag = `abroad ${++this.#tags}`
    const deadline = after(now, PATIENCE)
    const task: Task = { tag, node, transaction, request, zone, name, deadline, retryAt: null, lost: null }
    this.#tasks.set(tag, task)
    if (seek) this.#p.zones.seek(name, now)
    else this.#send(task, now)
    return true
  }

  /** Whether a direction of `node` to this guest is under way. */
  asks(node: NodeId, { member }: Guest): boolean {
    return [...this.#tasks.values()].some(
      (t) => nodeKey(t.node) === nodeKey(node) && t.retryAt === null && meets(t, member.node, member.name),
    )
  }

  /** Takes the answer to a request of ours; false when nobody waits for this tag. */
  answer(tag: string, message: Response, now: Instant): boolean {
    const task = this.#tasks.get(tag)
    if (task === undefined) return false
    if (message.kind === 'direction-response') this.#directed(task, message, now)
    else if (message.kind !== 'refusal') this.#refuse(task, refusal('unsupported', 'an answer to something else'), now)
    else if (message.code === 'crossed' && after(now, CROSSED) < task.deadline) task.retryAt = after(now, CROSSED)
    else this.#refuse(task, message, now)
    return true
  }

  silent(tag: string, now: Instant): boolean {
    const task = this.#tasks.get(tag)
    if (task !== undefined) this.#refuse(task, UNREACHABLE, now)
    return task !== undefined
  }

  /** Whose a name is turned out; null: nobody's that can be proven. */
  sought(name: string, zone: string | null, now: Instant): void {
    for (const task of [...this.#tasks.values()]) {
      if (task.zone !== null || task.name !== name) continue
      task.zone = zone
      if (zone === null) this.#refuse(task, refusal('unknown-name', 'no coordinator of this network has it'), now)
      else this.#send(task, now)
    }
  }

  /** A box of ours is elsewhere: the coordinator that made this contract tells the other end. */
  moved(node: NodeId, { hash, correspondent }: ContractRow, now: Instant): void {
    const [end, row] = [foreignEnd(this.#p, node), this.#p.store.foreign(correspondent)]
    if (end === null || row === null) return
    this.#p.counters.count('coordinator.foreign.moved')
    const message = { kind: 'foreign-moved', contractHash: hash, end } as const
    this.#p.zones.request(row.zone, `${NOTICE}abroad ${++this.#tags}`, message, seconds(5), now)
  }

  /** Whose box the closed contract was, when it is no longer in force. */
  formerly(hash: Uint8Array): { readonly own: NodeId; readonly zone: string } | null {
    return this.#old.get(hex(hash)) ?? null
  }

  /** A box of ours has gone: nobody waits for its answers. */
  gone(node: NodeId): void {
    for (const t of this.#tasks.values()) if (nodeKey(t.node) === nodeKey(node)) this.#tasks.delete(t.tag)
  }

  tick(now: Instant): void {
    this.#old.sweep(now)
    for (const task of [...this.#tasks.values()]) {
      if (task.deadline <= now) this.#refuse(task, UNREACHABLE, now)
      else if (task.retryAt !== null && task.retryAt <= now) this.#send(task, now)
    }
  }

  deadline(): Instant | null {
    let first = this.#old.deadline()
    for (const t of this.#tasks.values()) first = sooner(first, t.retryAt ?? t.deadline)
    return first
  }

  #zoneOf(node: NodeId, sought: Sought): string | null {
    const { store, zones } = this.#p
    switch (sought.by) {
      case 'name':
      case 'peer': {
        const name = canonical(sought.name)
        return covers(this.#p.zone, name) ? null : zones.zoneOf(name)
      }
      case 'node':
        return store.member(sought.node) === null ? (store.foreign(sought.node)?.zone ?? null) : null
      case 'vip': {
        const row = store.contractsOf(node).find((c) => behind(c, node, sought.vip))
        const peer = row === undefined ? null : otherEnd(row, node)
        return peer === null || store.member(peer) !== null ? null : (store.foreign(peer)?.zone ?? null)
      }
      default:
        return sought satisfies never
    }
  }

  #tooMany(node: NodeId): Refusal | null {
    const own = [...this.#tasks.values()].filter((t) => nodeKey(t.node) === nodeKey(node))
    return own.length < this.#p.settings.directionsPerNode
      ? null
      : refusal('busy', 'too many directions under way', 1000)
  }

  #send(task: Task, now: Instant): void {
    const { zones, guests, making } = this.#p
    const guest = task.request.sought.by === 'node' ? guests.get(task.request.sought.node) : guests.byName(task.name)
    // The same pair's contract is being made from the other side: this one waits for it.
    if (guest !== null && making(pairKey(task.node, guest.member.node))) {
      task.retryAt = after(now, CROSSED)
      return
    }
    task.retryAt = null
    const initiator = foreignEnd(this.#p, task.node)
    if (initiator === null) return this.#refuse(task, refusal('not-registered', 'register first', 1000), now)
    const { sought, why, sources, lost } = task.request
    const again = task.lost === null ? { why, lost } : { why: 'reset' as const, lost: task.lost }
    const message = { kind: 'foreign-direction', sought, sources, ...again, initiator } as const
    const left = millis(Math.max(1, task.deadline - now))
    if (task.zone === null || !zones.request(task.zone, task.tag, message, left, now))
      this.#refuse(task, UNREACHABLE, now)
  }

  #directed(task: Task, message: DirectionResponse, now: Instant): void {
    const { node, transaction, zone } = task
    if (message.route === null) {
      const row = this.#p.store.contractByHash(message.contractHash)
      if (row === null && task.lost === null) {
        task.lost = message.contractHash
        return this.#send(task, now)
      }
      if (row === null) return this.#refuse(task, refusal('no-route', 'a contract that nobody here knows'), now)
      this.#p.contracts.prolong(row, this.#p.settings.leaseSeconds)
    } else {
      const { route, contractHash } = message
      const made = enactForeign(this.#p, node, zone ?? '', route, contractHash)
      if (typeof made === 'string') {
        this.#p.log.warn('federation.bad-answer', { zone: zone ?? '', why: made })
        this.#p.counters.count('coordinator.foreign.bad-answer')
        return this.#refuse(task, refusal('forbidden', made), now)
      }
      if (made.before !== null)
        this.#old.set(hex(made.before.hash), { own: node, zone: zone ?? '' }, after(now, seconds(60)))
    }
    this.#p.counters.count(`coordinator.direction.${message.route === null ? 'standing' : 'new'}`)
    this.#p.log.info('direction.answered', { node: nodeKey(node), zone: zone ?? '', how: 'foreign' })
    this.#tasks.delete(task.tag)
    this.#p.sessions.respond(transaction, message, now)
  }

  #refuse(task: Task, why: Refusal, now: Instant): void {
    this.#tasks.delete(task.tag)
    refuse(this.#p, task.node, task.transaction, why, now)
  }
}

const meets = ({ request, name }: Task, node: NodeId, guest: string): boolean =>
  request.sought.by === 'node' ? same(request.sought.node, node) : covers(guest, name)

const otherEnd = (row: ContractRow, node: NodeId): NodeId =>
  same(row.initiator, node) ? row.correspondent : row.initiator

/** Whether the other end of this contract may speak for the address. */
function behind(row: ContractRow, node: NodeId, vip: Ip): boolean {
  const decoded = decodeContract(row.bytes)
  if (!decoded.ok) return false
  const { opener, openerAllowed, acceptorAllowed } = decoded.value
  return (same(opener, node) ? acceptorAllowed : openerAllowed).some((p) => contains(p, vip))
}

const canonical = (name: string): string => name.toLowerCase().replace(/\.$/, '')
const UNREACHABLE = refusal('peer-silent', 'the coordinator of that zone does not answer', 2000)
/** As a direction of our own zone. */
const PATIENCE = millis(1600)
const CROSSED = millis(60)
