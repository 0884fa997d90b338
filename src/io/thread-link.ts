import { MessageChannel, type MessagePort, receiveMessageOnPort } from 'node:worker_threads'
import type { Counters } from '#ntm-lib/ports/counters.ts'
import { HEADROOM, SUPER_SLOT_BYTES, type SuperBatch, slotAt, superBatch } from '#ntm-lib/ports/packet-port.ts'

/** One end of a link, on its way to the thread that will use it: `port` is to be transferred, the words are shared. */
export type LinkEnd = { readonly port: MessagePort; readonly out: SharedArrayBuffer; readonly in: SharedArrayBuffer }

/** Two ends that belong together. */
export function linkPair(): readonly [LinkEnd, LinkEnd] {
  const { port1, port2 } = new MessageChannel()
  const [one, two] = [0, 0].map(() => new SharedArrayBuffer(8)) as [SharedArrayBuffer, SharedArrayBuffer]
  return [
    { port: port1, out: one, in: two },
    { port: port2, out: two, in: one },
  ]
}

/** Who takes what comes over a link. */
export type LinkServer = {
  /**
   * Packets that were handed over, in order, in the link's own memory, with the two numbers they were given. They may be changed in place; the memory is used again
   * when this returns, so everything that points into it leaves first.
   */
  packets(b: SuperBatch, kinds: Int32Array, refs: Int32Array): void
  word(word: unknown): void
}

/**
 * A link between two packet workers: copies of packets, and words about them, in one order. What waits in one direction is bounded; and a worker
 * can wait for a moment until the other has taken, which is to say sent on, all that it was handed.
 */
export class ThreadLink {
  readonly #port: MessagePort
  readonly #counters: Counters
  /** `WAITING` KiB and `TAKEN` packets of each direction. */
  readonly #out: Int32Array
  readonly #in: Int32Array
  readonly #kinds = new Int32Array(SLOTS)
  readonly #refs = new Int32Array(SLOTS)
  /** Made when the first packet comes. */
  #batch: SuperBatch | null = null
  #server: LinkServer | null = null
  #bytes = new Uint8Array(FIRST_BYTES)
  #used = 0
  #jobs: number[] = []
  #words: unknown[] = []
  /** Packets handed over until now, as a signed word. */
  #handed = 0
  /** The other side was too slow: it is not waited for before then. */
  #patientAt = 0

  constructor({ port, out, in: into }: LinkEnd, counters: Counters) {
    this.#port = port
    this.#counters = counters
    this.#out = new Int32Array(out)
    this.#in = new Int32Array(into)
  }

  /** From now on. What came before waits. */
  serve(server: LinkServer): void {
    this.#server = server
    this.#port.on('message', (m: LinkMessage) => this.#on(m))
  }

  /** Queues a copy of a packet and two numbers that are the caller's. False, and counted, when as much waits as may. */
  hand(kind: number, ref: number, arena: Uint8Array, at: number, len: number, gso: number): boolean {
    const cost = costOf(len)
    if (len > MOST_BYTES || Atomics.load(this.#out, WAITING) + cost > MOST_WAITING) {
      this.#counters.count('link.drop.full')
      return false
    }
    Atomics.add(this.#out, WAITING, cost)
    const end = this.#used + len
    if (end > this.#bytes.length) this.#grow(end)
    this.#bytes.set(arena.subarray(at, at + len), this.#used)
    this.#used = end
    this.#jobs.push(kind, ref, len, gso)
    this.#handed = (this.#handed + 1) | 0
    this.#counters.count('link.handed')
    return true
  }

  /** Something about packets, in order with them. Survives a structured clone. */
  tell(word: unknown): void {
    this.#jobs.push(WORD)
    this.#words.push(word)
  }

  /** What was handed and told leaves. */
  flush(): void {
    if (this.#jobs.length === 0) return
    const bytes = this.#bytes.slice(0, this.#used)
    const message: LinkMessage = { jobs: Int32Array.from(this.#jobs), bytes, words: this.#words }
    this.#port.postMessage(message, [bytes.buffer])
    this.#used = 0
    this.#jobs = []
    this.#words = []
  }

  /** Whether the other side has taken all that it was handed. */
  get isSettled(): boolean {
    return Atomics.load(this.#out, TAKEN) === this.#handed
  }

  /**
   * Flushes, waits until the other side has taken everything, and receives what it has said until then. False when it was too slow; then it is not waited for
   * again for a while. Only for the one of the two that the other never waits for.
   */
  settle(): boolean {
    this.flush()
    const began = performance.now()
    for (;;) {
      const taken = Atomics.load(this.#out, TAKEN)
      if (taken === this.#handed) break
      const now = performance.now()
      if (now < this.#patientAt) return false
      if (now - began >= MOST_MILLIS) {
        this.#patientAt = now + IMPATIENT_MILLIS
        this.#counters.count('link.slow')
        return false
      }
      Atomics.wait(this.#out, TAKEN, taken, MOST_MILLIS - (now - began))
    }
    for (let m = receiveMessageOnPort(this.#port); m !== undefined; m = receiveMessageOnPort(this.#port))
      this.#on(m.message as LinkMessage)
    return true
  }

  close(): void {
    this.#port.close()
  }

  #on({ jobs, bytes, words }: LinkMessage): void {
    let [from, word] = [0, 0]
    for (let j = 0; j < jobs.length; ) {
      if (jobs[j] === WORD) {
        this.#take()
        this.#server?.word(words[word++])
        j++
        continue
      }
      const len = jobs[j + 2] ?? 0
      const b = this.#memory()
      const i = b.count++
      b.arena.set(bytes.subarray(from, from + len), slotAt(b, i))
      b.lens[i] = len
      b.gso[i] = jobs[j + 3] ?? 0
      this.#kinds[i] = jobs[j] ?? 0
      this.#refs[i] = jobs[j + 1] ?? 0
      from += len
      j += 4
      if (b.count === SLOTS) this.#take()
    }
    this.#take()
  }

  /** Gives on what was received so far, then says so. */
  #take(): void {
    const b = this.#batch
    if (b === null || b.count === 0) return
    const count = b.count
    let cost = 0
    for (let i = 0; i < count; i++) cost += costOf(b.lens[i] ?? 0)
    this.#server?.packets(b, this.#kinds, this.#refs)
    // What was told meanwhile is there before the other side goes on.
    this.flush()
    Atomics.sub(this.#in, WAITING, cost)
    Atomics.add(this.#in, TAKEN, count)
    Atomics.notify(this.#in, TAKEN)
    b.count = 0
  }

  #memory(): SuperBatch {
    this.#batch ??= superBatch(SLOTS)
    return this.#batch
  }

  #grow(least: number): void {
    const more = new Uint8Array(Math.max(least, 2 * this.#bytes.length))
    more.set(this.#bytes.subarray(0, this.#used))
    this.#bytes = more
  }
}

/** `jobs`: kind, ref, len, gso of a packet, whose bytes follow those of the one before; or `WORD` alone, for the next of the words. */
type LinkMessage = { readonly jobs: Int32Array; readonly bytes: Uint8Array; readonly words: readonly unknown[] }

/** In KiB, so that a small packet, which costs more than its bytes, counts for one. */
const costOf = (len: number): number => (len + 1023) >> 10 || 1

const WAITING = 0
const TAKEN = 1
/** No role's kind: those are not negative. */
const WORD = -1
const SLOTS = 32
const MOST_BYTES = SUPER_SLOT_BYTES - HEADROOM
/** 8 MiB: several rounds of a port. */
const MOST_WAITING = 8192
const FIRST_BYTES = 1 << 16
/** Longer than a thread that has something to do goes without the processor, as a rule; short beside what the kernel holds for us meanwhile. */
const MOST_MILLIS = 10
/** One part in ten of the time at most is spent waiting for a side that is too slow. */
const IMPATIENT_MILLIS = 100
