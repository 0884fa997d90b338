/**
 * How much of one kind waits between two threads, in shared memory: the sending thread asks before each item, the receiving thread says
 * when it has taken one. A message port has no limit of its own: a receiver that is busy must not make it grow.
 */
export class Gate {
  readonly #words: Int32Array
  readonly #limit: number

  /** The same memory in both threads: `new SharedArrayBuffer(Gate.bytes)`. */
  constructor(memory: SharedArrayBuffer, limit: number) {
    this.#words = new Int32Array(memory)
    this.#limit = limit
  }

  /** Whether one more may wait; false is to be counted. For the sender. */
  enter(): boolean {
    if (Atomics.load(this.#words, 0) >= this.#limit) return false
    Atomics.add(this.#words, 0, 1)
    return true
  }

  /** One was taken out. For the receiver. */
  leave(): void {
    Atomics.sub(this.#words, 0, 1)
  }

  static readonly bytes = 4
}
