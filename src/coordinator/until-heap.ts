import type { WallTime } from '#ntm-lib/base/time.ts'

type Item<T> = { readonly until: WallTime; readonly value: T }

/** Values by the time they are due, soonest first. Insert and take are O(log n); owners skip values that went stale. */
export class UntilHeap<T> {
  readonly #items: Item<T>[] = []

  get size(): number {
    return this.#items.length
  }

  push(value: T, until: WallTime): void {
    const items = this.#items
    let at = items.push({ value, until }) - 1
    while (at > 0) {
      const parent = (at - 1) >> 1
      if (this.#due(parent) <= until) break
      this.#swap(at, parent)
      at = parent
    }
  }

  /** The soonest value when it is due by `now`; null when nothing is. */
  take(now: WallTime): T | null {
    const items = this.#items
    const first = items[0]
    if (first === undefined || first.until > now) return null
    const last = items.pop()
    if (items.length > 0 && last !== undefined) {
      items[0] = last
      this.#sink()
    }
    return first.value
  }

  #sink(): void {
    for (let at = 0; ; ) {
      const [left, right] = [2 * at + 1, 2 * at + 2]
      const least = this.#due(right) < this.#due(left) ? right : left
      if (this.#due(least) >= this.#due(at)) return
      this.#swap(at, least)
      at = least
    }
  }

  #due(at: number): number {
    return this.#items[at]?.until ?? Number.POSITIVE_INFINITY
  }

  #swap(a: number, b: number): void {
    const [x, y] = [this.#items[a], this.#items[b]]
    if (x === undefined || y === undefined) return
    this.#items[a] = y
    this.#items[b] = x
  }
}
