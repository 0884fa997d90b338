import { after, type Instant, instant } from '#ntm-lib/base/time.ts'
import { type FiveTuple, mix } from '#ntm-lib/packet/five-tuple.ts'
import type { Flow } from './flows.ts'
import { TT_TIMERS } from './timers.ts'

type Row = { readonly flow: Flow; readonly until: Instant }

/**
 * Which flow the later fragments of a packet belong to: only the first one has ports. Fragments that overtake their first
 * one are dropped; TCP never fragments here and UDP repeats. Bounded: the oldest rows go first.
 */
export class Fragments {
  readonly #rows = new Map<number, Row>()
  #sweepAt: Instant = instant(0)

  /** Remembers the flow of a first fragment. */
  note(v: DataView, t: FiveTuple, flow: Flow, now: Instant): void {
    const key = keyOf(v, t)
    this.#rows.delete(key)
    if (this.#rows.size >= MOST_ROWS) {
      const oldest = this.#rows.keys().next()
      if (oldest.done !== true) this.#rows.delete(oldest.value)
    }
    this.#rows.set(key, { flow, until: after(now, TT_TIMERS.fragment) })
  }

  /** The flow of a later fragment; null when its first one has not passed. */
  find(v: DataView, t: FiveTuple, now: Instant): Flow | null {
    const row = this.#rows.get(keyOf(v, t))
    return row === undefined || row.until <= now ? null : row.flow
  }

  tick(now: Instant): void {
    if (now < this.#sweepAt) return
    this.#sweepAt = after(now, TT_TIMERS.fragment)
    for (const [key, row] of this.#rows) if (row.until <= now) this.#rows.delete(key)
  }
}

function keyOf(v: DataView, t: FiveTuple): number {
  let h = mix(t.fragmentId | 0, t.protocol)
  for (let i = 0; i < (t.family === 4 ? 4 : 16); i += 4) {
    h = mix(mix(h, v.getUint32(t.sourceAt + i)), v.getUint32(t.destinationAt + i))
  }
  return h
}

const MOST_ROWS = 4096
