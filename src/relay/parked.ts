import type { Endpoint } from '#ntm-lib/addr/endpoint.ts'
import { sameEndpoint } from '#ntm-lib/addr/endpoint.ts'
import { Expiring } from '#ntm-lib/base/expiring.ts'
import { after, type Instant, seconds } from '#ntm-lib/base/time.ts'

/** Something that came too early. */
export type Early = { readonly from: Endpoint; readonly bytes: Uint8Array }

/**
 * What came before what it needs: the last handshake of a leg whose peer is not there yet, and Binds (with the handshake behind
 * them) of paths that the coordinator is still to direct. For a second, and bounded: anybody can send such Binds.
 */
export class Parked {
  readonly #handshakes: Expiring<number, Early>
  readonly #binds = new Expiring<string, { readonly bind: Early; handshake: Early | null }>(MOST_BINDS)

  constructor(most: number) {
    this.#handshakes = new Expiring(most)
  }

  get size(): number {
    return this.#handshakes.size + this.#binds.size
  }

  handshake(leg: number, early: Early, now: Instant): void {
    this.#handshakes.set(leg, early, after(now, PARK))
  }

  takeHandshake(leg: number): Early | null {
    const early = this.#handshakes.get(leg) ?? null
    this.#handshakes.delete(leg)
    return early
  }

  /** Of an unknown path. */
  bind(id: number, direction: number, bind: Early, now: Instant): void {
    this.#binds.set(`${id} ${direction}`, { bind, handshake: null }, after(now, PARK))
  }

  /** A handshake on an unknown path: kept only behind a Bind from the same address. Whether it was. */
  handshakeBehind(id: number, direction: number, early: Early): boolean {
    const waits = this.#binds.get(`${id} ${direction}`)
    if (waits === undefined || !sameEndpoint(waits.bind.from, early.from)) return false
    waits.handshake = early
    return true
  }

  /** What waited for this id, in the order it came. */
  takeBinds(id: number): Early[] {
    return [0, 1].flatMap((direction) => {
      const key = `${id} ${direction}`
      const waits = this.#binds.get(key)
      this.#binds.delete(key)
      if (waits === undefined) return []
      return waits.handshake === null ? [waits.bind] : [waits.bind, waits.handshake]
    })
  }

  sweep(now: Instant): void {
    this.#handshakes.sweep(now)
    this.#binds.sweep(now)
  }
}

const PARK = seconds(1)
const MOST_BINDS = 256
