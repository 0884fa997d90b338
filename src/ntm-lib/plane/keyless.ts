import { after, type Instant, millis } from '../base/time.ts'
import { shared } from '../ports/packet-port.ts'
import type { DatagramRuns } from './engine.ts'

type Kept = {
  readonly row: number
  readonly bytes: Uint8Array
  readonly addr: Uint8Array
  readonly port: number
  readonly until: Instant
}

/**
 * Class 4 datagrams of paths that have no key yet. An acceptor seals as soon as it has answered (D-0008), so its first packets come right behind
 * the answer, which the negotiation is still opening: they wait a moment for its command. Few, and not for long: anybody can send such bytes.
 */
export class Keyless {
  #kept: Kept[] = []

  /** Whether the datagram was kept; a copy is. */
  keep(d: DatagramRuns, slot: number, at: number, len: number, row: number, now: Instant): boolean {
    if (len > SLOT_BYTES || this.#kept.length >= MOST) this.#kept = this.#kept.filter((k) => k.until > now)
    if (len > SLOT_BYTES || this.#kept.length >= MOST) return false
    if (this.#kept.filter((k) => k.row === row).length >= MOST_OF_ROW) return false
    const bytes = d.arena.slice(at, at + len)
    const addr = d.addrs.slice(16 * slot, 16 * slot + 16)
    this.#kept.push({ row, bytes, addr, port: d.ports[slot] ?? 0, until: after(now, WAIT) })
    return true
  }

  forget(row: number): void {
    if (this.#kept.length > 0) this.#kept = this.#kept.filter((k) => k.row !== row)
  }

  /** Gives back, in the order in which they came, what waited for rows that `has` a key now; null when nothing did. */
  take(has: (row: number) => boolean, now: Instant): DatagramRuns | null {
    if (this.#kept.length === 0) return null
    const ready = this.#kept.filter((k) => k.until > now && has(k.row))
    this.#kept = this.#kept.filter((k) => k.until > now && !has(k.row))
    return ready.length === 0 ? null : runsOf(ready)
  }
}

function runsOf(all: readonly Kept[]): DatagramRuns {
  const arena = shared(Uint8Array, all.length * SLOT_BYTES)
  const runs = {
    arena,
    view: new DataView(arena.buffer),
    slotBytes: SLOT_BYTES,
    lens: shared(Uint32Array, all.length),
    segs: shared(Uint16Array, all.length),
    addrs: shared(Uint8Array, 16 * all.length),
    ports: shared(Uint16Array, all.length),
    count: all.length,
  }
  for (const [i, { bytes, addr, port }] of all.entries()) {
    arena.set(bytes, i * SLOT_BYTES)
    runs.lens[i] = bytes.length
    runs.addrs.set(addr, 16 * i)
    runs.ports[i] = port
  }
  return runs
}

const SLOT_BYTES = 2048
const MOST = 32
const MOST_OF_ROW = 8
/** Much longer than the negotiation takes to open an answer, also on a busy machine; much shorter than TCP's first retry. */
const WAIT = millis(250)
