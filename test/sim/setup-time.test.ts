import { expect, test } from 'vitest'
import { millis, seconds } from '#ntm-lib/base/time.ts'
import { Fleet, fqdn, vipOf } from './fleet.ts'
import { Flow } from './flow.ts'
import type { Plug } from './internet.ts'
import { placeOf } from './places.ts'
import { type Way, wayBetween } from './sight.ts'

/** SEED 003 table 3, mean round trips in milliseconds. MN4: on the mobile network (global IPv4); MN6: on the IPv6-only access point. */
const RTT = {
  'MN4-DC_MN': 122.9,
  'MN4-CN': 143.16,
  'MN6-DC_MN': 23.01,
  'MN6-RS': 38.51,
  'CN-DC_CN': 21.31,
  'CN-RS': 39.38,
  'DC_MN-DC_CN': 14.12,
  'DC_MN-RS': 20.41,
} as const
/** Here one coordinator looks after both: its way to the correspondent is the one that led through the other's. */
const CN_DC = RTT['CN-DC_CN'] + RTT['DC_MN-DC_CN']

/** SEED 003 table 4: the tunnel alone, and with the name resolution that our Direction Request makes unnecessary. */
const PAPER = { direct: { tunnel: 325.32, whole: 836.95 }, relay: { tunnel: 196.51, whole: 239.75 } }

/**
 * What the order of the messages makes unavoidable. Request to the coordinator, Route Direction to the correspondent, its answer, Route
 * Direction to us; meanwhile its Tunnel Request is on the way, and having answered that we may send.
 */
const UNAVOIDABLE = {
  direct: RTT['MN4-DC_MN'] + CN_DC,
  // And our Bind to the relay, where the correspondent's Tunnel Request waits for us.
  relay: RTT['MN6-DC_MN'] + CN_DC + RTT['MN6-RS'],
}

test.each([1, 2, 3])(
  'case 1-1, seed %i: global IPv4 to a box behind a NAT opens in the unavoidable round trips',
  (seed) => {
    const { took, first, way } = measure(seed, 'v4-only')
    expect(way).toBe('direct')
    expect(took, 'nothing is quicker than its messages').toBeGreaterThanOrEqual(Math.max(RTT['MN4-DC_MN'], CN_DC))
    expect(took).toBeLessThanOrEqual(UNAVOIDABLE.direct + NEAR)
    expect(took).toBeLessThan(PAPER.direct.tunnel / 2)
    // The first packet leaves at once and takes half a round trip.
    expect(first).toBeLessThanOrEqual(took + RTT['MN4-CN'] / 2 + NEAR)
  },
)

test.each([1, 2, 3])(
  'case 1-2, seed %i: IPv6 only to a box behind an IPv4 NAT opens through the relay in the unavoidable round trips',
  (seed) => {
    const { took, first, way } = measure(seed, 'v6-only')
    expect(way).toBe('relay')
    expect(took).toBeGreaterThanOrEqual(RTT['MN6-DC_MN'] + CN_DC)
    expect(took).toBeLessThanOrEqual(UNAVOIDABLE.relay + NEAR)
    expect(took).toBeLessThan(PAPER.relay.tunnel / 2)
    expect(first).toBeLessThanOrEqual(took + (RTT['MN6-RS'] + RTT['CN-RS']) / 2 + NEAR)
  },
)

test('a name asked again while the tunnel is open costs one round trip to the coordinator at most', () => {
  const { fleet, mn, cn } = scene(4, 'v4-only')
  fleet.ask(mn, fqdn(cn))
  fleet.net.wait(seconds(2))
  const asked = fleet.net.now
  expect(fleet.ask(mn, fqdn(cn))?.ok).toBe(true)
  expect(fleet.net.now - asked).toBeLessThanOrEqual(RTT['MN4-DC_MN'] + CN_DC + NEAR)
})

/** Goal of the issue: within 5 ms of what is unavoidable. */
const NEAR = 5

function scene(seed: number, kind: 'v4-only' | 'v6-only') {
  const fleet = new Fleet({ seed, settings: { optimise: 'seed' } })
  const { net } = fleet
  fleet.relay('rs')
  const place: Plug = placeOf(net, kind, 20)
  const mn = fleet.box('mn', place)
  const cn = fleet.box('cn', placeOf(net, 'port-restricted', 30))
  const way = (a: string, b: string, roundTrip: number): void => net.delay(a, b, millis(roundTrip / 2))
  way('mn', 'dc', kind === 'v4-only' ? RTT['MN4-DC_MN'] : RTT['MN6-DC_MN'])
  way('mn', 'home30', RTT['MN4-CN'])
  way('mn', 'rs', kind === 'v4-only' ? RTT['MN4-DC_MN'] + RTT['DC_MN-RS'] : RTT['MN6-RS'])
  way('home30', 'dc', CN_DC)
  way('home30', 'rs', RTT['CN-RS'])
  way('dc', 'rs', RTT['DC_MN-RS'])
  expect(fleet.up()).toBe(true)
  net.wait(seconds(5))
  return { fleet, mn, cn }
}

/** Milliseconds from the question to the open tunnel, and to the first packet's arrival. */
function measure(seed: number, kind: 'v4-only' | 'v6-only'): { took: number; first: number; way: Way } {
  const { fleet, mn, cn } = scene(seed, kind)
  const { net } = fleet
  const asked = net.now
  const answer = fleet.ask(mn, fqdn(cn))
  expect(answer, net.mermaid()).toMatchObject({ ok: true })
  const took = net.now - asked
  const flow = new Flow(net, { from: mn, to: cn, source: vipOf(mn), destination: vipOf(cn), every: seconds(1) })
  net.until(() => flow.arrivals.length > 0, seconds(2))
  const first = flow.firstAfter(asked) - asked
  flow.stop()
  // What may be sent before the other end has proven its address is little: the way is looked at afterwards.
  net.wait(seconds(0.5))
  return { took, first, way: wayBetween(fleet, mn, cn) }
}
