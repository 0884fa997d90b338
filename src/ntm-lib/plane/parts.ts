import type { Instant } from '../base/time.ts'
import type { KeyLimits } from '../crypto/seal.ts'
import type { FilterFault } from '../negotiate/filter.ts'
import type { MirrorEvent } from '../negotiate/mirror.ts'
import type { Counters } from '../ports/counters.ts'
import type { SuperBatch } from '../ports/packet-port.ts'
import type { PacketEngine, Runs } from './engine.ts'

/** Memory that holds inner packets: a batch's, or any array with a view of the same bytes. */
export type PacketMemory = { readonly arena: Uint8Array; readonly view: DataView }

/** What became of a packet that was put. Everything but `queued` is counted, or to be answered by who put it. */
export type PutVerdict =
  | 'queued'
  /** Answer with "packet too big" / "fragmentation needed" and `innerMtu(row)`. */
  | 'too-big'
  | 'not-open'
  | 'key-used-up'
  /** A UDP super-packet whose segments do not travel whole: cut it (`PacketIo.segment`) and put the parts. */
  | 'cut-first'
  | FilterFault

/** Number `index`, from 0, of `of` workers. */
export type Share = { readonly index: number; readonly of: number }

/** What a packet worker gives its tunnel plane. The callbacks are called during `put`, `flush`, `take` and `apply` only. */
export type PlaneParts = {
  readonly engine: PacketEngine
  /** The sending lane of this worker, 1–3; lane 0 is the negotiation's own. */
  readonly lane: number
  /**
   * Which paths this worker opens, when there are several: those whose Path ID ends in a byte that is `index` modulo `of`. The others' are refused,
   * for each worker has replay windows of its own.
   */
  readonly share?: Share
  /** Shared with the negotiation: `CELLS.words` per row, as many rows as there may be. */
  readonly cells: Float64Array
  readonly counters: Counters
  readonly emit: (event: MirrorEvent) => void
  /**
   * Sealed runs for the UDP socket; 16 bytes of address, one port and `VIA_BYTES` per row, `vias` null while no row has one. Rows of these arrays
   * beyond those of `MirrorCommand`s are addresses that peers have not proven yet. Valid during the call.
   */
  readonly send: (runs: Runs, addrs: Uint8Array, ports: Uint16Array, vias: Uint8Array | null) => void
  /**
   * A genuine, permitted inner packet or super-packet: slot `i` of `batch`. Valid until this returns, or, when the receiver
   * queued `sendSuper` jobs on it, until `afterOpen`.
   */
  readonly onInner: (row: number, batch: SuperBatch, i: number, now: Instant) => void
  /** All slots of one opening were told: what points into the batch is sent now, for its memory is reused next. */
  readonly afterOpen: () => void
  /** Of a key over all lanes; default `KEY_LIMITS`. */
  readonly limits?: KeyLimits
}
