import type { Endpoint } from '#ntm-lib/addr/endpoint.ts'
import { pathId } from '#ntm-lib/addr/ids.ts'
import { ip16 } from '#ntm-lib/addr/ip.ts'
import { same } from '#ntm-lib/base/bytes.ts'
import { Rate } from '#ntm-lib/base/rate.ts'
import { after, type Instant, seconds } from '#ntm-lib/base/time.ts'
import type { CryptoSuite } from '#ntm-lib/crypto/suite.ts'
import type { DatagramRuns, Runs } from '#ntm-lib/plane/engine.ts'
import { senderOf } from '#ntm-lib/plane/heard.ts'
import type { Counters } from '#ntm-lib/ports/counters.ts'
import { shared } from '#ntm-lib/ports/packet-port.ts'
import { TYPE_KNOCK } from '#ntm-lib/wire/handshake.ts'
import { CLASS_RELAY, CLASS_TUNNEL_HANDSHAKE, DIRECTION_BIT, getU48, readHeader } from '#ntm-lib/wire/header.ts'
import type { RefusalCode } from '#ntm-lib/wire/messages/refusal.ts'
import type { RelayDirection } from '#ntm-lib/wire/messages/relay.ts'
import { decodeRelayLeg, encodeRelayLeg } from '#ntm-lib/wire/relay-leg.ts'
import { Budgets } from './budget.ts'
import { Forwarder, type Unforwarded } from './forward.ts'
import { Legs } from './legs.ts'
import { Load } from './load.ts'
import { Parked } from './parked.ts'
import { type RelaySettings, stricter } from './settings.ts'
import { boundPlace, otherLeg, pendingPlace, RelayTable } from './table.ts'

export type RelayParts = {
  readonly settings: RelaySettings
  readonly suite: CryptoSuite
  readonly counters: Counters
  /** Runs of forwarded datagrams, during `take` only; `addrs` and `ports` are the same arrays every time. */
  readonly send: (runs: Runs, addrs: Uint8Array, ports: Uint16Array) => void
  /** One datagram: an answer of ours, or one that had waited. */
  readonly sendOne: (to: Endpoint, bytes: Uint8Array) => void
  /** A datagram that is none of a relay's business: control, reset. `bytes` is the receiver's. */
  readonly pass: (from: Endpoint, bytes: Uint8Array) => void
}

/** The relay: its table, its legs, what it forwards. Driven by `take`, `direct`, `release` and `tick`. */
export class RelayCore {
  readonly #p: RelayParts
  readonly #table: RelayTable
  readonly #budgets: Budgets
  readonly #forwarder: Forwarder
  readonly #legs: Legs
  readonly #parked: Parked
  readonly #echoes: Rate
  readonly #load: Load
  readonly #one = oneSlot()
  /** Legs that handshakes for them may now go to. */
  readonly #grown: number[] = []
  #sweepAt: Instant | null = null

  constructor(parts: RelayParts) {
    const { settings, suite, counters, send, sendOne } = parts
    this.#p = parts
    this.#table = new RelayTable(settings.mostPaths)
    this.#budgets = new Budgets(settings.mostPaths + 1)
    this.#budgets.set(settings.mostPaths, settings.kbitPerSecond, settings.packetsPerSecond, 0 as Instant)
    this.#legs = new Legs(suite, this.#table, counters, sendOne)
    this.#parked = new Parked(2 * settings.mostPaths)
    this.#echoes = new Rate(settings.echoesPerSecond, settings.echoesPerSecond)
    this.#load = new Load(settings)
    this.#forwarder = new Forwarder({
      table: this.#table,
      budgets: this.#budgets,
      send,
      other: (d, slot, at, len, now) => this.#other(senderOf(d, slot), copy(d, at, len), now),
      unknown: (d, slot, at, len, now) => this.#unknown(d, slot, at, len, now),
      grown: (leg) => {
        if (this.#parked.size > 0) this.#grown.push(leg)
      },
      unforwarded: (why, leg, d, slot, at, len, now) => this.#unforwarded(why, leg, d, slot, at, len, now),
    })
  }

  /** Paths in the table. */
  get paths(): number {
    return this.#table.size
  }

  /** Ends with a bound address, and ends with one that waits for its Confirm. */
  get legs(): { readonly bound: number; readonly pending: number } {
    const { ports } = this.#table
    const count = (place: (leg: number) => number): number =>
      [...this.#table.rows()].flatMap((r) => [2 * r, 2 * r + 1]).filter((leg) => ports[place(leg)] !== 0).length
    return { bound: count(boundPlace), pending: count(pendingPlace) }
  }

  /** 0 to 100: the largest of bytes, packets and paths against what there may be. */
  get loadPercent(): number {
    return this.#load.percent(this.#table.size)
  }

  /** Datagrams as they came; what is forwarded has been sent when this returns. Total. */
  take(d: DatagramRuns, now: Instant): void {
    this.#forwarder.take(d, now)
    // Not before: what had waited is taken from memory that `d` may be.
    for (let leg = this.#grown.pop(); leg !== undefined; leg = this.#grown.pop()) {
      const waiting = this.#parked.takeHandshake(otherLeg(leg))
      // If it may not go there yet it waits again.
      if (waiting !== null) this.handle(waiting.from, waiting.bytes, now)
    }
    this.#wake(now)
  }

  /** The coordinator's word about one path; null when it is taken in. Again for the same ids: lease and limits anew, legs stay unless keys changed. */
  direct(m: RelayDirection, now: Instant): RefusalCode | null {
    const t = this.#table
    const rows = new Set(m.pathIds.map((id) => t.rowOf(id)))
    let [row = -1] = rows
    if (rows.size > 1) return 'path-id-in-use'
    const isNew = row < 0
    if (isNew) {
      row = t.add(m.pathIds)
      if (row < 0) return 'relay-full'
    }
    const { pathKbitPerSecond, pathPacketsPerSecond } = this.#p.settings
    for (const [leg, key] of [[2 * row, m.openerKey] as const, [2 * row + 1, m.acceptorKey] as const]) {
      if (!isNew && same(t.keys[leg] ?? NOTHING, key)) continue
      t.keys[leg] = key
      t.seqs[leg] = 0
      t.unbind(leg)
    }
    t.leaseUntil[row] = after(now, seconds(m.leaseSeconds))
    t.usedAt[row] = now
    const kbit = stricter(m.kbitPerSecond, pathKbitPerSecond)
    this.#budgets.set(row, kbit, stricter(m.packetsPerSecond, pathPacketsPerSecond), now)
    for (const id of m.pathIds) for (const { from, bytes } of this.#parked.takeBinds(id)) this.handle(from, bytes, now)
    this.#wake(now)
    return null
  }

  /** Forgets the path with this id, if there is one. */
  release(id: number): void {
    const row = this.#table.rowOf(id)
    if (row >= 0) this.#table.remove(row)
  }

  /** One datagram in memory of the caller's, as `take`. Longer than any can be: cut. */
  handle(from: Endpoint, bytes: Uint8Array, now: Instant): void {
    const one = this.#one
    one.arena.set(bytes.subarray(0, one.slotBytes))
    one.lens[0] = Math.min(bytes.length, one.slotBytes)
    one.addrs.set(ip16(from.ip))
    one.ports[0] = from.port
    this.take(one, now)
  }

  tick(now: Instant): void {
    if (this.#sweepAt === null || now < this.#sweepAt) return
    this.#sweepAt = null
    const t = this.#table
    for (const row of t.rows()) {
      const unused = now >= (t.usedAt[row] ?? 0) + IDLE
      if (unused || now >= (t.leaseUntil[row] ?? 0)) {
        this.#p.counters.count(unused ? 'relay.idle' : 'relay.expired')
        t.remove(row)
        continue
      }
      t.expire(2 * row, now)
      t.expire(2 * row + 1, now)
    }
    this.#parked.sweep(now)
    const { datagrams, bytes } = this.#forwarder
    const moved = this.#load.measure(datagrams, bytes, now)
    if (moved.datagrams > 0) this.#p.counters.count('relay.forward.datagrams', moved.datagrams)
    if (moved.bytes > 0) this.#p.counters.count('relay.forward.bytes', moved.bytes)
    this.#wake(now)
  }

  deadline(): Instant | null {
    return this.#sweepAt
  }

  #wake(now: Instant): void {
    if (this.#sweepAt === null && (this.#table.size > 0 || this.#parked.size > 0)) this.#sweepAt = after(now, SWEEP)
  }

  /** Neither class 3 nor 4. */
  #other(from: Endpoint, bytes: Uint8Array, now: Instant): void {
    const header = readHeader(bytes)
    if (!header.ok) return this.#p.counters.count(`relay.drop.${header.fault}`)
    if (header.value.cls === CLASS_RELAY) return this.#leg(from, bytes, now)
    if (header.value.cls > CLASS_TUNNEL_HANDSHAKE && header.value.cls < CLASS_RELAY)
      return this.#p.counters.count('relay.drop.short')
    this.#p.pass(from, bytes)
  }

  #leg(from: Endpoint, bytes: Uint8Array, now: Instant): void {
    const decoded = decodeRelayLeg(bytes)
    if (!decoded.ok) return this.#p.counters.count(`relay.drop.${decoded.fault}`)
    const d = decoded.value
    if (d.kind === 'probe') {
      if (!this.#echoes.take(now)) return this.#p.counters.count('relay.drop.probe-limit')
      return this.#p.sendOne(from, encodeRelayLeg({ ...d, kind: 'echo' }))
    }
    if (d.kind !== 'bind' && d.kind !== 'confirm') return this.#p.counters.count('relay.drop.not-for-relay')
    const row = this.#table.rowOf(d.path)
    if (row < 0) {
      if (d.kind === 'bind') this.#parked.bind(d.path, d.direction, { from, bytes }, now)
      return this.#p.counters.count('relay.drop.unknown-path')
    }
    const leg =
      d.kind === 'bind' ? this.#legs.bind(row, d, from, bytes, now) : this.#legs.confirm(row, d, from, bytes, now)
    if (leg >= 0) this.#grown.push(leg)
  }

  #unknown(d: DatagramRuns, slot: number, at: number, len: number, now: Instant): void {
    this.#p.counters.count('relay.drop.unknown-path')
    if (!isPatient(d, at)) return
    const side = d.view.getUint8(at + 1) >> 7
    this.#parked.handshakeBehind(getU48(d.view, at + 4), side, { from: senderOf(d, slot), bytes: copy(d, at, len) })
    this.#wake(now)
  }

  #unforwarded(
    why: Unforwarded,
    leg: number,
    d: DatagramRuns,
    slot: number,
    at: number,
    len: number,
    now: Instant,
  ): void {
    const patient = why !== 'unbound' && isPatient(d, at) && !this.#isBound(otherLeg(leg))
    if (patient) return this.#parked.handshake(leg, { from: senderOf(d, slot), bytes: copy(d, at, len) }, now)
    this.#p.counters.count(`relay.drop.${why}`)
    const each = Math.min(len, d.segs[slot] || len)
    this.#legs.notice(why, leg, pathId(getU48(d.view, at + 4)), senderOf(d, slot), copy(d, at, each), now)
  }

  #isBound = (leg: number): boolean => (this.#table.ports[boundPlace(leg)] ?? 0) !== 0
}

/** A handshake that is worth keeping for its peer: any but a Knock, which is only to open the way to its sender. */
const isPatient = (d: DatagramRuns, at: number): boolean =>
  (d.view.getUint8(at) & 15) === CLASS_TUNNEL_HANDSHAKE && (d.view.getUint8(at + 1) & ~DIRECTION_BIT) !== TYPE_KNOCK

const copy = (d: DatagramRuns, at: number, len: number): Uint8Array => d.arena.slice(at, at + len)

function oneSlot(): DatagramRuns {
  const arena = shared(Uint8Array, 65_536)
  return {
    arena,
    view: new DataView(arena.buffer),
    slotBytes: arena.length,
    lens: new Uint32Array(1),
    segs: new Uint16Array(1),
    addrs: new Uint8Array(16),
    ports: new Uint16Array(1),
    count: 1,
  }
}

const NOTHING = new Uint8Array(0)
const SWEEP = seconds(1)
/** Without a forwarded datagram or a Bind. */
const IDLE = seconds(600)
