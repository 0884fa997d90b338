import { tell } from './image.ts'

/** Random moments that can be had again: NTM_SEED. Another row for each name. */
export class SeededMoments {
  #state: number

  constructor(name: string) {
    const seed = Number(process.env['NTM_SEED'] ?? Date.now() % 1_000_000)
    tell(`${name}: NTM_SEED=${seed}`)
    this.#state = [...name].reduce((sum, letter) => (Math.imul(sum, 31) + letter.charCodeAt(0)) | 0, seed)
  }

  /** Milliseconds between the two, evenly spread. */
  next(fromMs: number, toMs: number): number {
    // mulberry32: good enough to spread moments, and the same everywhere.
    this.#state = (this.#state + 0x6d2b79f5) | 0
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return fromMs + ((mixed ^ (mixed >>> 14)) >>> 0) * 2 ** -32 * (toMs - fromMs)
  }
}
