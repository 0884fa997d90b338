import type { Instant } from '#ntm-lib/base/time.ts'
import { mayAnswer, writeError4, writeError6 } from '#ntm-lib/packet/icmp-error.ts'
import * as icmp4 from '#ntm-lib/packet/icmp4.ts'
import * as icmp6 from '#ntm-lib/packet/icmp6.ts'
import * as ip4 from '#ntm-lib/packet/ip4.ts'
import * as ip6 from '#ntm-lib/packet/ip6.ts'
import { HEADROOM, outgoing, superBatch } from '#ntm-lib/ports/packet-port.ts'

/** ICMP errors to this machine about packets that do not go into a tunnel, rate-limited together (RFC 1812 §4.3.2.8). */
export class TunAnswers {
  readonly memory = superBatch(SLOTS, SLOT_BYTES)
  readonly jobs = outgoing(SLOTS)
  #tokens = BURST
  #filledAt: Instant | null = null

  /** Queues "packet too big" about the packet at `at`; it comes from where the packet was going. */
  tooBig(v: DataView, at: number, len: number, mtuBytes: number, now: Instant): void {
    const four = ip4.version(v, at) === 4
    if (four) this.#error4(icmp4.FRAGMENTATION_NEEDED, mtuBytes, v, at, len, now)
    else this.#error6(icmp6.PACKET_TOO_BIG, 0, mtuBytes, v, at, len, now)
  }

  /** As `tooBig`: nobody knows the way to where the packet goes. RFC 792, RFC 4443 §3.1. */
  unreachable(v: DataView, at: number, len: number, now: Instant): void {
    if (ip4.version(v, at) === 4) this.#error4(icmp4.HOST_UNREACHABLE, 0, v, at, len, now)
    else this.#error6(icmp6.UNREACHABLE, icmp6.ADDRESS_UNREACHABLE, 0, v, at, len, now)
  }

  #error4(code: number, rest: number, v: DataView, at: number, len: number, now: Instant): void {
    const to = this.#slot(v, at, len, now)
    if (to === 0) return
    const { view } = this.memory
    this.#queue(to, writeError4(view, to, ROOM, ip4.destination(v, at), icmp4.UNREACHABLE, code, rest, v, at, len))
  }

  #error6(type: number, code: number, rest: number, v: DataView, at: number, len: number, now: Instant): void {
    const to = this.#slot(v, at, len, now)
    if (to === 0) return
    const { view } = this.memory
    this.#queue(to, writeError6(view, to, ROOM, v, at + ip6.DESTINATION_AT, type, code, rest, v, at, len))
  }

  /** Where the next answer is written; 0 when none may be. */
  #slot(v: DataView, at: number, len: number, now: Instant): number {
    if (this.jobs.count === SLOTS || !mayAnswer(v, at, len) || !this.#may(now)) return 0
    return this.jobs.count * SLOT_BYTES + HEADROOM
  }

  #queue(at: number, bytes: number): void {
    this.jobs.jobs.set([at, bytes, 0], 3 * this.jobs.count++)
  }

  #may(now: Instant): boolean {
    const passed = this.#filledAt === null ? 0 : now - this.#filledAt
    this.#filledAt = now
    this.#tokens = Math.min(BURST, this.#tokens + (passed * PER_SECOND) / 1000)
    if (this.#tokens < 1) return false
    this.#tokens--
    return true
  }
}

const SLOTS = 16
const SLOT_BYTES = 2048
const ROOM = SLOT_BYTES - HEADROOM
const PER_SECOND = 100
const BURST = 50
