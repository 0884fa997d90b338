/** A set of measurements of one thing, boiled down. */
export type Stats = { readonly n: number; readonly median: number; readonly p90: number; readonly min: number }

/** Median, 90th percentile (nearest rank) and least of some values; NaN when there are none. */
export function stats(values: readonly number[]): Stats {
  const sorted = ascending(values)
  return { n: sorted.length, median: rank(sorted, 0.5), p90: rank(sorted, 0.9), min: sorted[0] ?? Number.NaN }
}

export const median = (values: readonly number[]): number => stats(values).median

/** The value that `share` (0 to 1) of all values do not exceed, nearest rank; NaN when there are none. */
export const percentile = (values: readonly number[], share: number): number => rank(ascending(values), share)

const ascending = (values: readonly number[]): number[] => [...values].sort((a, b) => a - b)

const rank = (sorted: readonly number[], share: number): number =>
  sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] ?? Number.NaN
