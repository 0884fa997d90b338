import { type Ip, ipText } from '#ntm-lib/addr/ip.ts'
import { Expiring } from '#ntm-lib/base/expiring.ts'
import { after, type Instant, millis } from '#ntm-lib/base/time.ts'
import type { Host } from './hosts.ts'
import { Rate } from './rate.ts'

export type Waiting = { readonly host: Host; readonly packet: Uint8Array; readonly gso: number }
type Question = { readonly id: number; readonly vip: Ip; readonly waiting: Waiting[] }

/**
 * Packets to virtual addresses that nobody here remembers (the box was restarted, the host was not): one question per
 * address, a few packets kept meanwhile, and a "no" remembered so that the host hears it at once.
 */
export class Unknown {
  readonly #open = new Expiring<string, Question>(MAX_QUESTIONS)
  readonly #refused = new Expiring<string, Instant>(4096)
  /** A host that scans must not make the coordinator work at its pace. */
  readonly #rate = new Rate(20, 64)
  #nextSweep = 0 as Instant
  #nextId = 1
  #bytes = 0

  /**
   * Keeps a copy of the packet, super-packet or not. `ask`: put the question with this id. `full` and `refused`: the packet
   * was not kept.
   */
  add(
    vip: Ip,
    host: Host,
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
      open.waiting.push(this.#kept(host, packet, gso))
      return 'waits'
    }
    if (this.#open.size >= MAX_QUESTIONS || !this.#rate.take(now)) return 'full'
    const id = this.#nextId++
    this.#open.set(key, { id, vip, waiting: [this.#kept(host, packet, gso)] }, after(now, WAIT))
    return { ask: id }
  }

  /** Ends the question `id` and gives back what waited; null when nobody asked (or waits) any more. */
  answered(id: number, found: boolean, now: Instant): Question | null {
    for (const [key, q] of this.#open.entries()) {
      if (q.id !== id) continue
      this.#open.delete(key)
      this.#free(q)
      if (!found) this.#refused.set(key, after(now, REFUSED_KEPT), after(now, REFUSED_KEPT))
      return q
    }
    return null
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

  #kept(host: Host, packet: Uint8Array, gso: number): Waiting {
    this.#bytes += packet.length
    return { host, packet: packet.slice(), gso }
  }

  #free(q: Question): void {
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
