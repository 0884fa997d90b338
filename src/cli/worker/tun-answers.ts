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
    if (this.jobs.count === SLOTS || !mayAnswer(v, at, len) || !this.#may(now)) return
    const to = this.jobs.count * SLOT_BYTES + HEADROOM
    const room = SLOT_BYTES - HEADROOM
    const bytes = four
      ? writeError4(
          this.memory.view,
          to,
          room,
          ip4.destination(v, at),
          icmp4.UNREACHABLE,
          icmp4.FRAGMENTATION_NEEDED,
          mtuBytes,
          v,
          at,
          len,
        )
      : writeError6(
          this.memory.view,
          to,
          room,
          v,
          at + ip6.DESTINATION_AT,
          icmp6.PACKET_TOO_BIG,
          0,
          mtuBytes,
          v,
          at,
          len,
        )
    this.jobs.jobs.set([to, bytes, 0], 3 * this.jobs.count++)
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
const PER_SECOND = 100
const BURST = 50
