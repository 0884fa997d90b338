import { type Ip, ipText } from '../addr/ip.ts'
import { Expiring } from '../base/expiring.ts'
import { Rate } from '../base/rate.ts'
import { after, type Instant, millis } from '../base/time.ts'

/** A packet that is kept, and whose it is. */
export type Waiting<From> = { readonly from: From; readonly packet: Uint8Array; readonly gso: number }
type Question<From> = { readonly id: number; readonly vip: Ip; readonly waiting: Waiting<From>[] }

/**
 * Packets to virtual addresses that nobody here remembers (this program was restarted, its hosts were not): one question per
 * address, a few packets kept meanwhile, and a "no" remembered so that who sends hears it at once.
 */
export class UnknownAddresses<From> {
  readonly #open = new Expiring<string, Question<From>>(MAX_QUESTIONS)
  readonly #refused = new Expiring<string, Instant>(4096)
  /** A host that scans must not make the coordinator work at its pace. */
  readonly #rate = new Rate(20, 64)
  #nextSweep = 0 as Instant
  #nextId = 1
  #bytes = 0

  /** Whether a question is open. */
  get isAsking(): boolean {
    return this.#open.size > 0
  }

  /**
   * Keeps a copy of the packet, super-packet or not. `ask`: put the question with this id. `full` and `refused`: the packet
   * was not kept.
   */
  add(
    vip: Ip,
    from: From,
    packet: Uint8Array,
    gso: number,
    now: Instant,
  ): { ask: number } | 'waits' | 'full' | 'refused' {
    const key = ipText(vip)
    if ((this.#refused.get(key) ?? now) > now) return 'refused'
    if (this.#bytes + packet.length > MAX_BYTES) return 'full'
    const open = this.#open.get(key)
    if (open !== undefined) {
      if (open.waiting.length >= MAX_WAITING) return 'full'
      open.waiting.push(this.#kept(from, packet, gso))
      return 'waits'
    }
    if (this.#open.size >= MAX_QUESTIONS || !this.#rate.take(now)) return 'full'
    const id = this.#nextId++
    this.#open.set(key, { id, vip, waiting: [this.#kept(from, packet, gso)] }, after(now, WAIT))
    return { ask: id }
  }

  /** Ends the question `id` and gives back what waited; null when nobody asked (or waits) any more. */
  answered(id: number, found: boolean, now: Instant): Question<From> | null {
    for (const [, q] of this.#open.entries()) if (q.id === id) return this.answeredFor(q.vip, found, now)
    return null
  }

  /** As `answered`, by the address that was asked for. */
  answeredFor(vip: Ip, found: boolean, now: Instant): Question<From> | null {
    const key = ipText(vip)
    const q = this.#open.get(key)
    if (q === undefined) return null
    this.#open.delete(key)
    this.#free(q)
    if (!found) this.#refused.set(key, after(now, REFUSED_KEPT), after(now, REFUSED_KEPT))
    return q
  }

  /** A route appeared by another way: forget the "no". */
  found(vip: Ip): void {
    this.#refused.delete(ipText(vip))
  }

  /** Ends what nobody answered; how many packets were lost with it. */
  sweep(now: Instant): number {
    if (now < this.#nextSweep) return 0
    this.#nextSweep = after(now, SWEEP_EVERY)
    this.#refused.sweep(now)
    let lost = 0
    for (const [, q] of this.#open.sweep(now)) {
      this.#free(q)
      lost += q.waiting.length
    }
    return lost
  }

  deadline(): Instant | null {
    const first = this.#open.deadline()
    // Nothing hangs on the exact moment: one sweep ends many.
    return first === null ? null : (Math.max(first, this.#nextSweep) as Instant)
  }

  #kept(from: From, packet: Uint8Array, gso: number): Waiting<From> {
    this.#bytes += packet.length
    return { from, packet: packet.slice(), gso }
  }

  #free(q: Question<From>): void {
    for (const { packet } of q.waiting) this.#bytes -= packet.length
  }
}

const MAX_QUESTIONS = 256
const MAX_WAITING = 8
/** Of all that waits: super-packets would make it a hundred times as much. */
const MAX_BYTES = 4 << 20
/** Longer than the whole set-up of a tunnel takes; TCP sends its SYN again anyway. */
const WAIT = millis(5000)
const SWEEP_EVERY = millis(250)
const REFUSED_KEPT = millis(10_000)
