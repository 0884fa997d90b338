import type { Instant } from '#ntm-lib/base/time.ts'

/**
 * Token buckets by row, for bytes and packets at once: a quarter of a second of the rate may go in one burst, and at least what one
 * reading of the socket may bring. Nothing is allocated when something is taken.
 */
export class Budgets {
  readonly #bytesPerMs: Float64Array
  readonly #packetsPerMs: Float64Array
  readonly #bytes: Float64Array
  readonly #packets: Float64Array
  readonly #last: Float64Array

  constructor(rows: number) {
    this.#bytesPerMs = new Float64Array(rows)
    this.#packetsPerMs = new Float64Array(rows)
    this.#bytes = new Float64Array(rows)
    this.#packets = new Float64Array(rows)
    this.#last = new Float64Array(rows)
  }

  /** Begins with full buckets. 0 is no limit. */
  set(row: number, kbitPerSecond: number, packetsPerSecond: number, now: Instant): void {
    this.#bytesPerMs[row] = kbitPerSecond / 8
    this.#packetsPerMs[row] = packetsPerSecond / 1000
    this.#bytes[row] = this.#mostBytes(row)
    this.#packets[row] = this.#mostPackets(row)
    this.#last[row] = now
  }

  /** How many of `packets` datagrams of `each` bytes may go now. Takes nothing. */
  fits(row: number, packets: number, each: number, now: Instant): number {
    this.#fill(row, now)
    let fit = packets
    if ((this.#bytesPerMs[row] ?? 0) > 0) fit = Math.min(fit, Math.floor((this.#bytes[row] ?? 0) / each))
    if ((this.#packetsPerMs[row] ?? 0) > 0) fit = Math.min(fit, Math.floor(this.#packets[row] ?? 0))
    return fit
  }

  spend(row: number, packets: number, bytes: number): void {
    this.#bytes[row] = (this.#bytes[row] ?? 0) - bytes
    this.#packets[row] = (this.#packets[row] ?? 0) - packets
  }

  #fill(row: number, now: Instant): void {
    const passed = now - (this.#last[row] ?? 0)
    if (passed <= 0) return
    this.#last[row] = now
    const [bytes, packets] = [this.#bytesPerMs[row] ?? 0, this.#packetsPerMs[row] ?? 0]
    if (bytes > 0) this.#bytes[row] = Math.min(this.#mostBytes(row), (this.#bytes[row] ?? 0) + passed * bytes)
    if (packets > 0) this.#packets[row] = Math.min(this.#mostPackets(row), (this.#packets[row] ?? 0) + passed * packets)
  }

  #mostBytes = (row: number): number => Math.max(LEAST_BURST_BYTES, (this.#bytesPerMs[row] ?? 0) * BURST_MS)
  #mostPackets = (row: number): number => Math.max(LEAST_BURST_PACKETS, (this.#packetsPerMs[row] ?? 0) * BURST_MS)
}

const BURST_MS = 250
/** One run of datagrams as the kernel hands it over. */
const LEAST_BURST_BYTES = 65_536
const LEAST_BURST_PACKETS = 64
