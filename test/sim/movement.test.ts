import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { seconds } from '#ntm-lib/base/time.ts'
import { mode } from './mirror-mode.ts'
import { Ground, outcome, type Spot } from './moves.ts'
import { comesTo, type Way, wayBetween } from './sight.ts'

type Row = readonly [nr: number, before: Spot, after: Spot, peer: 'G' | 'P(A)' | 'general', route: Way | 'RS or E2E']

/**
 * SEED 002 table 1. `relay` is its RS between two nodes; with a general peer its RS is our terminator, to which the path is direct. Row 12
 * ends as row 15 does, in one private network, and the table names RS for the one and both for the other: both are right.
 */
const TABLE: readonly Row[] = [
  [1, 'G', 'G', 'G', 'direct'],
  [2, 'G', 'G', 'general', 'direct'],
  [3, 'G', 'P(A)', 'G', 'direct'],
  [4, 'G', 'P(A)', 'general', 'direct'],
  [5, 'P(A)', 'G', 'G', 'direct'],
  [6, 'P(A)', 'G', 'general', 'direct'],
  [7, 'P(A)', 'P(A)', 'G', 'direct'],
  [8, 'P(A)', 'P(A)', 'general', 'direct'],
  [9, 'P(A)', 'P(B)', 'G', 'direct'],
  [10, 'P(A)', 'P(B)', 'general', 'direct'],
  [11, 'G', 'G', 'P(A)', 'direct'],
  [12, 'G', 'P(A)', 'P(A)', 'RS or E2E'],
  [13, 'G', 'P(B)', 'P(A)', 'relay'],
  [14, 'P(B)', 'G', 'P(A)', 'direct'],
  [15, 'P(B)', 'P(A)', 'P(A)', 'RS or E2E'],
  [16, 'P(A)', 'P(B)', 'P(A)', 'relay'],
  [17, 'P(B)', 'P(C)', 'P(A)', 'relay'],
]

describe.each([
  ['seed', 'in one thread'],
  ['ice', 'in a worker'],
] as const)('SEED 002 table 1, route.optimise = %s, packets %s', (optimise, packets) => {
  beforeEach(() => {
    mode.mirror = packets === 'in a worker'
  })
  afterEach(() => {
    mode.mirror = false
  })

  test.each(TABLE)('pattern %i: %s to %s, peer %s: %s', (_nr, before, after, who, route) => {
    const ground = new Ground({ settings: { optimise } })
    const pair =
      who === 'general' ? ground.general(ground.spot(before)) : ground.pair(ground.spot(before), ground.spot(who))
    const { fleet, mover, peer, path, ips } = pair
    const moved = fleet.net.now
    fleet.net.replug('mover', { eth0: ground.spot(after) })
    fleet.net.wait(seconds(5))
    const what = outcome(pair, moved)
    expect(what.downAfter, fleet.net.mermaid()).toBeLessThan(3000)
    expect(what.upAfter, fleet.net.mermaid()).toBeLessThan(3000)
    // One session: the same path, with the same peer.
    expect(mover.tunnels.pathTo(ips[1])).toBe(path)
    expect(mover.tunnels.size).toBe(1)
    if (route === 'RS or E2E') expect(wayBetween(fleet, mover, peer, ips)).not.toBe('none')
    else if (optimise === 'ice' && route === 'relay')
      expect(comesTo(fleet, 'direct', mover, peer, seconds(10))).toBe(true)
    else expect(comesTo(fleet, route, mover, peer, seconds(5), ips), fleet.net.mermaid()).toBe(true)
  })
})
