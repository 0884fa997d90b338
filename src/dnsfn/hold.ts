import { contains } from '#ntm-lib/addr/prefix.ts'
import { after, type Instant, millis, sooner } from '#ntm-lib/base/time.ts'
import type { Counters } from '#ntm-lib/ports/counters.ts'
import type { Random } from '#ntm-lib/ports/machine.ts'
import type { RefusalCode } from '#ntm-lib/wire/messages/refusal.ts'
import { addressAnswer, negativeAnswer } from './answers.ts'
import type { DirectedResult, DnsFlow, HoldConfig, HoldOut, HoldVerdict } from './flow.ts'
import {
  isAddressType,
  isServiceType,
  judgeReply,
  leftAlone,
  otherType,
  PASSING,
  plainQuestion,
  plainSeconds,
  TRANSIENT,
  wants,
} from './judge.ts'
import { hostTtl, type KnownName, KnownNames, MAX_TTL, NEGATIVE_TTL } from './known.ts'
import {
  type AnswerSpec,
  buildAnswer,
  buildQuery,
  CLASS_IN,
  type DnsMessage,
  type DnsQuestion,
  parseMessage,
  RCODE,
  TYPE,
} from './message.ts'
import { isSubdomainOf, neverOurs, reverseAddress } from './names.ts'
import { type Pending, PendingTable } from './pending.ts'

/**
 * Decides what becomes of every DNS message between hosts and resolvers. A query for one of our names is taken; any other
 * passes at once while the address type that may be missing is asked beside it, and only a reply without the type asked is
 * held (SEED 003 §4.1: A, and AAAA for a host without IPv4).
 *
 * Never more than one answer per query: once a reply was held or an answer given, later replies to the same query are eaten.
 */
export class Hold<F extends DnsFlow> {
  readonly known = new KnownNames()
  #zones: readonly string[] = []
  readonly #pending = new PendingTable<F>()
  readonly #directions = new Map<number, { host: string; name: string; until: Instant }>()
  readonly #directing = new Map<string, number>()
  #nextDirection = 1
  #out: HoldOut<F>[] = []
  readonly #config: HoldConfig
  readonly #random: Random
  readonly #counters: Counters
  readonly #by: string

  constructor(config: HoldConfig, random: Random, counters: Counters) {
    this.#config = config
    this.#random = random
    this.#counters = counters
    this.#by = config.countedAs ?? 'bridge.dns'
  }

  /** The zones whose names are NTM names, normalised. The zone's own name is not among them: its servers answer for it. */
  setZones(zones: readonly string[]): void {
    this.#zones = zones.filter((z) => z !== '')
  }

  /** A host's DNS message towards a resolver. `payload` is only valid during the call. */
  onQuery(payload: Uint8Array, flow: F, now: Instant): HoldVerdict {
    const query = parseMessage(payload)
    const q = plainQuestion(query, false)
    const verdict = this.#judge(query, q, flow, now)
    // `fail = "closed"`: what we cannot serve now is not for the resolver's ears either.
    const leaks = this.#config.closed === true && verdict === 'pass' && q !== null && this.#isOurs(q.name)
    if (leaks && query !== null) return this.#answer(flow, query, { rcode: RCODE.SERVFAIL })
    if (verdict === 'pass' && query !== null && q !== null) this.#pending.passes(flow, query.id, q)
    return verdict
  }

  #judge(query: DnsMessage | null, q: DnsQuestion | null, flow: F, now: Instant): HoldVerdict {
    const moved = query === null ? null : this.#pending.giveWay(flow, query.id, this.#random)
    if (moved?.other === 'unknown') this.#ask(moved)
    if (query === null || q === null || leftAlone(query)) return 'pass'
    if (q.type === TYPE.PTR) return this.#reverse(query, q, flow)
    if (!flow.granted || neverOurs(q.name)) return 'pass'
    const ours = this.#isOurs(q.name)
    const known = this.known.find(flow.host, q.name, now)
    if (ours && !isAddressType(q.type)) return this.#no(flow, query, q, RCODE.NOERROR)
    if ((known !== null || flow.tunnelsAll === true) && isServiceType(q.type))
      return this.#answer(flow, query, { rcode: RCODE.NOERROR })
    if (!ours && !wants(q.type, flow)) return 'pass'
    const pending = this.#pending.find(flow, query.id, q)
    if (known !== null) {
      if (pending !== null) this.#pending.close(pending, 'eat')
      return this.#answer(flow, query, this.#found(q, known, now))
    }
    if (pending !== null && pending.state !== 'eat') return this.#again(pending)
    if (this.known.isPlain(q.name, ours ? 0 : q.type, now))
      return ours ? this.#no(flow, query, q, RCODE.NXDOMAIN) : 'pass'
    return this.#open(query, q, flow, ours, now)
  }

  /** A resolver's DNS message towards a host. `frame` is copied when it is kept. */
  onReply(payload: Uint8Array, frame: Uint8Array, flow: F, now: Instant): HoldVerdict {
    const reply = parseMessage(payload)
    const q = plainQuestion(reply, true)
    if (reply === null || q === null) return 'pass'
    const asked = this.#pending.findOwn(flow, reply.id, q)
    if (asked !== null) return this.#ownAnswer(asked, reply, now)
    if (isServiceType(q.type) && this.#isTunnelled(flow.host, q.name, now))
      return this.#answer(flow, reply, { rcode: RCODE.NOERROR })
    const p = this.#pending.find(flow, reply.id, q)
    if (p === null || p.state === 'pass') return 'pass'
    if (p.state !== 'open') return 'taken'
    const says = judgeReply(reply, q.type)
    if (says === 'has' && flow.tunnelsAll === true) {
      p.other = 'exists'
      p.heldWillDo = true
    } else if (says !== 'lacks' || p.other === 'none') {
      if (says === 'has') this.known.learnPlain(q.name, q.type, plainSeconds(reply, q.type), now)
      else if (says === 'lacks') this.known.learnPlain(q.name, q.type, NEGATIVE_TTL, now)
      this.#pending.close(p, 'pass')
      return 'pass'
    }
    p.held = frame.slice()
    this.#pending.wait(p, 'held')
    this.#counters.count(`${this.#by}.held`)
    if (p.other === 'exists') this.#direct(p, now)
    else this.#hurry(p, now)
    return 'taken'
  }

  /** The outcome of the direction `id`. Unknown ids (answered twice, or too late to matter) are ignored. */
  directed(id: number, result: DirectedResult, now: Instant): void {
    const d = this.#directions.get(id)
    if (d === undefined || !this.#directions.delete(id)) return
    this.#directing.delete(`${d.host} ${d.name}`)
    const families = this.#isOurs(d.name) && result.ok ? result.families || 3 : 3
    if (result.ok) this.known.learn(d.host, d.name, result, result.ttlSeconds, now, families)
    else if (!this.#isOurs(d.name) ? !PASSING.has(result.why) : result.why === 'unknown-name')
      this.known.learnPlain(d.name, 0, NEGATIVE_TTL, now)
    const known = this.known.find(d.host, d.name, now)
    for (const p of this.#pending.waiting()) {
      if (p.state !== 'directing' || p.flow.host !== d.host || p.question.name !== d.name) continue
      if (known !== null) this.#finish(p, this.#found(p.question, known, now))
      else if (!result.ok) this.#turnDown(p, result.why)
    }
  }

  tick(now: Instant): void {
    this.known.sweep(now)
    for (const p of this.#pending.waiting()) {
      if (p.state === 'held') this.#hurry(p, now)
      else if (p.holdUntil <= now) this.#turnDown(p, 'peer-silent')
    }
    this.#pending.sweep(now)
    for (const [id, d] of this.#directions) {
      if (d.until > now) continue
      this.#directions.delete(id)
      this.#directing.delete(`${d.host} ${d.name}`)
    }
  }

  deadline(): Instant | null {
    let first = this.#pending.deadline()
    for (const d of this.#directions.values()) first = sooner(first, d.until)
    return first
  }

  poll(): HoldOut<F> | null {
    return this.#out.shift() ?? null
  }

  #open(query: DnsMessage, q: DnsQuestion, flow: F, ours: boolean, now: Instant): HoldVerdict {
    const p = this.#pending.open(flow, query, q, now, millis(this.#config.holdMillis), this.#random)
    if (p === null) {
      this.#counters.count(`${this.#by}.table-full`)
      return 'pass'
    }
    if (ours) {
      this.#direct(p, now)
      return 'taken'
    }
    if (this.#directing.has(`${flow.host} ${q.name}`)) p.other = 'exists'
    else this.#ask(p)
    return 'pass'
  }

  /** The host sent the same query again: while we hold its reply it waits, otherwise ours is repeated beside it. */
  #again(p: Pending<F>): HoldVerdict {
    if (p.state === 'held' || p.state === 'directing') return 'taken'
    if (p.state === 'open' && p.other === 'unknown') this.#ask(p)
    return 'pass'
  }

  /** A held reply waits for our question: repeats it once, and lets the reply go in the end. */
  #hurry(p: Pending<F>, now: Instant): void {
    if (p.askUntil <= now) this.#release(p, 'own-question-unanswered')
    else if (p.askAgain !== null && p.askAgain <= now) {
      p.askAgain = null
      this.#ask(p)
    }
  }

  #ask(p: Pending<F>): void {
    const { name, type } = p.question
    const edns = { udpSize: 1232 }
    const bytes = buildQuery({ id: p.ownId, name, type: otherType(type), recursionDesired: true, edns })
    if (bytes !== null) this.#out.push({ out: 'ask', flow: p.flow, bytes })
  }

  #ownAnswer(p: Pending<F>, reply: DnsMessage, now: Instant): HoldVerdict {
    if (p.other !== 'unknown') return 'taken'
    const says = judgeReply(reply, otherType(p.question.type))
    p.other = says === 'has' ? 'exists' : 'none'
    if (p.state !== 'held') return 'taken'
    if (p.other === 'exists') this.#direct(p, now)
    else {
      if (says === 'lacks') this.known.learnPlain(p.question.name, p.question.type, NEGATIVE_TTL, now)
      this.#release(p, 'released-plain')
    }
    return 'taken'
  }

  #direct(p: Pending<F>, now: Instant): void {
    const key = `${p.flow.host} ${p.question.name}`
    const known = this.known.find(p.flow.host, p.question.name, now)
    this.#pending.wait(p, 'directing')
    if (known !== null) {
      this.#finish(p, this.#found(p.question, known, now))
      return
    }
    if (!this.#directing.has(key)) {
      if (this.#directions.size >= MAX_DIRECTIONS) {
        this.#turnDown(p, 'busy')
        return
      }
      const id = this.#nextDirection++
      // Remembered longer than any hold: a late direction still answers the host's next try at once.
      this.#directions.set(id, { host: p.flow.host, name: p.question.name, until: after(now, DIRECTION_KEPT) })
      this.#directing.set(key, id)
      this.#out.push({ out: 'direct', id, name: p.question.name, host: p.flow.host })
    }
    if (p.holdUntil <= now) this.#turnDown(p, 'peer-silent')
  }

  #turnDown(p: Pending<F>, why: RefusalCode | 'unreachable'): void {
    if (p.held === null && why === 'unknown-name')
      this.#finish(p, negativeAnswer(RCODE.NXDOMAIN, p.question.name, this.#zones))
    else if (p.held === null || (TRANSIENT.has(why) && !p.heldWillDo)) this.#finish(p, { rcode: RCODE.SERVFAIL })
    else this.#release(p, 'released-refused')
  }

  #release(p: Pending<F>, what: string): void {
    if (p.held !== null) this.#out.push({ out: 'release', flow: p.flow, frame: p.held })
    this.#counters.count(`${this.#by}.${what}`)
    this.#pending.close(p, 'eat')
  }

  #finish(p: Pending<F>, spec: AnswerSpec): void {
    this.#pending.close(p, 'eat')
    this.#answer(p.flow, p.query, spec)
  }

  #answer(flow: F, to: DnsMessage, spec: AnswerSpec): HoldVerdict {
    this.#counters.count(`${this.#by}.${spec.rcode === RCODE.SERVFAIL ? 'servfail' : 'answered'}`)
    this.#out.push({ out: 'answer', flow, bytes: buildAnswer(to, { ...spec, recursionAvailable: true }) })
    return 'taken'
  }

  #reverse(query: DnsMessage, q: DnsQuestion, flow: F): HoldVerdict {
    const ip = reverseAddress(q.name)
    if (ip === null || !this.#config.virtual.some((p) => contains(p, ip))) return 'pass'
    const data = this.known.nameOf(ip)
    if (data === null) return this.#answer(flow, query, { rcode: RCODE.NXDOMAIN })
    const answers = [{ name: q.name, type: TYPE.PTR, class: CLASS_IN, ttl: MAX_TTL, data }]
    return this.#answer(flow, query, { rcode: RCODE.NOERROR, answers })
  }

  /** The address asked for; a host of ours that lacks the family is not to be sought in it. */
  #found(q: DnsQuestion, known: KnownName, now: Instant): AnswerSpec {
    if ((known.families & (q.type === TYPE.A ? 1 : 2)) !== 0) return addressAnswer(q, known, hostTtl(known, now))
    return negativeAnswer(RCODE.NOERROR, q.name, this.#zones)
  }

  #no(flow: F, query: DnsMessage, q: DnsQuestion, rcode: number): HoldVerdict {
    return this.#answer(flow, query, negativeAnswer(rcode, q.name, this.#zones))
  }

  #isOurs(name: string): boolean {
    return this.#zones.some((z) => name !== z && isSubdomainOf(name, z))
  }

  #isTunnelled(host: string, name: string, now: Instant): boolean {
    return this.known.find(host, name, now) !== null || this.#directing.has(`${host} ${name}`)
  }
}

const MAX_DIRECTIONS = 512
const DIRECTION_KEPT = millis(30_000)
