import { overlaps, type Prefix } from '#ntm-lib/addr/prefix.ts'

/** A route of this machine's; `to` is null for the default route. */
export type KnownRoute = { readonly to: Prefix | null; readonly ifname: string | null; readonly type: string }

/** A virtual range that this machine uses for something else already. */
export type Overlap = { readonly range: Prefix; readonly route: Prefix; readonly ifname: string | null }

/**
 * The first overlap of the network's virtual ranges with what this machine reaches by another way; null when there is none. Default routes,
 * also those cut in two (as VPNs do), and routes that lead nowhere do not count, nor what is on `own`.
 */
export function findOverlap(ranges: readonly Prefix[], routes: readonly KnownRoute[], own: string): Overlap | null {
  for (const { to, ifname, type } of routes) {
    if (to === null || to.bits < 2 || ifname === own || NOWHERE.has(type)) continue
    const range = ranges.find((r) => overlaps(r, to))
    if (range !== undefined) return { range, route: to, ifname }
  }
  return null
}

const NOWHERE: ReadonlySet<string> = new Set(['unreachable', 'blackhole', 'prohibit', 'throw'])
