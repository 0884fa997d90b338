import { type Endpoint, endpointText } from '#ntm-lib/addr/endpoint.ts'
import { sameIp } from '#ntm-lib/addr/ip.ts'
import { invariant } from '#ntm-lib/base/invariant.ts'
import { after, type Instant, instant, type Millis } from '#ntm-lib/base/time.ts'
import type { Nat } from './nat.ts'
import { calm, type Weather } from './weather.ts'

/** A machine under test with a UDP socket: it takes datagrams and time and hands datagrams back. */
export interface Actor {
  readonly name: string
  handle(from: Endpoint, bytes: Uint8Array, now: Instant): void
  tick(now: Instant): void
  deadline(): Instant | null
  poll(): { readonly to: Endpoint; readonly bytes: Uint8Array; readonly note?: string } | null
}

/** Where an actor is: its own address, and the NAT it sits behind. */
export type Place = { at: Endpoint; nat: Nat | null }

/** A datagram as it was on the wire between the NATs. */
export type Captured = {
  readonly when: Instant
  readonly from: Endpoint
  readonly to: Endpoint
  readonly bytes: Uint8Array
  readonly sender: string
}

type Flying = {
  readonly due: Instant
  readonly order: number
  readonly from: Endpoint
  readonly to: Endpoint
  readonly bytes: Uint8Array
}

/** A network without a network: virtual time jumps from event to event, so an hour of keep-alives takes a moment. */
export class World {
  now: Instant = instant(0)
  weather: Weather
  /** Everything ever sent, lost or not: what somebody on the path would have recorded. */
  readonly captured: Captured[] = []
  readonly flow: string[] = []
  readonly #actors = new Map<string, { actor: Actor; readonly place: Place }>()
  #flying: Flying[] = []
  #sent = 0

  constructor(weather: Weather = calm) {
    this.weather = weather
  }

  /** Adding a second actor of the same name replaces the first: a restart. */
  add(actor: Actor, at: Endpoint, nat: Nat | null = null): void {
    this.#actors.set(actor.name, { actor, place: { at, nat } })
  }

  remove(name: string): void {
    this.#actors.delete(name)
  }

  /** Another uplink: what was under way to the old address is lost with it. */
  move(name: string, at: Endpoint, nat: Nat | null = null): void {
    const entry = this.#actors.get(name)
    if (entry !== undefined) Object.assign(entry.place, { at, nat })
  }

  /** A datagram from anybody, with any source address. */
  inject(from: Endpoint, to: Endpoint, bytes: Uint8Array, delay: Millis): void {
    this.flow.push(`  eve->>${this.#nameAt(to)}: ${noteOf(bytes)} @${this.now}`)
    this.#fly(from, to, bytes.slice(), after(this.now, delay))
  }

  /** Runs until `until` holds, nothing more can happen or `limit` has passed. Returns whether it held. */
  run(until: () => boolean, limit: Millis): boolean {
    const end = after(this.now, limit)
    let stuck = 0
    for (;;) {
      this.#drain()
      if (until()) return true
      const due = this.#next()
      if (due === null || due > end) {
        this.now = end
        return until()
      }
      stuck = due > this.now ? 0 : stuck + 1
      invariant(stuck < 10_000, `time stands still at ${due}: a deadline is not acted on`)
      this.now = due
      const arrived = this.#flying.filter((d) => d.due <= due).sort((a, b) => a.due - b.due || a.order - b.order)
      this.#flying = this.#flying.filter((d) => d.due > due)
      for (const d of arrived) this.#deliver(d)
      for (const { actor } of this.#actors.values()) if ((actor.deadline() ?? Infinity) <= due) actor.tick(due)
    }
  }

  /** Lets time pass, whatever happens in it. */
  wait(span: Millis): void {
    this.run(() => false, span)
  }

  /** The conversation so far, for a failing test's message and for docs. */
  mermaid(): string {
    return ['sequenceDiagram', ...this.flow.slice(-200)].join('\n')
  }

  #deliver({ from, to, bytes }: Flying): void {
    for (const { actor, place } of this.#actors.values()) {
      const inside = place.nat === null ? to : place.nat.in(from, to)
      if (inside !== null && inside.port === place.at.port && sameIp(inside.ip, place.at.ip)) {
        return actor.handle(from, bytes, this.now)
      }
    }
  }

  #drain(): void {
    for (const { actor, place } of this.#actors.values()) {
      for (let d = actor.poll(); d !== null; d = actor.poll()) {
        const from = place.nat === null ? place.at : place.nat.out(place.at, d.to)
        const bytes = d.bytes.slice()
        const delays = this.weather({ from, to: d.to, bytes, nth: this.#sent++ })
        const arrow = delays.length === 0 ? '-x' : delays.length > 1 ? '-->>' : '->>'
        this.flow.push(`  ${actor.name}${arrow}${this.#nameAt(d.to)}: ${d.note ?? noteOf(bytes)} @${this.now}`)
        this.captured.push({ when: this.now, from, to: d.to, bytes, sender: actor.name })
        for (const delay of delays) this.#fly(from, d.to, bytes, after(this.now, delay))
      }
    }
  }

  #fly(from: Endpoint, to: Endpoint, bytes: Uint8Array, due: Instant): void {
    this.#flying.push({ due, order: this.#sent, from, to, bytes })
  }

  #nameAt(to: Endpoint): string {
    for (const [name, { place }] of this.#actors) {
      const outer = place.nat?.outer ?? place.at.ip
      if (sameIp(outer, to.ip)) return name
    }
    return endpointText(to).replaceAll(':', '_')
  }

  #next(): Instant | null {
    const dues = this.#flying.map((d) => d.due as number)
    for (const { actor } of this.#actors.values()) {
      const due = actor.deadline()
      if (due !== null) dues.push(due)
    }
    return dues.length === 0 ? null : instant(Math.max(this.now, Math.min(...dues)))
  }
}

/** Class and the two or three numbers that make a diagram readable. */
export function noteOf(b: Uint8Array): string {
  const word = ((b[2] ?? 0) << 8) | (b[3] ?? 0)
  const last = b[15] ?? 0
  switch ((b[0] ?? 0) & 15) {
    case 1:
      return `control-handshake ${b[1]}`
    case 2:
      return `control ${last}`
    case 3:
      return `${['?', 'request', 'response', 'cookie'][(b[1] ?? 0) & 127]} epoch ${word} try ${last}`
    case 4:
      return `${((b[1] ?? 0) & 64) === 0 ? 'packet' : 'frames'} epoch ${word} #${last} (${b.length} B)`
    case 6:
      return 'reset'
    default:
      return `class ${(b[0] ?? 0) & 15}`
  }
}
