import { describe, expect, test } from 'vitest'
import { seconds } from '#ntm-lib/base/time.ts'
import { FULL_CONE, Nat4, PORT_RESTRICTED } from './gate.ts'
import { Realm } from './internet.ts'
import { Ground, type Pair } from './moves.ts'
import { at, ipOf } from './places.ts'
import { wayBetween } from './sight.ts'

// SEED 002 table 1, pattern 15: two nodes in one private network, where the access point may keep its clients apart.
describe.each(['seed', 'ice'] as const)('two nodes behind one NAT, route.optimise = %s', (optimise) => {
  test.each([
    ['free, no hairpin', false, false],
    ['free, hairpin', false, true],
    ['kept apart, no hairpin', true, false],
    ['kept apart, hairpin', true, true],
  ] as const)('%s: they reach each other', (_, isolated, hairpin) => {
    const { pair } = neighbours(optimise, isolated, hairpin)
    const way = wayBetween(pair.fleet, pair.mover, pair.peer)
    expect(way, pair.fleet.net.mermaid()).not.toBe('none')
    // Nothing but the relay leads from one to the other.
    if (isolated && !hairpin) expect(way).toBe('relay')
    if (optimise === 'ice' && !isolated) expect(way, pair.fleet.net.mermaid()).toBe('direct')
  })

  test('one of them leaves and comes back', () => {
    const { ground, pair, home } = neighbours(optimise, false, false)
    const { net } = ground.fleet
    for (const place of [ground.spot('P(A)'), at(home, '192.168.1.7'), ground.spot('G'), at(home, '192.168.1.8')]) {
      net.plug('mover', 'eth0', place)
      net.wait(seconds(5))
      expect(wayBetween(ground.fleet, pair.mover, pair.peer), net.mermaid()).not.toBe('none')
    }
    expect(pair.mover.tunnels.size).toBe(1)
  })
})

function neighbours(optimise: 'seed' | 'ice', isolated: boolean, hairpin: boolean) {
  const ground = new Ground({ settings: { optimise } })
  const kind = { ...(hairpin ? FULL_CONE : PORT_RESTRICTED), hairpin }
  const outer = ipOf('203.0.113.110')
  if (typeof outer !== 'number') throw new Error('IPv4')
  const home = new Realm('home', ground.fleet.net.core, { 4: new Nat4(outer, kind) })
  home.isolated = isolated
  const pair: Pair = ground.pair(at(home, '192.168.1.2'), at(home, '192.168.1.3'))
  ground.fleet.net.wait(seconds(3))
  return { ground, home, pair }
}
