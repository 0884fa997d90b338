import { invariant } from '../base/invariant.ts'

/**
 * Rows by path id: open addressing in typed arrays. A `Map` would box every 48-bit key that is looked up, and this one is asked
 * for each datagram. Ids are drawn by the coordinator, so nobody can choose them to collide.
 */
export class PathIds {
  /** Signed, so that what is compared with them is never boxed. */
  #lows = new Int32Array(SMALLEST)
  #highs = new Uint16Array(SMALLEST)
  /** Row + 1; 0 where nothing is. */
  #rows = new Int32Array(SMALLEST)
  #size = 0

  get size(): number {
    return this.#size
  }

  /** The row of the id with these upper 16 bits and lower 32 (as a signed word); -1 when there is none. */
  find(high: number, low: number): number {
    const mask = this.#rows.length - 1
    for (let i = start(high, low) & mask; ; i = (i + 1) & mask) {
      const row = this.#rows[i] ?? 0
      if (row === 0) return -1
      if (this.#lows[i] === low && this.#highs[i] === high) return row - 1
    }
  }

  set(id: number, row: number): void {
    invariant(Number.isInteger(id) && id >= 0 && id < 2 ** 48, 'a path id is 48 bits')
    if (this.#size * 2 >= this.#rows.length) this.#grow()
    this.#put(highOf(id), lowOf(id), row)
  }

  /** Forgets the id, if it still leads to `row`. Later entries move up, so that searches need no tombstones. */
  remove(id: number, row: number): void {
    const [high, low, mask] = [highOf(id), lowOf(id), this.#rows.length - 1]
    if (this.find(high, low) !== row) return
    let hole = start(high, low) & mask
    while (this.#lows[hole] !== low || this.#highs[hole] !== high) hole = (hole + 1) & mask
    for (let i = (hole + 1) & mask; this.#rows[i] !== 0; i = (i + 1) & mask) {
      const home = start(this.#highs[i] ?? 0, this.#lows[i] ?? 0) & mask
      if (((i - home) & mask) < ((i - hole) & mask)) continue
      this.#move(i, hole)
      hole = i
    }
    this.#rows[hole] = 0
    this.#size--
  }

  #put(high: number, low: number, row: number): void {
    const mask = this.#rows.length - 1
    let i = start(high, low) & mask
    while (this.#rows[i] !== 0 && (this.#lows[i] !== low || this.#highs[i] !== high)) i = (i + 1) & mask
    if (this.#rows[i] === 0) this.#size++
    this.#highs[i] = high
    this.#lows[i] = low
    this.#rows[i] = row + 1
  }

  #move(from: number, to: number): void {
    this.#highs[to] = this.#highs[from] ?? 0
    this.#lows[to] = this.#lows[from] ?? 0
    this.#rows[to] = this.#rows[from] ?? 0
  }

  #grow(): void {
    const [highs, lows, rows] = [this.#highs, this.#lows, this.#rows]
    this.#highs = new Uint16Array(rows.length * 2)
    this.#lows = new Int32Array(rows.length * 2)
    this.#rows = new Int32Array(rows.length * 2)
    this.#size = 0
    for (let i = 0; i < rows.length; i++) {
      if (rows[i] !== 0) this.#put(highs[i] ?? 0, lows[i] ?? 0, (rows[i] ?? 0) - 1)
    }
  }
}

const highOf = (id: number): number => Math.floor(id / 2 ** 32)
const lowOf = (id: number): number => (id % 2 ** 32) | 0

/** Ids may also be counted up, in tests and by hand: mixing keeps them from lying in one row of neighbours. */
const start = (high: number, low: number): number => {
  const mixed = Math.imul(low ^ Math.imul(high, 0x9e3779b1), 0x85ebca6b)
  return (mixed ^ (mixed >>> 15)) >>> 0
}

const SMALLEST = 64
