import { invariant } from '../base/invariant.ts'

/** Counters kept behind the newest on ordinary paths; `docs/wire.md`, Capsulated Packet. */
export const REPLAY_WINDOW = 8192
export const REPLAY_WINDOW_FAST = 65_536

/**
 * Sliding window over 48-bit counters, as in RFC 6479: a ring of words one longer than the window, so that moving
 * forward clears whole words and never a counter still inside. Nothing is allocated after construction.
 *
 * `fresh` only looks; `commit` marks, and is called only after the packet has proven itself: otherwise a forger
 * could push the window past the true packets.
 */
export class ReplayWindow {
  readonly #size: number
  readonly #words: Uint32Array
  /** Newest committed counter; -1 before the first. */
  #newest = -1

  /** `size`: a multiple of 32 up to 65,536. */
  constructor(size: number = REPLAY_WINDOW) {
    invariant(size % 32 === 0 && size >= 32 && size <= REPLAY_WINDOW_FAST, `no window of ${size} counters`)
    this.#size = size
    this.#words = new Uint32Array(size / 32 + 1)
  }

  get newest(): number {
    return this.#newest
  }

  /** Whether `counter` has not been committed and is not too old to tell. */
  fresh(counter: number): boolean {
    if (counter > this.#newest) return true
    if (counter <= this.#newest - this.#size) return false
    return ((this.#words[this.#slot(counter)] ?? 0) & (1 << (counter % 32))) === 0
  }

  /** Marks a counter that `fresh` allowed. */
  commit(counter: number): void {
    invariant(this.fresh(counter), `counter ${counter} was already used`)
    if (counter > this.#newest) {
      this.#forward(counter)
      this.#newest = counter
    }
    const slot = this.#slot(counter)
    this.#words[slot] = (this.#words[slot] ?? 0) | (1 << (counter % 32))
  }

  #forward(counter: number): void {
    const [from, to] = [Math.floor(this.#newest / 32), Math.floor(counter / 32)]
    const steps = Math.min(to - from, this.#words.length)
    for (let i = 0; i < steps; i++) this.#words[(to - i) % this.#words.length] = 0
  }

  #slot(counter: number): number {
    return Math.floor(counter / 32) % this.#words.length
  }
}
