import type { Endpoint } from '#ntm-lib/addr/endpoint.ts'
import { isIp4 } from '#ntm-lib/addr/ip.ts'
import { type Millis, millis } from '#ntm-lib/base/time.ts'

/** One datagram as the network sees it; addresses are those on the wire, after any NAT. */
export type Flight = {
  readonly from: Endpoint
  readonly to: Endpoint
  readonly bytes: Uint8Array
  readonly nth: number
}

/** What the network does to a datagram: one delay per copy that arrives; none loses it. */
export type Weather = (flight: Flight) => readonly Millis[]

export const calm: Weather = () => [millis(20)]

export const loseFirst =
  (count: number): Weather =>
  ({ nth }) =>
    nth < count ? [] : [millis(20)]

/** Each datagram gets its fate from the list; after the list the weather is calm. */
export const fates =
  (list: readonly (readonly Millis[])[]): Weather =>
  ({ nth }) =>
    list[nth] ?? [millis(20)]

export type Storm = { readonly loss?: number; readonly duplicate?: number; readonly reorder?: number }

/** Loss, duplication and late arrival by share; reproducible by seed. */
export function storm(seed: number, { loss = 0, duplicate = 0, reorder = 0 }: Storm): Weather {
  const next = lcg(seed)
  return () => {
    if (next() < loss) return []
    const delay = (): Millis => millis(next() < reorder ? 20 + Math.floor(next() * 200) : 20)
    return next() < duplicate ? [delay(), delay()] : [delay()]
  }
}

/** The acceptor's Knocks are lost, and the fates are counted without them. */
export function knocksApart(weather: Weather): Weather {
  let knocks = 0
  return (flight) => {
    if (flight.bytes[0] !== 0x13 || ((flight.bytes[1] ?? 0) & 127) !== 4) {
      return weather({ ...flight, nth: flight.nth - knocks })
    }
    knocks++
    return []
  }
}

/** Drops whatever would need a larger outer IP packet than `mtuBytes`: don't-fragment is set on all of them. */
export const narrow =
  (mtuBytes: number, weather: Weather = calm): Weather =>
  (flight) =>
    flight.bytes.length + (isIp4(flight.from.ip) ? 28 : 48) > mtuBytes ? [] : weather(flight)

/** A small linear congruential generator (Numerical Recipes' constants): tests need repetition, not quality. */
export function lcg(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 2 ** 32
  }
}
