import type { Instant } from '../base/time.ts'
import { KEY_LIMITS } from '../crypto/seal.ts'
import { CELLS, type MirrorCommand } from '../negotiate/mirror.ts'
import { MIN_INNER } from '../negotiate/mtu.ts'
import type { DatagramRuns } from './engine.ts'
import { Inward } from './inward.ts'
import { Outward } from './outward.ts'
import type { PacketMemory, PlaneParts, PutVerdict } from './parts.ts'
import { TunnelTable } from './tunnel-table.ts'

export type { PacketMemory, PlaneParts, PutVerdict, Share } from './parts.ts'

/**
 * The packet path of one worker: the tunnel table, sealing and opening. What the negotiation decides comes as `MirrorCommand`s,
 * what it must know leaves as `MirrorEvent`s; packets themselves never meet it.
 */
export class TunnelPlane {
  /** What commands have made of the paths; to be read. */
  readonly rows: TunnelTable
  readonly #outward: Outward
  readonly #inward: Inward

  constructor(parts: PlaneParts) {
    const rowsFit = Math.floor(parts.cells.length / CELLS.words)
    const { engine, lane, limits = KEY_LIMITS, share } = parts
    this.rows = new TunnelTable(engine, lane, limits, rowsFit, share?.of ?? 1)
    this.#outward = new Outward(parts, this.rows)
    this.#inward = new Inward(parts, this.rows)
  }

  /** Takes a command in. What was put before it is sealed and sent as things were then. */
  apply(c: MirrorCommand, now: Instant): void {
    this.#outward.flush(now)
    if (c.mirror === 'gone') this.#inward.forget(c.row)
    this.rows.apply(c)
  }

  /**
   * Queues one inner packet or super-packet for a row; its arena is left alone until `flush`. Packets that go together should lie in
   * one arena: where it changes, what was put before is sealed and sent first.
   */
  put(row: number, memory: PacketMemory, at: number, len: number, gso: number, now: Instant): PutVerdict {
    return this.#outward.put(row, memory, at, len, gso, now)
  }

  /** M: the largest inner packet that is let in; 1280 for a row that is not known. */
  innerMtu(row: number): number {
    return this.rows.isKnown(row) ? (this.rows.inner[row] ?? MIN_INNER) : MIN_INNER
  }

  /** T: the largest that travels whole. */
  wholeMtu(row: number): number {
    return this.rows.isKnown(row) ? (this.rows.whole[row] ?? MIN_INNER) : MIN_INNER
  }

  /** Seals and sends all that was put; to be called before its arena is reused. */
  flush(now: Instant): void {
    this.#outward.flush(now)
  }

  /** To be called after commands, when the role knows of them too: opens what came before its path's first key. */
  takeKept(now: Instant): void {
    this.#inward.takeKept(now)
    this.#outward.flush(now)
  }

  /** Datagrams as they came: Capsulated Packets are opened and given to `onInner`, the rest is emitted. Total. */
  take(datagrams: DatagramRuns, now: Instant): void {
    this.#inward.take(datagrams, now)
  }
}
