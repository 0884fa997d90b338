import type { Instant } from '../base/time.ts'

type Entry<T> = { readonly item: T; due: Instant; at: number }

/**
 * Who is due when: a binary heap with one entry per item, so that ten thousand clocks cost as much as the few that ring.
 * Not in any order among equals.
 */
export class Agenda<T> {
  readonly #heap: Entry<T>[] = []
  readonly #entries = new Map<T, Entry<T>>()

  get size(): number {
    return this.#heap.length
  }

  /** Puts `item` down for `due`, in place of what it was down for; null takes it out. */
  set(item: T, due: Instant | null): void {
    const known = this.#entries.get(item)
    if (due === null) {
      if (known !== undefined) this.#remove(known)
    } else if (known === undefined) {
      const entry: Entry<T> = { item, due, at: this.#heap.length }
      this.#entries.set(item, entry)
      this.#heap.push(entry)
      this.#up(entry)
    } else {
      known.due = due
      this.#up(known)
      this.#down(known)
    }
  }

  /** The earliest; null when there is nothing. */
  first(): Instant | null {
    return this.#heap[0]?.due ?? null
  }

  /** Takes out what is due, the earliest `most` of it. */
  take(now: Instant, most: number): T[] {
    const taken: T[] = []
    for (let top = this.#heap[0]; top !== undefined && top.due <= now && taken.length < most; top = this.#heap[0]) {
      taken.push(top.item)
      this.#remove(top)
    }
    return taken
  }

  #remove(entry: Entry<T>): void {
    this.#entries.delete(entry.item)
    const last = this.#heap.pop()
    if (last === undefined || last === entry) return
    this.#put(last, entry.at)
    this.#up(last)
    this.#down(last)
  }

  #up(entry: Entry<T>): void {
    for (;;) {
      const parent = entry.at > 0 ? this.#heap[(entry.at - 1) >> 1] : undefined
      if (parent === undefined || parent.due <= entry.due) return
      this.#swap(entry, parent)
    }
  }

  #down(entry: Entry<T>): void {
    for (;;) {
      const [left, right] = [this.#heap[2 * entry.at + 1], this.#heap[2 * entry.at + 2]]
      const child = right !== undefined && left !== undefined && right.due < left.due ? right : left
      if (child === undefined || child.due >= entry.due) return
      this.#swap(entry, child)
    }
  }

  #swap(one: Entry<T>, other: Entry<T>): void {
    const at = one.at
    this.#put(one, other.at)
    this.#put(other, at)
  }

  #put(entry: Entry<T>, at: number): void {
    this.#heap[at] = entry
    entry.at = at
  }
}
