import { type Endpoint, sameEndpoint } from '#ntm-lib/addr/endpoint.ts'
import type { Instant } from '#ntm-lib/base/time.ts'
import { OpenKey, type OpenRefusals, SealKey } from '#ntm-lib/crypto/seal.ts'
import type { CryptoSuite } from '#ntm-lib/crypto/suite.ts'
import { type Allowed, allowed, filter } from '#ntm-lib/negotiate/filter.ts'
import { cutAt, Halves, halvesBudget } from '#ntm-lib/negotiate/halves.ts'
import {
  CELLS,
  type MirrorCommand,
  type MirrorEvent,
  type MirroredEpoch,
  type MirroredPath,
} from '#ntm-lib/negotiate/mirror.ts'
import type { Sealed } from '#ntm-lib/negotiate/tunnels.ts'
import type { Counters } from '#ntm-lib/ports/counters.ts'
import * as cap from '#ntm-lib/wire/capsulated.ts'

type Keys = {
  readonly epoch: MirroredEpoch
  readonly seal: SealKey
  readonly open: OpenKey
  heard: boolean
  worn: boolean
}
type Held = {
  path: MirroredPath
  own: Allowed
  peer: Allowed
  readonly keys: Map<number, Keys>
  readonly halves: Halves
}

export type DoubleParts = {
  readonly suite: CryptoSuite
  readonly cells: Float64Array
  readonly counters: Counters
  readonly emit: (event: MirrorEvent) => void
}

/**
 * A packet worker in as few words as there can be: it knows what commands say and nothing else, opens and seals one packet at a time
 * with keys of its own in lane 1, and says what `MirrorEvent` promises. What the stories hold the negotiation's half of the contract to.
 */
export class WorkerDouble {
  readonly #p: DoubleParts
  readonly #rows = new Map<number, Held>()
  readonly #byId = new Map<number, Held>()
  readonly #budget = halvesBudget()
  readonly #refused: OpenRefusals = { short: 0, replay: 0, badTag: 0 }
  /** Commands as they came, for tests to look at. */
  readonly commands: MirrorCommand[] = []

  constructor(parts: DoubleParts) {
    this.#p = parts
  }

  apply(command: MirrorCommand): void {
    // What crosses between threads is a copy.
    const c = structuredClone(command)
    this.commands.push(c)
    if (c.mirror === 'gone') return this.#forget(c.row)
    const { path } = c
    const held = this.#rows.get(path.row) ?? {
      path,
      own: allowed(path.ownAllowed),
      peer: allowed(path.peerAllowed),
      keys: new Map(),
      halves: new Halves(this.#budget),
    }
    held.path = path
    this.#rows.set(path.row, held)
    for (const id of path.ids) this.#byId.set(id, held)
    for (const serial of held.keys.keys()) if (!path.epochs.some((e) => e.serial === serial)) held.keys.delete(serial)
    for (const e of path.epochs) if (!held.keys.has(e.serial)) held.keys.set(e.serial, this.#keysOf(e))
  }

  /** Whether it has this row. */
  knows(row: number): boolean {
    return this.#rows.has(row)
  }

  /** Lets everything out and in, as a taken-over box would. */
  lift(row: number, anything: Allowed): void {
    const held = this.#rows.get(row)
    if (held !== undefined) Object.assign(held, { own: anything, peer: anything })
  }

  /** One class 4 datagram; the whole inner packet that it completes. */
  take(from: Endpoint, bytes: Uint8Array, now: Instant): Uint8Array | null {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    if (!cap.isCapsulated(view, 0, bytes.length)) return this.#drop('malformed')
    const held = this.#byId.get(cap.pathId(view, 0))
    if (held === undefined) {
      this.#p.emit({ event: 'datagram', from, bytes: bytes.slice() })
      return null
    }
    if (cap.direction(view, 0) === held.path.direction) return this.#drop('wrong-direction')
    const keys = [...held.keys.values()].find((k) => k.epoch.epoch === cap.epoch(view, 0))
    if (keys === undefined) return this.#drop('old-epoch')
    const replays = this.#refused.replay
    const inner = keys.open.open(bytes)
    if (inner === null) return this.#drop(this.#refused.replay > replays ? 'replay' : 'bad-tag')
    const [row, cells, frames] = [held.path.row, this.#cells(held.path.row), cap.isFrames(view, 0)]
    cells[CELLS.unansweredSince] = Number.NaN
    if (!frames) {
      cells[CELLS.lastInner] = now
      if (Number.isNaN(cells[CELLS.owedSince])) cells[CELLS.owedSince] = now
    }
    const { to, tell } = held.path
    if (frames || !keys.heard || tell || to === null || !sameEndpoint(to, from)) {
      const newest = keys.open.newest(cap.lane(view, 0)) === cap.counter(view, 0)
      const { epoch, serial } = keys.epoch
      const plain = frames ? inner : null
      this.#p.emit({ event: 'heard', row, epoch, serial, from, bytes: bytes.length, newest, frames: plain })
    }
    keys.heard = true
    if (frames) return null
    const which = cap.frag(view, 0)
    const whole =
      which === cap.FRAG_WHOLE
        ? inner
        : held.halves.take(which === 1 ? 1 : 2, keys.epoch.epoch, cap.lane(view, 0), cap.counter(view, 0), inner, now)
    if (whole === null) return null
    const fault = filter(new DataView(whole.buffer, whole.byteOffset), 0, whole.length, held.peer, held.own)
    if (fault !== null) return this.#drop(fault)
    add(cells, CELLS.packetsIn, 1)
    add(cells, CELLS.bytesIn, whole.length)
    return whole
  }

  /** Seals one inner packet into one or two datagrams. */
  put(row: number, inner: Uint8Array, emit: (to: Endpoint, bytes: Uint8Array) => void, now: Instant): Sealed {
    const held = this.#rows.get(row)
    const seals = held?.path.seals ?? null
    if (held === undefined || seals === null || now >= seals.until || held.path.to === null)
      return this.#refuse('not-open')
    const keys = [...held.keys.values()].find((k) => k.epoch.epoch === seals.epoch)
    if (keys === undefined) return this.#refuse('not-open')
    const { path } = held
    const fault = filter(new DataView(inner.buffer, inner.byteOffset), 0, inner.length, held.own, held.peer)
    if (fault !== null) return this.#refuse(fault)
    if (inner.length > path.innerBytes) return { ok: false, why: 'too-big', innerMtuBytes: path.innerBytes }
    const cut = inner.length <= path.wholeBytes ? inner.length : cutAt(inner.length)
    const parts: [Uint8Array, cap.Frag][] =
      cut === inner.length
        ? [[inner, cap.FRAG_WHOLE]]
        : [
            [inner.subarray(0, cut), cap.FRAG_FIRST],
            [inner.subarray(cut), cap.FRAG_SECOND],
          ]
    for (const [part, frag] of parts) {
      const header = new Uint8Array(16)
      const flags = cap.capsulatedFlags(path.direction, false, LANE, frag)
      cap.writeCapsulated(new DataView(header.buffer), 0, flags, seals.epoch, path.id, 0)
      const sealed = keys.seal.seal(header, part)
      if (sealed === null) return this.#refuse('key-used-up')
      emit(held.path.to, sealed)
    }
    const cells = this.#cells(row)
    cells[CELLS.lastSent] = now
    cells[CELLS.lastInner] = now
    cells[CELLS.owedSince] = Number.NaN
    if (Number.isNaN(cells[CELLS.unansweredSince])) cells[CELLS.unansweredSince] = now
    add(cells, CELLS.packetsOut, 1)
    add(cells, CELLS.bytesOut, inner.length)
    return { ok: true }
  }

  /** As if the key that seals had done all it should. */
  wear(row: number): void {
    const held = this.#rows.get(row)
    for (const k of held?.keys.values() ?? []) {
      if (k.epoch.epoch !== held?.path.seals?.epoch || k.worn) continue
      k.worn = true
      this.#p.emit({ event: 'worn', row, epoch: k.epoch.epoch, serial: k.epoch.serial })
    }
  }

  #keysOf(epoch: MirroredEpoch): Keys {
    const { suite } = this.#p
    const open = new OpenKey(suite, epoch.open, epoch.epoch, { refused: this.#refused })
    return { epoch, seal: new SealKey(suite, epoch.seal, epoch.epoch), open, heard: false, worn: false }
  }

  #forget(row: number): void {
    const held = this.#rows.get(row)
    this.#rows.delete(row)
    for (const [id, h] of this.#byId) if (h === held) this.#byId.delete(id)
  }

  #cells(row: number): Float64Array {
    return this.#p.cells.subarray(row * CELLS.words, (row + 1) * CELLS.words)
  }

  #drop(reason: string): null {
    this.#p.counters.count(`ntm.drop.${reason}`)
    return null
  }

  #refuse(why: Exclude<Extract<Sealed, { ok: false }>['why'], 'too-big'>): Sealed {
    this.#p.counters.count(`ntm.unsent.${why}`)
    return { ok: false, why }
  }
}

function add(cells: Float64Array, at: number, n: number): void {
  cells[at] = (cells[at] ?? 0) + n
}

const LANE = 1
