import type { SuiteId } from '../crypto/suite.ts'
import type { SuperBatch } from '../ports/packet-port.ts'

/** Words of one sealing job in `jobs`. */
export const SEAL_JOB = { key: 0, row: 1, at: 2, len: 3, gso: 4, flags: 5, most: 6, words: 8 } as const
/** Words of one opening job. */
export const OPEN_JOB = { key: 0, at: 1, len: 2, flags: 3, words: 4 } as const
/** Bits of an opening job's flags, above the lane in bits 0–1. */
export const ALONE = 4
/** Words of one run of sealed datagrams. */
export const RUN = { row: 0, at: 1, len: 2, each: 3, words: 4 } as const
/** Words that `open` tells about a slot. */
export const META = { first: 0, jobs: 1, bytes: 2, words: 3 } as const

/** What became of a job. Negative: refused, nothing was sealed or opened. */
export const STATUS = {
  done: 0,
  noKey: -1,
  usedUp: -2,
  tooBig: -3,
  malformed: -4,
  short: -5,
  replay: -6,
  badTag: -7,
} as const

/** Sealed datagrams, back to back. */
export type Runs = {
  readonly arena: Uint8Array
  readonly runs: Int32Array
  count: number
  datagrams: number
}

/** Datagrams as they came: slot `i` starts at `i * slotBytes`, holds datagrams of `segs[i]` bytes, the last may be shorter. */
export type DatagramRuns = {
  readonly arena: Uint8Array
  readonly view: DataView
  readonly slotBytes: number
  readonly lens: Uint32Array
  readonly segs: Uint16Array
  /** 16 bytes per slot, IPv4 as v4-mapped. */
  readonly addrs: Uint8Array
  readonly ports: Uint16Array
  /** As `addrs`: the address of ours that each came to, where the port tells it. */
  readonly locals?: Uint8Array
  count: number
}

/**
 * Sealing and opening in bulk, with keys that own their nonces and replay windows: the packet-operation module's engine (SEED 002).
 * Native in the product, in JavaScript where there is no addon. One per packet worker; `native/packet-io/index.d.ts` is the contract of
 * every word.
 */
export interface PacketEngine {
  setSeal(
    index: number,
    suite: SuiteId,
    key: Uint8Array,
    nonce: Uint8Array,
    mostPackets: number,
    mostBytes: number,
  ): void
  setOpen(index: number, suite: SuiteId, key: Uint8Array, nonce: Uint8Array, window: number): void
  clearSeal(index: number): void
  clearOpen(index: number): void
  newestCounter(index: number, lane: number): number
  /** Seals jobs `[first, count)` of `arena`; fills `out` from its start. Returns jobs done; call again after sending when that is fewer. */
  seal(
    jobs: Int32Array,
    first: number,
    count: number,
    headers: Uint8Array,
    arena: Uint8Array,
    out: Runs,
    status: Int8Array,
  ): number
  /** Opens jobs `[first, count)`; fills `out` from slot 0 and `meta`. Returns jobs done. */
  open(
    jobs: Int32Array,
    first: number,
    count: number,
    arena: Uint8Array,
    out: SuperBatch,
    meta: Int32Array,
    status: Int8Array,
  ): number
}
