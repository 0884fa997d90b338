import type { Endpoint } from '#ntm-lib/addr/endpoint.ts'
import type { Instant } from '#ntm-lib/base/time.ts'
import type { Path, Sealed, Tunnels, TunnelsOut } from '#ntm-lib/negotiate/tunnels.ts'
import type { CounterMap } from '#ntm-lib/ports/counters.ts'
import type { Actor } from './world.ts'

type TunnelEvent = Exclude<TunnelsOut, { out: 'send' }>

/** One node's tunnels as an actor: datagrams in and out, inner packets and events kept for the test to look at. */
export class TunnelEnd implements Actor {
  readonly name: string
  readonly tunnels: Tunnels
  readonly counters: CounterMap
  readonly events: TunnelEvent[] = []
  readonly received: Uint8Array[] = []
  readonly #out: { to: Endpoint; bytes: Uint8Array }[] = []

  constructor(name: string, made: { readonly tunnels: Tunnels; readonly counters: CounterMap }) {
    this.name = name
    this.tunnels = made.tunnels
    this.counters = made.counters
  }

  handle(from: Endpoint, bytes: Uint8Array, now: Instant): void {
    if (((bytes[0] ?? 0) & 15) !== 4) return this.tunnels.handle(from, bytes, now)
    const opened = this.tunnels.open(from, bytes, now)
    if (opened !== null) this.received.push(opened.bytes)
  }

  tick(now: Instant): void {
    this.tunnels.tick(now)
  }

  deadline(): Instant | null {
    return this.tunnels.deadline()
  }

  poll(): { to: Endpoint; bytes: Uint8Array } | null {
    for (let o = this.tunnels.poll(); o !== null; o = this.tunnels.poll()) {
      if (o.out === 'send') this.#out.push({ to: o.to, bytes: o.bytes })
      else this.events.push(o)
    }
    return this.#out.shift() ?? null
  }

  /** Seals an inner packet into the path; it leaves with the next poll. */
  send(path: Path, inner: Uint8Array, now: Instant): Sealed {
    const arena = new Uint8Array(inner.length + 128)
    arena.set(inner, 64)
    const emit = (to: Endpoint, bytes: Uint8Array): void => void this.#out.push({ to, bytes: bytes.slice() })
    return this.tunnels.seal(path, { arena, view: new DataView(arena.buffer) }, 64, inner.length, emit, now)
  }

  /** What happened, in order, without what only says that sizes changed. */
  get story(): string[] {
    return this.events.flatMap((e) => (e.out === 'mtu' ? [] : 'why' in e ? [`${e.out} ${e.why}`] : [e.out]))
  }
}
