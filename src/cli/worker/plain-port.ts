import { fillTransport, isSuper } from '#ntm-lib/packet/gso.ts'
import { type Batch, batch, HEADROOM, type Outgoing, type PacketPort, type SuperBatch, type SuperPort, slotAt } from '#ntm-lib/ports/packet-port.ts' // biome-ignore format: one import

/** Cuts a super-packet into the slots of `into`: how many, negative when it cannot be cut. */
export type Segment = (arena: Uint8Array, at: number, len: number, gso: number, into: Batch) => number

/**
 * A port that knows only plain, complete packets, as one that takes super-packets: they are cut and completed here before they
 * leave. Copies; for the portable port only.
 */
export class PlainPort implements SuperPort {
  readonly #port: PacketPort
  readonly #segment: Segment
  readonly #out = batch(SLOTS, SLOT_BYTES)
  readonly #cut = batch(CUT_SLOTS, SLOT_BYTES)
  #seen: Uint8Array | null = null
  #view: DataView = new DataView(new ArrayBuffer(0))

  constructor(port: PacketPort, segment: Segment) {
    this.#port = port
    this.#segment = segment
  }

  recv(into: Batch): number {
    return this.#port.recv(into)
  }

  send(from: Batch): number {
    return this.#port.send(from)
  }

  recvSuper(into: SuperBatch): number {
    const n = this.#port.recv(into)
    into.gso.fill(0, 0, n)
    return n
  }

  sendSuper(arena: Uint8Array, { jobs, count }: Outgoing): number {
    let sent = 0
    for (let k = 0; k < count; k++) {
      const [at, len, gso] = [jobs[3 * k] ?? 0, jobs[3 * k + 1] ?? 0, jobs[3 * k + 2] ?? 0]
      if (isSuper(gso)) {
        const n = this.#segment(arena, at, len, gso, this.#cut)
        for (let i = 0; i < n; i++) this.#queue(this.#cut.arena, slotAt(this.#cut, i), this.#cut.lens[i] ?? 0)
        if (n > 0) sent++
      } else {
        if (gso !== 0) fillTransport(this.#viewOf(arena), at, len)
        if (this.#queue(arena, at, len)) sent++
      }
    }
    this.#flush()
    return sent
  }

  onReadable(wake: () => void): void {
    this.#port.onReadable(wake)
  }

  close(): void {
    this.#port.close()
  }

  #queue(arena: Uint8Array, at: number, len: number): boolean {
    const out = this.#out
    if (len > SLOT_BYTES - HEADROOM) return false
    if (out.count === SLOTS) this.#flush()
    out.arena.set(arena.subarray(at, at + len), slotAt(out, out.count))
    out.lens[out.count++] = len
    return true
  }

  #flush(): void {
    if (this.#out.count > 0) this.#port.send(this.#out)
    this.#out.count = 0
  }

  #viewOf(arena: Uint8Array): DataView {
    if (this.#seen !== arena) this.#view = new DataView(arena.buffer, arena.byteOffset, arena.byteLength)
    this.#seen = arena
    return this.#view
  }
}

const SLOTS = 64
const CUT_SLOTS = 128
const SLOT_BYTES = 10_240
