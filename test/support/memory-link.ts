import type { LinkServer, ThreadLink } from '#io/thread-link.ts'
import { type SuperBatch, slotAt, superBatch } from '#ntm-lib/ports/packet-port.ts'

type Item =
  | { readonly kind: number; readonly ref: number; readonly bytes: Uint8Array; readonly gso: number }
  | { readonly word: unknown }

/** One end of a link between two workers of one thread; what it sends arrives when the test says so. */
export class MemoryLink implements Pick<ThreadLink, 'serve' | 'hand' | 'tell' | 'flush' | 'isSettled' | 'settle'> {
  handed = 0
  #other: MemoryLink | null = null
  #server: LinkServer | null = null
  #queued: Item[] = []
  #sent: Item[][] = []
  #untaken = 0

  /** `up` is the follower's end. */
  static pair(): { readonly up: MemoryLink; readonly down: MemoryLink } {
    const [up, down] = [new MemoryLink(), new MemoryLink()]
    up.#other = down
    down.#other = up
    return { up, down }
  }

  serve(server: LinkServer): void {
    this.#server = server
  }

  hand(kind: number, ref: number, arena: Uint8Array, at: number, len: number, gso: number): boolean {
    this.#queued.push({ kind, ref, bytes: arena.slice(at, at + len), gso })
    this.#untaken++
    this.handed++
    return true
  }

  tell(word: unknown): void {
    this.#queued.push({ word: structuredClone(word) })
  }

  flush(): void {
    if (this.#queued.length > 0) this.#sent.push(this.#queued)
    this.#queued = []
  }

  get isSettled(): boolean {
    return this.#untaken === 0
  }

  settle(): boolean {
    const other = this.#other
    if (other === null) return false
    this.flush()
    while (this.deliver(other) || other.deliver(this));
    return true
  }

  /** One message to the other end; false when none was under way. */
  deliver(to: MemoryLink): boolean {
    const message = this.#sent.shift()
    if (message === undefined) return false
    for (const item of message) {
      if ('word' in item) {
        to.#server?.word(item.word)
        continue
      }
      const b: SuperBatch = superBatch(1)
      b.arena.set(item.bytes, slotAt(b, 0))
      b.lens[0] = item.bytes.length
      b.gso[0] = item.gso
      b.count = 1
      to.#server?.packets(b, Int32Array.of(item.kind), Int32Array.of(item.ref))
      this.#untaken--
    }
    return true
  }
}
