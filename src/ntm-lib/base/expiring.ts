import type { Instant } from './time.ts'

type Entry<V> = { value: V; until: Instant }

/**
 * A map whose entries die at an Instant. Reads never return a dead entry once `sweep` has run for that time;
 * owners call `sweep` from `tick` and offer `deadline` as theirs.
 */
export class Expiring<K, V> {
  readonly #entries = new Map<K, Entry<V>>()
  readonly #limit: number

  /** `limit` bounds the entries: setting one more drops the oldest-set entry. */
  constructor(limit: number) {
    this.#limit = limit
  }

  get size(): number {
    return this.#entries.size
  }

  set(key: K, value: V, until: Instant): void {
    this.#entries.delete(key)
    if (this.#entries.size >= this.#limit) {
      const oldest = this.#entries.keys().next()
      if (oldest.done !== true) this.#entries.delete(oldest.value)
    }
    this.#entries.set(key, { value, until })
  }

  get(key: K): V | undefined {
    return this.#entries.get(key)?.value
  }

  delete(key: K): boolean {
    return this.#entries.delete(key)
  }

  *entries(): IterableIterator<readonly [K, V]> {
    for (const [key, entry] of this.#entries) yield [key, entry.value]
  }

  /** Removes and returns everything that was due by `now`. */
  sweep(now: Instant): (readonly [K, V])[] {
    const dead: (readonly [K, V])[] = []
    for (const [key, entry] of this.#entries) if (entry.until <= now) dead.push([key, entry.value])
    for (const [key] of dead) this.#entries.delete(key)
    return dead
  }

  /** The soonest death; null when empty. Linear: these maps are small. */
  deadline(): Instant | null {
    let first: Instant | null = null
    for (const entry of this.#entries.values()) if (first === null || entry.until < first) first = entry.until
    return first
  }
}
