import { outgoing, type SuperPort } from '#ntm-lib/ports/packet-port.ts'

/**
 * Frames on their way out of one port, in order. They leave from where they lie, so whoever adds one flushes before that memory is
 * used again.
 */
export class Leg {
  readonly #port: Pick<SuperPort, 'sendSuper'>
  readonly #jobs = outgoing(MOST_JOBS)
  /** For frames that have no lasting place of their own. */
  readonly #own = new Uint8Array(OWN_BYTES)
  #used = 0
  /** Where the frames that wait lie. */
  #arena: Uint8Array | null = null

  constructor(port: Pick<SuperPort, 'sendSuper'>) {
    this.#port = port
  }

  /** A frame in `arena`; `gso` as in a `SuperBatch`. */
  add(arena: Uint8Array, at: number, len: number, gso: number): void {
    if (this.#arena !== arena || this.#jobs.count === MOST_JOBS) this.flush()
    this.#arena = arena
    const job = 3 * this.#jobs.count++
    this.#jobs.jobs[job] = at
    this.#jobs.jobs[job + 1] = len
    this.#jobs.jobs[job + 2] = gso
  }

  /** A whole, plain frame; copied. False for one that is longer than any frame can be. */
  addCopy(frame: Uint8Array): boolean {
    if (frame.length > OWN_BYTES) return false
    if (this.#arena !== this.#own || this.#jobs.count === MOST_JOBS || this.#used + frame.length > OWN_BYTES)
      this.flush()
    this.#own.set(frame, this.#used)
    this.add(this.#own, this.#used, frame.length, 0)
    this.#used += frame.length
    return true
  }

  flush(): void {
    if (this.#arena !== null) this.#port.sendSuper(this.#arena, this.#jobs)
    this.#arena = null
    this.#jobs.count = 0
    this.#used = 0
  }
}

const MOST_JOBS = 256
/** Two of the longest: a reply that was kept may be one. */
const OWN_BYTES = 132_096
