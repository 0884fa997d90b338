import type { Endpoint } from '#ntm-lib/addr/endpoint.ts'
import type { Prefix } from '#ntm-lib/addr/prefix.ts'
import { after, type Instant, instant, type Millis, millis, sooner } from '#ntm-lib/base/time.ts'
import type { KeyLimits } from '#ntm-lib/crypto/seal.ts'
import type { CryptoSuite } from '#ntm-lib/crypto/suite.ts'
import type { MirrorCommand, MirrorEvent } from '#ntm-lib/negotiate/mirror.ts'
import type { Path, Sealed, Tunnels, TunnelsOut } from '#ntm-lib/negotiate/tunnels.ts'
import type { CounterMap } from '#ntm-lib/ports/counters.ts'
import { PlaneWorker } from './plane-worker.ts'
import type { Actor } from './world.ts'

type TunnelEvent = Exclude<TunnelsOut, { out: 'send' }>
type Sent = { readonly to: Endpoint; readonly bytes: Uint8Array }
/** To the negotiation: what a worker says, and datagrams that are no Capsulated Packets. */
type Inward = { readonly due: Instant } & (
  | { readonly event: MirrorEvent }
  | { readonly from: Endpoint; readonly bytes: Uint8Array }
)
/** From the negotiation, in one row: commands and datagrams. */
type Outward = { readonly due: Instant } & ({ readonly command: MirrorCommand } | { readonly send: Sent })

export type MadeTunnels = {
  readonly tunnels: Tunnels
  readonly counters: CounterMap
  /** Present when packets are elsewhere. */
  readonly mirror?: { readonly suite: CryptoSuite; readonly cells: Float64Array; readonly limits?: KeyLimits }
}

/**
 * One node's tunnels as an actor: datagrams in and out, inner packets and events kept for the test to look at. With packets
 * elsewhere, a worker stands between, and everything that passes between the two takes `lag`.
 */
export class TunnelEnd implements Actor {
  readonly name: string
  readonly tunnels: Tunnels
  readonly counters: CounterMap
  readonly events: TunnelEvent[] = []
  readonly received: Uint8Array[] = []
  readonly worker: PlaneWorker | null
  /** How long whatever passes between the two threads takes. */
  lag: Millis = millis(0)
  /** The negotiation's thread does nothing before this. */
  blockedUntil: Instant = instant(0)
  readonly #out: Sent[] = []
  #in: Inward[] = []
  #back: Outward[] = []
  #now: Instant = instant(0)

  constructor(name: string, { tunnels, counters, mirror }: MadeTunnels) {
    this.name = name
    this.tunnels = tunnels
    this.counters = counters
    const emit = (event: MirrorEvent): void => void this.#in.push({ due: after(this.#now, this.lag), event })
    this.worker = mirror === undefined ? null : new PlaneWorker({ ...mirror, counters, emit })
  }

  handle(from: Endpoint, bytes: Uint8Array, now: Instant): void {
    this.#now = now
    const isPacket = ((bytes[0] ?? 0) & 15) === 4
    if (this.worker === null) {
      const opened = isPacket ? this.tunnels.open(from, bytes, now) : this.tunnels.handle(from, bytes, now)
      if (opened) this.received.push(opened.bytes)
      return
    }
    const inner = isPacket ? this.worker.take(from, bytes, now) : null
    if (inner !== null) this.received.push(inner)
    if (!isPacket) this.#in.push({ due: after(now, this.lag), from, bytes: bytes.slice() })
    this.#pass(now)
  }

  tick(now: Instant): void {
    this.#now = now
    if (this.worker === null) return this.tunnels.tick(now)
    this.#pass(now)
    if (now >= this.blockedUntil && (this.tunnels.deadline() ?? now + 1) <= now) this.tunnels.tick(now)
    this.#pass(now)
  }

  deadline(): Instant | null {
    if (this.worker === null) return this.tunnels.deadline()
    const inward = sooner(this.#in[0]?.due ?? null, this.tunnels.deadline())
    const later = inward === null ? null : instant(Math.max(inward, this.blockedUntil))
    return sooner(later, this.#back[0]?.due ?? null)
  }

  poll(): Sent | null {
    if (this.worker === null) {
      for (let o = this.tunnels.poll(); o !== null; o = this.tunnels.poll()) {
        if (o.out === 'send') this.#out.push({ to: o.to, bytes: o.bytes })
        else this.events.push(o)
      }
    } else {
      // What the test did to the tunnels itself.
      this.#collect()
      this.#pass(this.#now)
    }
    return this.#out.shift() ?? null
  }

  /** Seals an inner packet into the path; it leaves with the next poll. */
  send(path: Path, inner: Uint8Array, now: Instant): Sealed {
    this.#now = now
    const emit = (to: Endpoint, bytes: Uint8Array): void => void this.#out.push({ to, bytes: bytes.slice() })
    if (this.worker !== null) {
      this.#pass(now)
      const sealed = this.worker.put(path.row, inner, emit, now)
      this.#pass(now)
      return sealed
    }
    const arena = new Uint8Array(inner.length + 128)
    arena.set(inner, 64)
    return this.tunnels.seal(path, { arena, view: new DataView(arena.buffer) }, 64, inner.length, emit, now)
  }

  /** After a test changed a path by hand: what would have changed it says so itself. */
  touch(path: Path, now: Instant): void {
    this.#now = now
    this.tunnels.extend(path.contractHash, (path.leaseUntil - now) / 1000, now)
  }

  /** This end lets anything through, as a taken-over box would. */
  lift(path: Path, anything: readonly Prefix[]): void {
    this.worker?.lift(path.row, anything, this.#now)
    for (const p of anything) {
      path.ownAllowed.add(p, true)
      path.peerAllowed.add(p, true)
    }
  }

  /** What happened, in order, without what only says that sizes changed. */
  get story(): string[] {
    return this.events.flatMap((e) => (e.out === 'mtu' ? [] : 'why' in e ? [`${e.out} ${e.why}`] : [e.out]))
  }

  /** What waits between the two threads and is due goes on, in order. */
  #pass(now: Instant): void {
    for (let moved = true; moved; ) {
      moved = false
      for (let i = this.#in[0]; i !== undefined && i.due <= now && now >= this.blockedUntil; i = this.#in[0]) {
        this.#in.shift()
        if ('event' in i) this.tunnels.onMirror(i.event, now)
        else this.tunnels.handle(i.from, i.bytes, now)
        moved = true
      }
      this.#collect()
      for (let o = this.#back[0]; o !== undefined && o.due <= now; o = this.#back[0]) {
        this.#back.shift()
        if ('command' in o) this.worker?.apply(o.command, now)
        else {
          this.worker?.passes(o.send.bytes)
          this.#out.push(o.send)
        }
        moved = true
      }
    }
  }

  #collect(): void {
    const due = after(this.#now, this.lag)
    for (let c = this.tunnels.pollMirror(); c !== null; c = this.tunnels.pollMirror())
      this.#back.push({ due, command: c })
    for (let o = this.tunnels.poll(); o !== null; o = this.tunnels.poll()) {
      if (o.out === 'send') this.#back.push({ due, send: { to: o.to, bytes: o.bytes } })
      else this.events.push(o)
    }
  }
}
