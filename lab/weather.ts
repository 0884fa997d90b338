/** What a link does to packets in one direction. Everything is off unless told. */
export type Weather = {
  /** Time on the wire, in milliseconds, one way. */
  readonly delayMs?: number
  /** By destination address, instead of `delayMs`: measured round-trip times need not fit a star. */
  readonly delaysTo?: Readonly<Record<string, number>>
  /** The delay varies evenly by up to this much either way; order is kept. */
  readonly jitterMs?: number
  /** Packets lost on the wire, 0 to 100. */
  readonly lossPercent?: number
  /** Packets that skip the delay and so overtake others, 0 to 100. Shows only with a delay. */
  readonly reorderPercent?: number
  /** Speed of the link in Mbit/s, counted on whole frames. */
  readonly rateMbit?: number
  /** How many milliseconds of traffic wait before a slow link; what is more is dropped at the tail. Default 100. */
  readonly queueMs?: number
}

/** What became of the packets of one direction so far; `waiting` are still on the wire. */
export type LaneCounts = {
  readonly taken: number
  readonly arrived: number
  readonly lost: number
  readonly full: number
  readonly waiting: number
  /** How much later than its time a packet was delivered, in milliseconds: the median, and the worst. */
  readonly lateMs: number
  readonly latestMs: number
}

/** Why a packet does not arrive. */
export type Fate = { readonly at: 'arrives'; readonly ms: number } | { readonly at: 'lost' } | { readonly at: 'full' }

/** One direction of a link: decides for each packet, in the order sent, when it arrives. Reads no clock and no dice itself. */
export class Lane {
  /** May be changed at any time; what is under way is not touched. */
  weather: Weather
  readonly #random: () => number
  #freeAt = 0
  /** By delay: ways of different length do not wait for each other. */
  readonly #lastArrivals = new Map<number, number>()

  /** `random` gives numbers from 0 (included) to 1 (excluded). */
  constructor(weather: Weather, random: () => number) {
    this.weather = weather
    this.#random = random
  }

  /** The fate of a frame of `bytes` to address `to` handed in at `now` (milliseconds, never going back). */
  take(bytes: number, now: number, to = ''): Fate {
    const w = this.weather
    let leaves = now
    if (w.rateMbit !== undefined) {
      const starts = Math.max(now, this.#freeAt)
      if (starts - now > (w.queueMs ?? QUEUE_MS)) return { at: 'full' }
      leaves = starts + (bytes * 8) / (w.rateMbit * 1000)
      this.#freeAt = leaves
    }
    if (this.#chance(w.lossPercent)) return { at: 'lost' }
    // As netem does it: the packet that overtakes is the one that is not held up.
    if (this.#chance(w.reorderPercent)) return { at: 'arrives', ms: leaves }
    const jitter = w.jitterMs === undefined ? 0 : (this.#random() * 2 - 1) * w.jitterMs
    const delayMs = w.delaysTo?.[to] ?? w.delayMs ?? 0
    const arrival = Math.max(leaves + Math.max(0, delayMs + jitter), this.#lastArrivals.get(delayMs) ?? 0)
    this.#lastArrivals.set(delayMs, arrival)
    return { at: 'arrives', ms: arrival }
  }

  #chance(percent: number | undefined): boolean {
    return percent !== undefined && percent > 0 && this.#random() * 100 < percent
  }
}

/** Repeatable dice: the same seed gives the same sequence (mulberry32, a public-domain generator). */
export function dice(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = Math.imul(state ^ (state >>> 15), state | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
}

const QUEUE_MS = 100
