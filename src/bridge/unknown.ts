import { type Ip, ipText } from '#ntm-lib/addr/ip.ts'
import { Expiring } from '#ntm-lib/base/expiring.ts'
import { after, type Instant, millis, sooner } from '#ntm-lib/base/time.ts'
import type { Host } from './hosts.ts'

export type Waiting = { readonly host: Host; readonly packet: Uint8Array }
type Question = { readonly id: number; readonly vip: Ip; readonly waiting: Waiting[] }

/**
 * Packets to virtual addresses that nobody here remembers (the box was restarted, the host was not): one question per
 * address, a few packets kept meanwhile, and a "no" remembered so that the host hears it at once.
 */
export class Unknown {
  readonly #open = new Expiring<string, Question>(MAX_QUESTIONS)
  readonly #refused = new Expiring<string, true>(4096)
  #nextId = 1

  /** Keeps a copy of the packet. `ask`: put the question with this id. `full` and `refused`: the packet was not kept. */
  add(vip: Ip, host: Host, packet: Uint8Array, now: Instant): { ask: number } | 'waits' | 'full' | 'refused' {
    this.sweep(now)
    const key = ipText(vip)
    if (this.#refused.get(key) === true) return 'refused'
    const open = this.#open.get(key)
    if (open !== undefined) {
      if (open.waiting.length >= MAX_WAITING) return 'full'
      open.waiting.push({ host, packet: packet.slice() })
      return 'waits'
    }
    if (this.#open.size >= MAX_QUESTIONS) return 'full'
    const id = this.#nextId++
    this.#open.set(key, { id, vip, waiting: [{ host, packet: packet.slice() }] }, after(now, WAIT))
    return { ask: id }
  }

  /** Ends the question `id` and gives back what waited; null when nobody asked (or waits) any more. */
  answered(id: number, found: boolean, now: Instant): Question | null {
    for (const [key, q] of this.#open.entries()) {
      if (q.id !== id) continue
      this.#open.delete(key)
      if (!found) this.#refused.set(key, true, after(now, REFUSED_KEPT))
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
    this.#refused.sweep(now)
    return this.#open.sweep(now).reduce((n, [, q]) => n + q.waiting.length, 0)
  }

  deadline(): Instant | null {
    return sooner(this.#open.deadline(), this.#refused.deadline())
  }
}

const MAX_QUESTIONS = 256
const MAX_WAITING = 8
/** Longer than the whole set-up of a tunnel takes; TCP sends its SYN again anyway. */
const WAIT = millis(5000)
const REFUSED_KEPT = millis(10_000)
