import { expect, test } from 'vitest'
import { millis, seconds } from '#ntm-lib/base/time.ts'
import { Flow } from './flow.ts'
import { Ground } from './moves.ts'
import { type Kind, placeOf } from './places.ts'
import { comesTo, type Way } from './sight.ts'

/** NATs here forget after 30 s without a packet from inside. */
const IDLE = seconds(200)

const ROWS: readonly (readonly [Kind, Kind, Way])[] = [
  ['port-restricted', 'v4-only', 'direct'],
  ['v4-only', 'port-restricted', 'direct'],
  ['port-restricted', 'port-restricted', 'direct'],
  ['address-restricted', 'symmetric', 'direct'],
  ['symmetric', 'symmetric', 'relay'],
  ['v6-only', 'port-restricted', 'relay'],
]

test.each(ROWS.flatMap((row) => [[...row, 'mover'] as const, [...row, 'peer'] as const]))(
  '%s to %s: after minutes without a packet the %s way still carries the first one, sent by the %s',
  (from, to, way, first) => {
    const ground = new Ground({ settings: { optimise: 'ice' } })
    const { fleet } = ground
    const { net } = fleet
    const pair = ground.pair(placeOf(net, from, 61), placeOf(net, to, 62))
    expect(comesTo(fleet, way, pair.mover, pair.peer, seconds(10)), net.mermaid()).toBe(true)
    pair.up.stop()
    pair.down.stop()
    net.wait(IDLE)
    const [source, destination] = first === 'mover' ? pair.ips : [pair.ips[1], pair.ips[0]]
    const ends = first === 'mover' ? { from: pair.mover, to: pair.peer } : { from: pair.peer, to: pair.mover }
    const flow = new Flow(net, { ...ends, source, destination, every: seconds(1) })
    net.wait(millis(100))
    expect(flow.lost, net.mermaid()).toEqual([])
  },
)
