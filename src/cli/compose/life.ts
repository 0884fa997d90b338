import type { WallTime } from '#ntm-lib/base/time.ts'

/** Where a heart can be watched: a number that advances while it beats. */
export type Heart = { readonly beat: number }

/** What whoever supervises the process may know of the running role; the role's start fills it in. */
export class Life {
  readonly #hearts: { readonly heart: Heart; seen: number }[] = []
  #line: () => string = () => 'starting'
  /** The coordinator's authenticated word for the time, each time it gives it. */
  onTime: (told: WallTime) => void = () => {}

  /** The role lives only while this one does: a packet side. */
  follow(heart: Heart): void {
    this.#hearts.push({ heart, seen: Number.NaN })
  }

  /** One line of what the role is doing. */
  describe(line: () => string): void {
    this.#line = line
  }

  get line(): string {
    return this.#line()
  }

  /** Whether every heart has beaten since this was last asked. */
  isAlive(): boolean {
    let alive = true
    for (const h of this.#hearts) {
      const { beat } = h.heart
      if (beat === h.seen) alive = false
      h.seen = beat
    }
    return alive
  }
}
