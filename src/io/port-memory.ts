import { type Batch, type PacketPort, slotAt } from '#ntm-lib/ports/packet-port.ts'
import { Inbox } from './inbox.ts'
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
  readonly #inbox: Inbox
  readonly #maxBytes: number
  readonly #sent = { out: 0, refusedOut: 0, fullOut: 0 }
  #closed = false

  constructor(options: WireOptions) {
    this.#inbox = new Inbox(options.queue ?? 4096)
    this.#maxBytes = options.maxBytes ?? 65535
  }

  get counters(): PortCounters {
    return { ...NO_COUNTS, ...this.#sent, ...this.#inbox.counts }
  }

  recv(into: Batch): number {
    return this.#inbox.recv(into)
  }

  send(from: Batch): number {
    if (this.#closed) return 0
    for (let i = 0; i < from.count; i++) {
      const at = slotAt(from, i)
      const bytes = from.lens[i] ?? 0
      if (bytes === 0 || bytes > this.#maxBytes) this.#sent.refusedOut++
      else if (this.peer?.take(from.arena.slice(at, at + bytes)) === true) this.#sent.out++
      else this.#sent.fullOut++
    }
    return from.count
  }

  onReadable(wake: () => void): void {
    this.#inbox.onReadable(wake)
  }

  close(): void {
    this.#closed = true
    this.#inbox.close()
  }

  take(frame: Uint8Array): boolean {
    return this.#inbox.put(frame)
  }
}
