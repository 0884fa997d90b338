import { type AddressState, type LinkState, type RouteState, RT_TABLE_MAIN } from '#io/rtnetlink.ts'
import { type Family, family, type Ip, isIp4, sameIp } from '#ntm-lib/addr/ip.ts'
import { contains, type Prefix } from '#ntm-lib/addr/prefix.ts'
import type { Via } from '#ntm-lib/addr/via.ts'

/** What the kernel knows of the ways out of this machine. */
export type Ways = {
  readonly links: readonly LinkState[]
  readonly addresses: readonly AddressState[]
  readonly routes: readonly RouteState[]
}

/** What is no way out: interfaces by name, virtual prefixes; and the interface that the operator wants first. */
export type ViaOptions = {
  readonly without: { readonly interfaces: readonly string[]; readonly prefixes: readonly Prefix[] }
  readonly prefer: string | null
}

/**
 * All ways out, the best first: every usable address of an interface with a route, interfaces with a default route before those that only
 * reach what they are connected to, then by metric, whichever the family (of equal ones IPv4 first). A deprecated address comes after all that are not, a local one (RFC 4193) after
 * global ones, a temporary one (RFC 8981) after those that last. At most `MOST_VIAS`.
 */
export function viasOf(ways: Ways, { without, prefer }: ViaOptions): readonly Via[] {
  const names = new Map(ways.links.filter((l) => isWayOut(l, without.interfaces)).map((l) => [l.ifindex, l.name]))
  const found: Ranked[] = []
  for (const a of ways.addresses) {
    const name = names.get(a.ifindex)
    if (name === undefined || !isSource(a, without.prefixes)) continue
    const route = bestRoute(ways.routes, a)
    if (route === null) continue
    const rank = [
      name === prefer ? 0 : 1,
      route.to === null ? 0 : 1,
      a.deprecated ? 1 : 0,
      isUniqueLocal(a.ip) ? 1 : 0,
      route.metric,
      a.temporary ? 1 : 0,
      route.from !== null && sameIp(route.from, a.ip) ? 0 : 1,
      a.ifindex,
      isIp4(a.ip) ? 4 : 6,
    ]
    found.push({ via: { ifindex: a.ifindex, ip: a.ip }, rank })
  }
  return found
    .sort((a, b) => compare(a.rank, b.rank))
    .slice(0, MOST_VIAS)
    .map(({ via }) => via)
}

/** Whether there is a default route by that way. */
export const leadsOut = ({ routes }: Ways, { ifindex, ip }: Via): boolean =>
  routes.some(
    (r) => r.to === null && r.unicast && r.ifindex === ifindex && r.family === family(ip) && r.table === RT_TABLE_MAIN,
  )

type Ranked = { readonly via: Via; readonly rank: readonly number[] }

const isWayOut = (l: LinkState, without: readonly string[]): boolean =>
  l.up && l.carrier && !l.loopback && !without.includes(l.name)

const isSource = (a: AddressState, virtual: readonly Prefix[]): boolean =>
  a.global && a.usable && !isLinkLocal(a.ip) && !virtual.some((p) => contains(p, a.ip))

/** The default route with the lowest metric that datagrams from this address would take, or else any that leads beyond this machine. */
function bestRoute(routes: readonly RouteState[], a: AddressState): RouteState | null {
  const own = routes.filter((r) => isFor(r, a, family(a.ip)))
  const byMetric = (x: RouteState, y: RouteState): number =>
    (x.to === null ? 0 : 1) - (y.to === null ? 0 : 1) || x.metric - y.metric
  return own.sort(byMetric)[0] ?? null
}

const isFor = (r: RouteState, a: AddressState, of: Family): boolean =>
  r.family === of &&
  r.ifindex === a.ifindex &&
  r.unicast &&
  r.table === RT_TABLE_MAIN &&
  !(r.to !== null && isLinkLocal(r.to.base)) &&
  // A route to the address itself alone leads nowhere.
  !(r.to !== null && r.to.bits === (of === 4 ? 32 : 128) && sameIp(r.to.base, a.ip))

/** fe80::/10. */
const isLinkLocal = (ip: Ip): boolean => !isIp4(ip) && ip[0] === 0xfe && ((ip[1] ?? 0) & 0xc0) === 0x80
/** fc00::/7. */
const isUniqueLocal = (ip: Ip): boolean => !isIp4(ip) && ((ip[0] ?? 0) & 0xfe) === 0xfc

/** Equal ones stay in the kernel's order. */
function compare(a: readonly number[], b: readonly number[]): number {
  for (const [i, x] of a.entries()) {
    const by = x - (b[i] ?? 0)
    if (by !== 0) return by
  }
  return 0
}

/** More addresses than that are not tried. */
const MOST_VIAS = 16
