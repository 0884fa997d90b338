import { isAddressType, judgeReply, leftAlone, plainQuestion } from '#dnsfn/judge.ts'
import { buildQuery, parseMessage, TYPE } from '#dnsfn/message.ts'
import { isSubdomainOf, neverOurs } from '#dnsfn/names.ts'
import type { Fingerprint } from '#ntm-lib/addr/ids.ts'
import { ipText } from '#ntm-lib/addr/ip.ts'
import { same } from '#ntm-lib/base/bytes.ts'
import { Expiring } from '#ntm-lib/base/expiring.ts'
import { after, type Instant, millis, seconds, sooner } from '#ntm-lib/base/time.ts'
import { decodeNtmService, SERVICE_LABELS } from '#ntm-lib/dns/records.ts'
import type { Counters } from '#ntm-lib/ports/counters.ts'
import type { Random } from '#ntm-lib/ports/machine.ts'
import type { NodeFlow } from './types.ts'

/** A program's question that went to the resolvers, and their answer when it waits for what is found out about its zone. */
export type Held<A> = { readonly flow: NodeFlow<A>; readonly query: Uint8Array; readonly reply: Uint8Array }

type Asking<A> = { readonly id: number; readonly until: Instant; readonly held: Held<A>[] }

/**
 * Finds out which zones that nobody told us of belong to our network: SVCB at `_ntm._udp.<parent of the name>`, asked beside the question.
 * Only an answer without an address waits for what comes of it, so an ordinary name costs nothing but that question, once in five minutes for
 * all names of one parent.
 */
export class ForeignZones<A> {
  readonly #fingerprint: Fingerprint
  readonly #random: Random
  readonly #counters: Counters
  readonly #asking = new Map<string, Asking<A>>()
  /** Zone → whether it is our network's. */
  readonly #known = new Expiring<string, boolean>(MAX_KNOWN)
  /** Questions on their way. */
  readonly #questions = new Expiring<string, Uint8Array>(MAX_QUESTIONS)

  constructor(fingerprint: Fingerprint, random: Random, counters: Counters) {
    this.#fingerprint = fingerprint
    this.#random = random
    this.#counters = counters
  }

  /** Zones found to be our network's. */
  get zones(): readonly string[] {
    return [...this.#known.entries()].flatMap(([zone, ours]) => (ours ? [zone] : []))
  }

  has(name: string): boolean {
    return this.zones.some((zone) => name !== zone && isSubdomainOf(name, zone))
  }

  /** A question is passed on to the resolvers; the question to be asked beside it, or null. */
  passing(bytes: Uint8Array, flow: NodeFlow<A>, now: Instant): Uint8Array | null {
    const query = parseMessage(bytes)
    const q = plainQuestion(query, false)
    if (query === null || q === null || !isAddressType(q.type) || leftAlone(query) || !flow.granted) return null
    const parent = parentOf(q.name)
    if (parent === null || neverOurs(parent) || this.#known.get(parent) !== undefined) return null
    this.#questions.set(keyOf(flow, query.id, q), bytes.slice(), after(now, QUESTION_KEPT))
    if (this.#asking.has(parent) || this.#asking.size >= MAX_ASKING) return null
    const id = ((this.#random.bytes(2)[0] ?? 0) << 8) | (this.#random.bytes(2)[1] ?? 0)
    const name = `${SERVICE_LABELS}.${parent}`
    const edns = { udpSize: 1232 }
    const svcb = buildQuery({ id, name, type: TYPE.SVCB, recursionDesired: true, edns })
    if (svcb === null) return null
    this.#asking.set(parent, { id, until: after(now, PATIENCE), held: [] })
    this.#counters.count('node.dns.zone-asked')
    return svcb
  }

  /** `settled`: this answers a question of ours, and what waited for it goes on. `held`: it waits. `no`: neither is the case. */
  reply(bytes: Uint8Array, flow: NodeFlow<A>, now: Instant): { readonly settled: readonly Held<A>[] } | 'held' | 'no' {
    const reply = parseMessage(bytes)
    const q = plainQuestion(reply, true)
    if (reply === null || q === null) return 'no'
    if (q.type === TYPE.SVCB && q.name.startsWith(`${SERVICE_LABELS}.`)) {
      const zone = q.name.slice(SERVICE_LABELS.length + 1)
      const asking = this.#asking.get(zone)
      if (asking === undefined || asking.id !== reply.id) return 'no'
      const ours = reply.answers.some(({ type, data }) => type === TYPE.SVCB && this.#isOurs(data))
      if (ours) this.#counters.count('node.dns.zone-found')
      return { settled: this.#settle(zone, ours, now) }
    }
    const parent = parentOf(q.name)
    const asking = parent === null ? undefined : this.#asking.get(parent)
    const query = this.#questions.get(keyOf(flow, reply.id, q))
    if (parent === null || query === undefined || judgeReply(reply, q.type) !== 'lacks') return 'no'
    if (this.#known.get(parent) === true) return { settled: [{ flow, query, reply: bytes.slice() }] }
    if (asking === undefined) return 'no'
    if (asking.held.length >= MAX_HELD) return 'no'
    asking.held.push({ flow, query, reply: bytes.slice() })
    return 'held'
  }

  /** What has waited long enough. */
  tick(now: Instant): readonly Held<A>[] {
    this.#known.sweep(now)
    this.#questions.sweep(now)
    return [...this.#asking].flatMap(([zone, { until }]) => (until <= now ? this.#settle(zone, false, now) : []))
  }

  deadline(): Instant | null {
    let first: Instant | null = null
    for (const { until } of this.#asking.values()) first = sooner(first, until)
    return first
  }

  #settle(zone: string, ours: boolean, now: Instant): readonly Held<A>[] {
    const held = this.#asking.get(zone)?.held ?? []
    this.#asking.delete(zone)
    this.#known.set(zone, ours, after(now, KNOWN_FOR))
    return held
  }

  #isOurs(data: unknown): boolean {
    const service = data instanceof Uint8Array ? decodeNtmService(data) : null
    return service?.ok === true && same(service.value.fingerprint, this.#fingerprint)
  }
}

/** The zone that a name may belong to; null where that would be a top-level domain. */
function parentOf(name: string): string | null {
  const parent = name.slice(name.indexOf('.') + 1)
  return name.includes('.') && parent.includes('.') ? parent : null
}

const keyOf = <A>(flow: NodeFlow<A>, id: number, q: { readonly name: string; readonly type: number }): string =>
  `${ipText(flow.resolver)} ${flow.hostPort} ${id} ${q.type} ${q.name}`

const MAX_KNOWN = 1024
const MAX_ASKING = 64
const MAX_HELD = 16
const MAX_QUESTIONS = 512
const QUESTION_KEPT = seconds(3)
/** An answer without an address waits no longer; most resolvers have said by then that there is nothing. */
const PATIENCE = millis(800)
const KNOWN_FOR = seconds(300)
