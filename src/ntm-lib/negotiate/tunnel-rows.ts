import { after, type Instant, seconds } from '../base/time.ts'
import { CELLS } from './mirror.ts'
import type { Path } from './paths.ts'
import { startCells } from './tunnel-alive.ts'

export type Row = { readonly row: number; readonly cells: Float64Array }

/**
 * Small numbers for paths, and their cells. A number rests before it is used again: workers may still speak of its last
 * path, and roles may still hold it. They recognise a stranger anyway (key serials); resting keeps strangers rare.
 */
export class Rows {
  readonly #shared: Float64Array | null
  readonly #byRow = new Map<number, Path>()
  readonly #resting: { readonly row: number; readonly until: Instant }[] = []
  #next = 1

  /** `shared` has `CELLS.words` numbers for every row, row 0 included, which is never used. Null: each path has its own. */
  constructor(shared: Float64Array | null) {
    this.#shared = shared
  }

  /** A row for a new path, its cells set up; null when all are in use. */
  take(now: Instant): Row | null {
    const first = this.#resting[0]
    const rested = first !== undefined && first.until <= now
    if (!rested && this.#shared !== null && (this.#next + 1) * CELLS.words > this.#shared.length) return null
    const row = rested ? first.row : this.#next++
    if (rested) this.#resting.shift()
    const at = row * CELLS.words
    const cells = this.#shared?.subarray(at, at + CELLS.words) ?? new Float64Array(CELLS.words)
    startCells(cells, now)
    return { row, cells }
  }

  place(path: Path): void {
    this.#byRow.set(path.row, path)
  }

  find(row: number): Path | null {
    return this.#byRow.get(row) ?? null
  }

  release(path: Path, now: Instant): void {
    if (this.#byRow.delete(path.row)) this.#resting.push({ row: path.row, until: after(now, ROW_REST) })
  }
}

/** Longer than any event waits between two threads that live: the guard stops the box long before. */
export const ROW_REST = seconds(30)
