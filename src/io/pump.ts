import type { Clock, Machine } from '#ntm-lib/ports/machine.ts'

/**
 * Joins one machine to the world: inputs in, outputs out, and exactly one timer, which exists only while the machine
 * has a deadline. What `perform` throws is a bug or an IoFault and goes up to whoever fed the input.
 */
export class Pump<In, Out> {
  readonly #machine: Machine<In, Out>
  readonly #clock: Clock
  readonly #perform: (out: Out) => void
  #timer: NodeJS.Timeout | undefined
  #settling = false
  #stopped = false

  constructor(machine: Machine<In, Out>, clock: Clock, perform: (out: Out) => void) {
    this.#machine = machine
    this.#clock = clock
    this.#perform = perform
  }

  feed(input: In): void {
    if (this.#stopped) return
    this.#machine.handle(input, this.#clock.now())
    this.settle()
  }

  /**
   * Performs what the machine has to say and sets the timer anew. Called by `feed`; by hand only after the machine was
   * touched in another way (its packet path). Outputs that feed the same pump are taken in their turn, not nested.
   */
  settle(): void {
    if (this.#settling || this.#stopped) return
    this.#settling = true
    try {
      for (let out = this.#machine.poll(); out !== null && !this.#stopped; out = this.#machine.poll())
        this.#perform(out)
    } finally {
      this.#settling = false
      this.#rearm()
    }
  }

  /** No output is performed and no timer runs after this. */
  stop(): void {
    this.#stopped = true
    clearTimeout(this.#timer)
  }

  #rearm(): void {
    clearTimeout(this.#timer)
    const due = this.#machine.deadline()
    if (due === null || this.#stopped) return
    // Rounded up: a timer that fires a fraction of a millisecond early would find nothing due and spin.
    const wait = Math.min(LONGEST_TIMER_MS, Math.max(0, Math.ceil(due - this.#clock.now())))
    this.#timer = setTimeout(() => {
      this.#machine.tick(this.#clock.now())
      this.settle()
    }, wait)
  }
}

/** setTimeout counts in 31 bits; a later deadline is simply asked for again. */
const LONGEST_TIMER_MS = 2 ** 31 - 1
