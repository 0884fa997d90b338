/** Bounded FIFO: when full, `push` refuses and counts, so that a slow reader never grows memory. */
export class Queue<T> {
  #items: T[] = []
  #head = 0
  dropped = 0
  readonly #limit: number

  constructor(limit: number) {
    this.#limit = limit
  }

  get size(): number {
    return this.#items.length - this.#head
  }

  /** Whether the item was taken. */
  push(item: T): boolean {
    if (this.size >= this.#limit) {
      this.dropped++
      return false
    }
    this.#items.push(item)
    return true
  }

  shift(): T | undefined {
    if (this.#head >= this.#items.length) return undefined
    const item = this.#items[this.#head]
    this.#items[this.#head++] = undefined as T
    if (this.#head > 64 && this.#head * 2 > this.#items.length) {
      this.#items = this.#items.slice(this.#head)
      this.#head = 0
    }
    return item
  }
}
