import { millis, seconds } from '#ntm-lib/base/time.ts'
import { Fleet, fqdn } from './fleet.ts'
import { KINDS, type Kind, placeOf } from './places.ts'
import { type Way, wayBetween } from './sight.ts'

export type Optimise = 'seed' | 'ice'

export type Cell = {
  readonly from: Kind
  readonly to: Kind
  /** Asked once, as a program does that looks up a name; null when no path came of it. */
  readonly opened: {
    readonly first: Way
    readonly settled: Way
    readonly millis: number
    readonly roundTrips: number
  } | null
  /** What the initiator was told when there is no path. */
  readonly why: string
}

/** Every pair of places is this far apart, one way, so that times are round trips. */
export const ONE_WAY = millis(10)

/** One network with a box of every kind on either side and one relay; every initiator asks for every correspondent once. */
export function runGrid(optimise: Optimise, seed = 1): readonly Cell[] {
  const fleet = new Fleet({ seed, settings: { optimise } })
  fleet.net.oneWay = ONE_WAY
  fleet.relay('relay1')
  for (const [i, kind] of KINDS.entries()) {
    fleet.box(`from${i}`, placeOf(fleet.net, kind, 10 + i))
    fleet.box(`to${i}`, placeOf(fleet.net, kind, 30 + i))
  }
  fleet.up()
  fleet.net.wait(seconds(5))
  return KINDS.flatMap((from, i) => KINDS.map((to, j) => cell(fleet, optimise, [from, i], [to, j])))
}

function cell(fleet: Fleet, optimise: Optimise, [from, i]: [Kind, number], [to, j]: [Kind, number]): Cell {
  const [a, b] = [fleet.named(`from${i}`), fleet.named(`to${j}`)]
  const began = fleet.net.now
  const answer = fleet.ask(a, fqdn(b))
  const took = fleet.net.now - began
  if (answer?.ok !== true)
    return { from, to, opened: null, why: answer === null ? 'no answer' : `${answer.code}: ${answer.text}` }
  const first = wayBetween(fleet, a, b)
  fleet.net.wait(seconds(optimise === 'ice' && first === 'relay' ? 3 : 0.5))
  const settled = wayBetween(fleet, a, b)
  return { from, to, opened: { first, settled, millis: took, roundTrips: took / (2 * ONE_WAY) }, why: '' }
}

/** What stands around a kind of place, per family: nothing (`open`), something (`behind`), or no such family. */
type Around = 'open' | 'behind' | 'none'
const AROUND: Readonly<Record<Kind, { readonly 4: Around; readonly 6: Around }>> = {
  none: { 4: 'open', 6: 'open' },
  'full cone': { 4: 'behind', 6: 'none' },
  'address-restricted': { 4: 'behind', 6: 'none' },
  'port-restricted': { 4: 'behind', 6: 'none' },
  symmetric: { 4: 'behind', 6: 'none' },
  'double NAT': { 4: 'behind', 6: 'none' },
  // The seeds know no filters: an address that is one's own and global is reachable.
  'v6 firewall': { 4: 'none', 6: 'open' },
  'v4-only': { 4: 'open', 6: 'none' },
  'v6-only': { 4: 'none', 6: 'open' },
}

/**
 * The seeds' rule, written down from SEED 002 §3.3 and SEED 003 §3.3 and not from the product: direct when one end is global in a family
 * that both have; a relay when both are behind something, or have no family in common.
 */
export function seedRoute(a: Kind, b: Kind): Way {
  for (const family of [4, 6] as const) {
    const [x, y] = [AROUND[a][family], AROUND[b][family]]
    if (x !== 'none' && y !== 'none' && (x === 'open' || y === 'open')) return 'direct'
  }
  return 'relay'
}

/**
 * What hole punching can reach at best, from RFC 4787's definitions: both send first, so every filter opens for the address it sees; it
 * fails where one end's port is another for every peer and the other end's filter minds ports.
 */
export function bestRoute(a: Kind, b: Kind): Way {
  if (seedRoute(a, b) === 'direct') return 'direct'
  const common = ([4, 6] as const).some((f) => AROUND[a][f] !== 'none' && AROUND[b][f] !== 'none')
  if (!common) return 'relay'
  const mindsPorts = (k: Kind): boolean => k !== 'full cone' && k !== 'address-restricted'
  const hidden = (x: Kind, y: Kind): boolean => x === 'symmetric' && mindsPorts(y)
  return hidden(a, b) || hidden(b, a) ? 'relay' : 'direct'
}
