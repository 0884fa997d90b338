import type { Instant } from '#ntm-lib/base/time.ts'
import type { RelaySettings } from './settings.ts'

/** How busy the relay is, measured about once a second. */
export class Load {
  readonly #settings: RelaySettings
  #datagrams = 0
  #bytes = 0
  #at: Instant | null = null
  #busy = 0

  constructor(settings: RelaySettings) {
    this.#settings = settings
  }

  /** Takes the sums since the start; returns what came since it was last called. */
  measure(datagrams: number, bytes: number, now: Instant): { readonly datagrams: number; readonly bytes: number } {
    const moved = { datagrams: datagrams - this.#datagrams, bytes: bytes - this.#bytes }
    const passed = this.#at === null ? 0 : now - this.#at
    if (passed > 0) {
      const { kbitPerSecond, packetsPerSecond } = this.#settings
      const kbit = (moved.bytes * 8) / passed / (kbitPerSecond || WITHOUT_LIMIT.kbit)
      const packets = (moved.datagrams * 1000) / passed / (packetsPerSecond || WITHOUT_LIMIT.packets)
      // Half of what it was: one quiet second between two busy ones is not rest.
      this.#busy = (this.#busy + Math.max(kbit, packets)) / 2
    }
    this.#datagrams = datagrams
    this.#bytes = bytes
    this.#at = now
    return moved
  }

  percent(paths: number): number {
    const most = Math.max(paths / this.#settings.mostPaths, paths === 0 ? 0 : this.#busy)
    return Math.min(100, Math.round(100 * most))
  }
}

/** What a machine of two cores forwards with ease (`docs/performance.md`); what is unlimited must still be compared with something. */
const WITHOUT_LIMIT = { kbit: 4_000_000, packets: 500_000 }
