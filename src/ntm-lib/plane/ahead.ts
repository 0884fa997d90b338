import { RUN, type Runs } from './engine.ts'
import type { Places } from './places.ts'

/**
 * Sends the first datagrams of rows whose peer speaks from an address that it has not proven to that address, as many as the
 * allowance holds whole; what is more goes to the proven one, and nowhere where there is none: returns how many datagrams were lost so. A
 * run is cut where the allowance ends; without room for one run more it counts as more, whole. Rewrites `out`, so it comes last. Allocates
 * nothing.
 */
export function sendAhead(out: Runs, places: Places): number {
  const { runs } = out
  const most = Math.floor(runs.length / RUN.words)
  for (let r = 0; r < out.count * RUN.words; r += RUN.words) {
    const row = runs[r + RUN.row] ?? 0
    const left = places.allowed[row] ?? 0
    if (left <= 0) continue
    const len = runs[r + RUN.len] ?? 0
    const each = runs[r + RUN.each] ?? 1
    const fits = len <= left ? len : Math.floor(left / each) * each
    if (fits === 0) continue
    if (fits < len) {
      if (out.count === most) continue
      runs.copyWithin(r + RUN.words, r, out.count * RUN.words)
      out.count++
      runs[r + RUN.len] = fits
      runs[r + RUN.words + RUN.at] = (runs[r + RUN.at] ?? 0) + fits
      runs[r + RUN.words + RUN.len] = len - fits
    }
    runs[r + RUN.row] = places.aheadRow(row)
    places.spend(row, fits)
  }
  return dropPlaceless(out, places)
}

function dropPlaceless(out: Runs, places: Places): number {
  const { runs } = out
  let kept = 0
  let lost = 0
  for (let r = 0; r < out.count * RUN.words; r += RUN.words) {
    if (places.isPlace(runs[r + RUN.row] ?? 0)) {
      if (kept < r) runs.copyWithin(kept, r, r + RUN.words)
      kept += RUN.words
    } else lost += Math.ceil((runs[r + RUN.len] ?? 0) / (runs[r + RUN.each] ?? 1))
  }
  out.count = kept / RUN.words
  return lost
}
