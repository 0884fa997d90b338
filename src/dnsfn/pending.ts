import { type Ip, ipText } from '#ntm-lib/addr/ip.ts'
import { after, type Instant, type Millis, millis, sooner } from '#ntm-lib/base/time.ts'
import type { Random } from '#ntm-lib/ports/machine.ts'
import type { DnsMessage, DnsQuestion } from './message.ts'

type Flow = { readonly host: string; readonly hostPort: number; readonly resolver: Ip }

/** One query of a host's that is on its way, or was a moment ago. */
export type Pending<F> = {
  readonly flow: F
  readonly query: DnsMessage
  readonly question: DnsQuestion
  /** Id of the question we ask beside it. */
  ownId: number
  /** When that question is repeated, should its answer be missing while a reply is held; null once it was. */
  askAgain: Instant | null
  /** `open`: the query passed. `held`: its reply waits for our question. `directing`: waits for a direction. Then over:
   *  `pass`: replies go through; `eat`: the host has its answer. */
  state: 'open' | 'held' | 'directing' | 'pass' | 'eat'
  /** What our own question found out about the other address type. */
  other: 'unknown' | 'exists' | 'none'
  held: Uint8Array | null
  /** The held reply has what was asked: when no tunnel comes about it is let go. */
  heldWillDo: boolean
  readonly askUntil: Instant
  readonly holdUntil: Instant
  readonly until: Instant
}

/** The queries on their way, found by the host's id or by ours. Bounded in all and per host: beyond that, queries pass. */
export class PendingTable<F extends Flow> {
  readonly #byQuery = new Map<string, Pending<F>>()
  readonly #byOwn = new Map<string, Pending<F>>()
  readonly #byHost = new Map<string, number>()
  /** Those held or directing: few, and the only ones whose time matters. */
  readonly #waiting = new Set<Pending<F>>()

  /** Enters a query; a finished one with the same key is replaced. Null when the table is full. */
  open(
    flow: F,
    query: DnsMessage,
    question: DnsQuestion,
    now: Instant,
    hold: Millis,
    random: Random,
  ): Pending<F> | null {
    const old = this.#byQuery.get(queryKey(flow, query.id, question))
    if (old !== undefined) this.#remove(old)
    const count = this.#byHost.get(flow.host) ?? 0
    if (this.#byQuery.size >= MAX_PENDING || count >= MAX_PER_HOST) return null
    const ownId = this.#freeId(flow, query.id, random)
    const p: Pending<F> = {
      flow,
      query,
      question,
      ownId,
      askAgain: after(now, millis(hold * 0.25)),
      state: 'open',
      other: 'unknown',
      held: null,
      heldWillDo: false,
      // Leaves the direction a quarter of the hold, should the answer come at the last moment.
      askUntil: after(now, millis(hold * 0.75)),
      holdUntil: after(now, hold),
      until: after(now, millis(hold + REMEMBERED)),
    }
    this.#byQuery.set(queryKey(flow, query.id, question), p)
    this.#byOwn.set(ownKey(flow, ownId), p)
    this.#byHost.set(flow.host, count + 1)
    return p
  }

  find(flow: Flow, id: number, q: DnsQuestion): Pending<F> | null {
    return this.#byQuery.get(queryKey(flow, id, q)) ?? null
  }

  /** The query whose question beside it this answers: same resolver, port, id, name and the other type. */
  findOwn(flow: Flow, id: number, q: DnsQuestion): Pending<F> | null {
    const p = this.#byOwn.get(ownKey(flow, id))
    return p !== undefined && p.question.name === q.name && p.question.type !== q.type ? p : null
  }

  /** The host uses `id` itself: a question of ours with the same one takes another and is returned, to be asked again. */
  giveWay(flow: Flow, id: number, random: Random): Pending<F> | null {
    const p = this.#byOwn.get(ownKey(flow, id))
    if (p === undefined) return null
    this.#byOwn.delete(ownKey(flow, id))
    p.ownId = this.#freeId(p.flow, id, random)
    this.#byOwn.set(ownKey(p.flow, p.ownId), p)
    return p
  }

  wait(p: Pending<F>, state: 'held' | 'directing'): void {
    p.state = state
    this.#waiting.add(p)
  }

  close(p: Pending<F>, state: 'pass' | 'eat'): void {
    p.state = state
    p.held = null
    this.#waiting.delete(p)
  }

  /** The host sent the query again after it was answered (it may never have seen that), and it goes on: its reply is to come through. */
  passes(flow: Flow, id: number, q: DnsQuestion): void {
    const p = this.find(flow, id, q)
    if (p?.state === 'eat') p.state = 'pass'
  }

  /** A copy: its reader closes them as it goes. */
  waiting(): Pending<F>[] {
    return [...this.#waiting]
  }

  /** All live equally long, so the oldest entry is the first to go. */
  sweep(now: Instant): void {
    for (const p of this.#byQuery.values()) {
      if (p.until > now) return
      this.#remove(p)
    }
  }

  deadline(): Instant | null {
    const oldest = this.#byQuery.values().next()
    let first = oldest.done === true ? null : oldest.value.until
    for (const p of this.#waiting) first = sooner(first, p.state === 'held' ? (p.askAgain ?? p.askUntil) : p.holdUntil)
    return first
  }

  #remove(p: Pending<F>): void {
    this.#waiting.delete(p)
    this.#byQuery.delete(queryKey(p.flow, p.query.id, p.question))
    if (this.#byOwn.get(ownKey(p.flow, p.ownId)) === p) this.#byOwn.delete(ownKey(p.flow, p.ownId))
    const left = (this.#byHost.get(p.flow.host) ?? 1) - 1
    if (left > 0) this.#byHost.set(p.flow.host, left)
    else this.#byHost.delete(p.flow.host)
  }

  /** Unpredictable, and neither the host's own id nor one in use on the same port. */
  #freeId(flow: F, taken: number, random: Random): number {
    const [high = 0, low = 0] = random.bytes(2)
    let id = (high << 8) | low
    while (id === taken || this.#byOwn.has(ownKey(flow, id))) id = (id + 1) & 0xffff
    return id
  }
}

const queryKey = (f: Flow, id: number, q: DnsQuestion): string =>
  `${f.host} ${f.hostPort} ${ipText(f.resolver)} ${id} ${q.type} ${q.name}`
const ownKey = (f: Flow, id: number): string => `${f.host} ${f.hostPort} ${ipText(f.resolver)} ${id}`

const MAX_PENDING = 4096
const MAX_PER_HOST = 512
/** How long after its hold a query is remembered, so that late answers to our own questions never reach the host. */
const REMEMBERED = 5000
