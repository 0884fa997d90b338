/** What came of offering `rate` packets a second for a while. */
export type Trial = { readonly sent: number; readonly received: number; readonly seconds: number }

export type SearchPlan = {
  /** First rate tried, packets a second. */
  readonly start: number
  /** Factor between the first rates, until one loses too much. */
  readonly grow: number
  /** Share that may be lost. */
  readonly mostLoss: number
  /** Bisection ends when the bracket is this narrow, as a share of its lower end. */
  readonly precision: number
}

export type Found = {
  /** Packets a second that arrived in the confirming run. */
  readonly rate: number
  readonly loss: number
  /** The generator could not offer more: the true figure may be higher. */
  readonly capped: boolean
  readonly trials: number
}

/**
 * The highest rate that loses no more than `mostLoss`, as RFC 2544 §26.1 searches (there for no loss at all): up by a factor, then
 * bisection, then a confirming run (`confirm` true: the caller makes it longer); a rate that is not confirmed is lowered until one is. A failed
 * trial is repeated once, for one hiccup of a shared machine is not the path's capacity. Rate 0 when nothing passes.
 */
export async function highestRate(
  plan: SearchPlan,
  trial: (rate: number, confirm: boolean) => Promise<Trial>,
): Promise<Found> {
  let trials = 0
  let capped = false
  // Twice when the first attempt failed, or when the generator was kept from offering what it should: either may be chance.
  const passes = async (rate: number, confirm: boolean): Promise<Trial | null> => {
    let short: Trial | null = null
    for (let attempt = 0; attempt < 2; attempt++) {
      trials++
      const t = await trial(rate, confirm)
      if (lossOf(t) > plan.mostLoss) continue
      if (t.sent >= CAPPED_SHARE * rate * t.seconds) return t
      if (short !== null) {
        capped = true
        return t
      }
      short = t
    }
    return null
  }

  let passed = 0
  let failed = Number.POSITIVE_INFINITY
  let rate = plan.start
  while (failed > passed * (1 + plan.precision) && rate >= LEAST_RATE) {
    if ((await passes(rate, false)) === null) failed = rate
    else if (capped) {
      passed = rate
      break
    } else passed = rate
    if (failed === Number.POSITIVE_INFINITY) rate = passed * plan.grow
    else rate = passed === 0 ? failed / Math.max(plan.grow, 1.3) : (passed + failed) / 2
  }

  for (rate = passed; rate >= LEAST_RATE; rate *= 0.93) {
    const confirmed = await passes(rate, true)
    if (confirmed !== null) {
      return { rate: confirmed.received / confirmed.seconds, loss: lossOf(confirmed), capped, trials }
    }
  }
  return { rate: 0, loss: 1, capped: false, trials }
}

/** Share lost; a trial that sent nothing lost all. */
export const lossOf = ({ sent, received }: Trial): number => (sent === 0 ? 1 : Math.max(0, 1 - received / sent))

/** A generator that offers less than this share of what was asked for is at its end. */
const CAPPED_SHARE = 0.9
const LEAST_RATE = 500
