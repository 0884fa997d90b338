import { type Endpoint, endpointText, sameEndpoint } from '../addr/endpoint.ts'
import { idFromRandom, type NodeId, nodeKey } from '../addr/ids.ts'
import { same } from '../base/bytes.ts'
import { after, between, type Instant, type Millis, millis, seconds } from '../base/time.ts'
import type { RelayOffer, RelayReading } from '../wire/messages/relay.ts'
import { decodeRelayLeg, encodeRelayLeg } from '../wire/relay-leg.ts'

type Asked = { readonly relay: string; readonly to: Endpoint; readonly nonce: Uint8Array; readonly at: Instant }
type Measured = {
  readonly relay: NodeId
  readonly endpoints: readonly Endpoint[]
  /** Best of the round that runs or ran; null: nothing came back. */
  best: Millis | null
  /** What the coordinator is told; null before the first round is over. */
  told: number | null
}

export type ProbeOut = { readonly to: Endpoint; readonly bytes: Uint8Array }

/**
 * How far the offered relays are: a few Probes to each, again every few minutes and after each move. The coordinator chooses a
 * path's relay by them (`docs/protocol.md`, Routes), so they are told when they changed clearly, and not otherwise.
 */
export class RelayProbes {
  readonly #random: (count: number) => Uint8Array
  readonly #relays = new Map<string, Measured>()
  readonly #asked = new Map<number, Asked>()
  readonly #out: ProbeOut[] = []
  /** A measurement asks a few times, waits for the last echoes, reads, and rests. */
  #phase: 'asking' | 'waiting' | 'resting' = 'resting'
  #rounds = 0
  #nextAt: Instant | null = null
  #news = false

  constructor(random: (count: number) => Uint8Array) {
    this.#random = random
  }

  /** What the newest registration response offers. New relays are measured at once, relays no longer offered are forgotten. */
  offer(offers: readonly RelayOffer[], now: Instant): void {
    const few = offers.slice(0, MOST)
    const keys = new Set(few.map((o) => nodeKey(o.relay)))
    for (const key of this.#relays.keys()) if (!keys.has(key)) this.#relays.delete(key)
    let fresh = false
    for (const { relay, endpoints } of few) {
      const known = this.#relays.get(nodeKey(relay))
      if (known !== undefined && sameList(known.endpoints, endpoints)) continue
      this.#relays.set(nodeKey(relay), { relay, endpoints: endpoints.slice(0, 4), best: null, told: null })
      fresh = true
    }
    if (fresh) this.measure(now)
    if (this.#relays.size === 0) this.#nextAt = null
  }

  /** Starts a measurement: after a move what was measured says nothing. */
  measure(now: Instant): void {
    if (this.#relays.size === 0) return
    for (const m of this.#relays.values()) m.best = null
    this.#asked.clear()
    this.#phase = 'asking'
    this.#rounds = 0
    this.#nextAt = now
    this.tick(now)
  }

  /** An Echo. Total; whether it was one we wait for, from where we asked. */
  onEcho(from: Endpoint, bytes: Uint8Array, now: Instant): boolean {
    const decoded = decodeRelayLeg(bytes)
    if (!decoded.ok || decoded.value.kind !== 'echo') return false
    const asked = this.#asked.get(decoded.value.id)
    if (asked === undefined || !same(asked.nonce, decoded.value.nonce) || !sameEndpoint(asked.to, from)) return false
    this.#asked.delete(decoded.value.id)
    const m = this.#relays.get(asked.relay)
    const rtt = between(asked.at, now)
    if (m !== undefined && (m.best === null || rtt < m.best)) m.best = rtt
    return true
  }

  /** What a registration carries. Stays the same until it changed clearly. */
  readings(): readonly RelayReading[] {
    return [...this.#relays.values()].flatMap(({ relay, told }) => (told === null ? [] : [{ relay, rttMillis: told }]))
  }

  /** Whether readings changed since this was last asked. */
  takeNews(): boolean {
    const news = this.#news
    this.#news = false
    return news
  }

  tick(now: Instant): void {
    if (this.#nextAt === null || now < this.#nextAt) return
    switch (this.#phase) {
      case 'asking':
        for (const [key, { endpoints }] of this.#relays) for (const to of endpoints) this.#ask(key, to, now)
        this.#rounds++
        if (this.#rounds === ROUNDS) this.#phase = 'waiting'
        this.#nextAt = after(now, this.#rounds === ROUNDS ? PATIENCE : BETWEEN)
        return
      case 'waiting':
        this.#read()
        this.#phase = 'resting'
        this.#nextAt = after(now, this.#rest())
        return
      case 'resting':
        return this.measure(now)
      default:
        return this.#phase satisfies never
    }
  }

  deadline(): Instant | null {
    return this.#nextAt
  }

  poll(): ProbeOut | null {
    return this.#out.shift() ?? null
  }

  #ask(relay: string, to: Endpoint, now: Instant): void {
    const nonce = this.#random(8)
    const id = idFromRandom(this.#random(6))
    this.#asked.set(id, { relay, to, nonce, at: now })
    this.#out.push({ to, bytes: encodeRelayLeg({ kind: 'probe', id, nonce }) })
  }

  /** The measurement is over. */
  #read(): void {
    this.#asked.clear()
    for (const m of this.#relays.values()) {
      const read = m.best === null ? NO_ANSWER : Math.min(NO_ANSWER - 1, Math.round(m.best))
      m.best = null
      if (m.told !== null && !differs(m.told, read)) continue
      m.told = read
      this.#news = true
    }
  }

  /** Five minutes, spread by a fifth: what registered together must not ask together. */
  #rest(): Millis {
    return millis(AGAIN * (0.8 + (0.4 * (this.#random(1)[0] ?? 0)) / 256))
  }
}

const differs = (a: number, b: number): boolean => Math.abs(a - b) > Math.max(5, 0.2 * Math.min(a, b))
const sameList = (a: readonly Endpoint[], b: readonly Endpoint[]): boolean =>
  a.map(endpointText).join() === b.slice(0, 4).map(endpointText).join()

const MOST = 8
/** Probes to each endpoint of a relay per measurement. */
const ROUNDS = 3
const BETWEEN = millis(100)
const PATIENCE = seconds(1)
const AGAIN = seconds(300)
/** What stands for "it did not answer", `RelayReading`. */
const NO_ANSWER = 65_535
