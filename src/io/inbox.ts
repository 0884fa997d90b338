import { Queue } from '#ntm-lib/base/queue.ts'
import { type Batch, HEADROOM, slotAt } from '#ntm-lib/ports/packet-port.ts'

/**
 * The receiving half of a port whose packets arrive one by one in JavaScript: a bounded queue, and one wake a turn while
 * packets wait, never from within the call that brought one.
 */
export class Inbox {
  readonly #queue: Queue<Uint8Array>
  /** Packets handed to a reader, and packets that no slot could hold. */
  readonly counts = { in: 0, oversizedIn: 0 }
  #wake: (() => void) | null = null
  #scheduled = false
  #closed = false

  constructor(limit: number) {
    this.#queue = new Queue(limit)
  }

  /** Keeps `packet`, which is the inbox's from now on; false when it is full or closed. */
  put(packet: Uint8Array): boolean {
    if (this.#closed || !this.#queue.push(packet)) return false
    this.#schedule()
    return true
  }

  /** As `PacketPort.recv`. */
  recv(into: Batch): number {
    into.count = 0
    while (into.count < into.lens.length && !this.#closed) {
      const packet = this.#queue.shift()
      if (packet === undefined) break
      if (packet.length > into.slotBytes - HEADROOM) this.counts.oversizedIn++
      else {
        into.arena.set(packet, slotAt(into, into.count))
        into.lens[into.count++] = packet.length
      }
    }
    this.counts.in += into.count
    this.#schedule()
    return into.count
  }

  /** As `PacketPort.onReadable`. */
  onReadable(wake: () => void): void {
    this.#wake = wake
    this.#schedule()
  }

  /** What waits is lost, and nobody is woken any more. */
  close(): void {
    this.#closed = true
    this.#wake = null
  }

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
