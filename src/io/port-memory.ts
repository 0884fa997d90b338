import { Queue } from '#ntm-lib/base/queue.ts'
import { type Batch, HEADROOM, type PacketPort, slotAt } from '#ntm-lib/ports/packet-port.ts'
import { NO_COUNTS, type PortCounters } from './native.ts'

export interface MemoryPort extends PacketPort {
  readonly counters: PortCounters
}

export type WireOptions = {
  /** A longer frame is refused, as by a link with this MTU. */
  readonly maxBytes?: number
  /** Frames that wait unread; one more is lost, counted as `fullOut` at the sender. */
  readonly queue?: number
}

/** Two ports joined by an in-memory wire: what one sends the other receives, in order, each frame once. */
export function wire(options: WireOptions = {}): readonly [MemoryPort, MemoryPort] {
  const [a, b] = [new End(options), new End(options)]
  a.peer = b
  b.peer = a
  return [a, b]
}

class End implements MemoryPort {
  peer: End | null = null
  readonly #queue: Queue<Uint8Array>
  readonly #maxBytes: number
  readonly #counts: { -readonly [K in keyof PortCounters]: number } = { ...NO_COUNTS }
  #wake: (() => void) | null = null
  #scheduled = false
  #closed = false

  constructor(options: WireOptions) {
    this.#queue = new Queue(options.queue ?? 4096)
    this.#maxBytes = options.maxBytes ?? 65535
  }

  get counters(): PortCounters {
    return { ...this.#counts }
  }

  recv(into: Batch): number {
    into.count = 0
    while (into.count < into.lens.length && !this.#closed) {
      const frame = this.#queue.shift()
      if (frame === undefined) break
      if (frame.length > into.slotBytes - HEADROOM) this.#counts.oversizedIn++
      else {
        into.arena.set(frame, slotAt(into, into.count))
        into.lens[into.count++] = frame.length
      }
    }
    this.#counts.in += into.count
    this.#schedule()
    return into.count
  }

  send(from: Batch): number {
    if (this.#closed) return 0
    for (let i = 0; i < from.count; i++) {
      const at = slotAt(from, i)
      const bytes = from.lens[i] ?? 0
      if (bytes === 0 || bytes > this.#maxBytes) this.#counts.refusedOut++
      else if (this.peer?.take(from.arena.slice(at, at + bytes)) === true) this.#counts.out++
      else this.#counts.fullOut++
    }
    return from.count
  }

  onReadable(wake: () => void): void {
    this.#wake = wake
    this.#schedule()
  }

  close(): void {
    this.#closed = true
    this.#wake = null
  }

  take(frame: Uint8Array): boolean {
    if (this.#closed || !this.#queue.push(frame)) return false
    this.#schedule()
    return true
  }

  /** As a real port does: one wake a turn while frames wait, never from within the sender's call. */
  #schedule(): void {
    if (this.#scheduled || this.#queue.size === 0 || this.#wake === null) return
    this.#scheduled = true
    setImmediate(() => {
      this.#scheduled = false
      if (this.#queue.size > 0) this.#wake?.()
      this.#schedule()
    })
  }
}
