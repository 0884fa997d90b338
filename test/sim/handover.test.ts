import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type Instant, millis, seconds } from '#ntm-lib/base/time.ts'
import { DC4, DC6 } from './fleet.ts'
import { Flow } from './flow.ts'
import type { Nat4 } from './gate.ts'
import type { Plug } from './internet.ts'
import { mode } from './mirror-mode.ts'
import { finish, firstSentAfter, Ground, outcome, type Pair } from './moves.ts'
import { at, firewalled, natted, placeOf } from './places.ts'
import { comesTo, wayBetween } from './sight.ts'

/** All sites are 10 ms apart, one way. */
const ROUND_TRIP = 20
/** Within the round trip the peer's packets are at most one beat of the flow apart. */
const GOAL = ROUND_TRIP + 10
const BEAT = millis(4)
const RELAYED = 2 * ROUND_TRIP + 10

const v6Only = (g: Ground): Plug => placeOf(g.fleet.net, 'v6-only', 71)
const dual = (g: Ground): Plug => placeOf(g.fleet.net, 'none', 72)
const symmetric = (g: Ground, nr: number): Plug => placeOf(g.fleet.net, 'symmetric', nr)

describe.each([
  ['seed', 'in one thread'],
  ['ice', 'in a worker'],
] as const)('hand-over, route.optimise = %s, packets %s', (optimise, packets) => {
  beforeEach(() => {
    mode.mirror = packets === 'in a worker'
  })
  afterEach(() => {
    mode.mirror = false
  })

  const wish = { settings: { optimise } }

  test('a planned switch between two uplinks loses no packet, up or down', () => {
    const ground = new Ground(wish)
    const { net } = ground.fleet
    const wlan = { ...at(natted(net, 'wifi', 61), '192.168.1.2'), metric: 20 }
    const lte = { ...at(natted(net, 'lte', 62), '10.0.0.2'), metric: 30 }
    const pair = ground.pair({ wlan0: wlan, wwan0: lte }, ground.spot('G'), BEAT)
    const began = net.now
    // The better uplink is about to go: the other becomes the first, and a second later it is gone.
    net.replug('mover', { wwan0: { ...lte, metric: 10 }, wlan0: wlan })
    net.wait(seconds(1))
    net.unplug('mover', 'wlan0')
    net.wait(seconds(2))
    // And back.
    net.replug('mover', { wwan0: { ...lte, metric: 30 }, wlan0: wlan })
    net.wait(seconds(1))
    net.unplug('mover', 'wwan0')
    net.wait(seconds(2))
    finish(pair)
    expect(pair.up.sent).toBeGreaterThan(1500)
    expect([pair.up.lostSince(began), pair.down.lostSince(began)]).toEqual([[], []])
    expect([pair.up.doubled, pair.down.doubled]).toEqual([0, 0])
  })

  test('a planned switch between IPv4 behind a NAT and IPv6 alone loses no packet either', () => {
    const ground = new Ground(wish)
    const { net } = ground.fleet
    const wlan = { ...at(natted(net, 'wifi', 61), '192.168.1.2'), metric: 20 }
    const lte = { ...v6Only(ground), metric: 30 }
    const pair = ground.pair({ wlan0: wlan, wwan0: lte }, dual(ground), BEAT)
    const began = net.now
    for (let i = 0; i < 2; i++) {
      net.replug('mover', { wwan0: { ...lte, metric: 10 }, wlan0: wlan })
      net.wait(seconds(1))
      net.unplug('mover', 'wlan0')
      net.wait(seconds(1))
      net.replug('mover', { wwan0: { ...lte, metric: 30 }, wlan0: wlan })
      net.wait(seconds(1))
      net.unplug('mover', 'wwan0')
      net.wait(seconds(1))
    }
    finish(pair)
    expect([pair.up.lostSince(began), pair.down.lostSince(began)]).toEqual([[], []])
    expect([pair.up.doubled, pair.down.doubled]).toEqual([0, 0])
  })

  test('a planned switch loses no packet through a relay either', () => {
    const ground = new Ground(wish)
    const { net } = ground.fleet
    const wlan = { ...placeOf(net, 'symmetric', 61), metric: 20 }
    const lte = { ...placeOf(net, 'symmetric', 62), metric: 30 }
    const pair = ground.pair({ wlan0: wlan, wwan0: lte }, placeOf(net, 'symmetric', 63), BEAT)
    expect(wayBetween(ground.fleet, pair.mover, pair.peer)).toBe('relay')
    const began = net.now
    net.replug('mover', { wwan0: { ...lte, metric: 10 }, wlan0: wlan })
    net.wait(seconds(1))
    net.unplug('mover', 'wlan0')
    net.wait(seconds(2))
    finish(pair)
    expect([pair.up.lostSince(began), pair.down.lostSince(began)]).toEqual([[], []])
    expect([pair.up.doubled, pair.down.doubled]).toEqual([0, 0])
  })

  /** `limit`: one round trip and 10 ms; through the relay, whose way is twice as long, when the peer's NAT knows nobody at the new place. */
  const jumps: readonly (readonly [string, number, (g: Ground) => [Plug, Plug, Plug]])[] = [
    ['one global address to another', GOAL, (g) => [g.spot('G'), g.spot('G'), g.spot('G')]],
    ['one NAT to another', GOAL, (g) => [g.spot('P(A)'), g.spot('P(B)'), g.spot('G')]],
    ['a global address to a NAT', GOAL, (g) => [g.spot('G'), g.spot('P(A)'), g.spot('G')]],
    ['a NAT to a global address', GOAL, (g) => [g.spot('P(A)'), g.spot('G'), g.spot('G')]],
    ['a NAT to a v6-only network', GOAL, (g) => [g.spot('P(A)'), v6Only(g), dual(g)]],
    ['a v6-only network to a NAT', GOAL, (g) => [v6Only(g), g.spot('P(A)'), dual(g)]],
    [
      'a NAT to a v6 firewall',
      GOAL,
      (g) => [g.spot('P(A)'), at(firewalled(g.fleet.net, 'wall', 71), '2001:db8:47::2'), dual(g)],
    ],
    [
      'one global address to another, its peer behind a NAT',
      RELAYED,
      (g) => [g.spot('G'), g.spot('G'), g.spot('P(A)')],
    ],
    ['one NAT to another, its peer behind a NAT', RELAYED, (g) => [g.spot('P(B)'), g.spot('P(C)'), g.spot('P(A)')]],
    ['a NAT to a v6-only network, its peer behind a NAT', RELAYED, (g) => [g.spot('P(B)'), v6Only(g), g.spot('P(A)')]],
    [
      'a symmetric NAT to another, its peer behind one',
      RELAYED,
      (g) => [symmetric(g, 61), symmetric(g, 62), symmetric(g, 63)],
    ],
  ]
  test.each(jumps)(
    'one uplink, from %s: a download goes on within %i ms of the address being usable, the coordinator being down',
    (_, limit, spots) => {
      const ground = new Ground(wish)
      const { net } = ground.fleet
      const [before, then, peer] = spots(ground)
      const pair = ground.pair(before, peer, BEAT)
      pair.up.stop()
      net.wait(seconds(2))
      // Nobody can ask the coordinator.
      net.fault((p) => p.sites.includes('dc'))
      net.unplug('mover', 'eth0')
      net.wait(millis(300))
      const usable = net.now
      net.plug('mover', 'eth0', then)
      net.wait(seconds(4))
      expect(outcome(pair, usable).downAfter, net.mermaid()).toBeLessThanOrEqual(limit)
      // And stays so: not only the first few packets came.
      expect(pair.down.gapAfter((usable + limit) as Instant), net.mermaid()).toBeLessThanOrEqual(ROUND_TRIP + 2 * BEAT)
    },
  )

  test('both ends move at once, from one NAT to another each', () => {
    const ground = new Ground(wish)
    const { net } = ground.fleet
    const pair = ground.pair(placeOf(net, 'port-restricted', 61), placeOf(net, 'port-restricted', 62))
    const moved = net.now
    net.plug('mover', 'eth0', placeOf(net, 'port-restricted', 63))
    net.plug('peer', 'eth0', placeOf(net, 'port-restricted', 64))
    comesBack(pair, moved, 3000)
  })

  test('both ends move at once, and nobody can ask the coordinator', () => {
    const ground = new Ground(wish)
    const { net } = ground.fleet
    const pair = ground.pair(placeOf(net, 'port-restricted', 61), placeOf(net, 'port-restricted', 62))
    net.fault((p) => p.sites.includes('dc'))
    const moved = net.now
    net.plug('mover', 'eth0', placeOf(net, 'port-restricted', 63))
    net.plug('peer', 'eth0', placeOf(net, 'port-restricted', 64))
    comesBack(pair, moved, 3000)
  })

  test('both ends of a direct path move at once between global addresses', () => {
    const ground = new Ground(wish)
    const { net } = ground.fleet
    const pair = ground.pair(ground.spot('G'), ground.spot('G'))
    const moved = net.now
    net.plug('mover', 'eth0', ground.spot('G'))
    net.plug('peer', 'eth0', ground.spot('G'))
    comesBack(pair, moved, 5000)
  })

  test('a NAT forgets the flow without a word', () => {
    const ground = new Ground(wish)
    const { net } = ground.fleet
    const pair = ground.pair(ground.spot('P(A)'), ground.spot('G'))
    const lost = net.now
    ;(ground.realms['P(A)'].gates[4] as Nat4).forget()
    comesBack(pair, lost, 500)
  })

  test('a NAT forgets the way to the relay without a word', () => {
    const ground = new Ground(wish)
    const { net } = ground.fleet
    const place = symmetric(ground, 61)
    const pair = ground.pair(place, symmetric(ground, 62))
    const lost = net.now
    place.realm.gates[4]?.forget()
    comesBack(pair, lost, 1000)
  })

  test('a NAT forgets the flow of a download; the receiver says something in time', () => {
    const ground = new Ground(wish)
    const { net } = ground.fleet
    const pair = ground.pair(ground.spot('P(A)'), ground.spot('G'))
    pair.up.stop()
    net.wait(seconds(2))
    const lost = net.now
    ;(ground.realms['P(A)'].gates[4] as Nat4).forget()
    net.wait(seconds(12))
    expect(outcome(pair, lost).downAfter, net.mermaid()).toBeLessThan(11_000)
  })

  test('an outage two hops away: packets vanish and no interface says so', () => {
    const ground = new Ground(wish)
    const { net } = ground.fleet
    const pair = ground.pair(ground.spot('G'), ground.spot('P(A)'))
    expect(wayBetween(ground.fleet, pair.mover, pair.peer)).toBe('direct')
    const broken = net.now
    const mend = net.fault((p) => p.sites.includes('mover') && p.sites.includes('A'))
    comesBack(pair, broken, 6000)
    expect(wayBetween(ground.fleet, pair.mover, pair.peer)).toBe('relay')
    mend()
    const back = comesTo(ground.fleet, 'direct', pair.mover, pair.peer, seconds(60))
    if (optimise === 'ice') expect(back, net.mermaid()).toBe(true)
  })

  test('an outage of the first of two uplinks that only the peer can notice: both ends leave it', () => {
    const ground = new Ground(wish)
    const { net } = ground.fleet
    const [wlan, lte] = [ground.spot('P(A)'), ground.spot('P(B)')]
    const pair = ground.pair({ wlan0: { ...wlan, metric: 10 }, wwan0: { ...lte, metric: 20 } }, ground.spot('G'))
    // A mover that only listens hears its peer again by the other uplink, and misses nothing.
    pair.up.stop()
    net.wait(seconds(1))
    const broken = net.now
    net.fault((p) => p.sites.includes('A') && p.sites.includes('peer'))
    net.until(() => Number.isFinite(pair.down.firstAfter(broken) - broken), seconds(9))
    const { mover, peer, ips } = pair
    const began = net.now
    const up = new Flow(net, { from: mover, to: peer, source: ips[0], destination: ips[1], every: millis(20) })
    net.until(() => up.firstAfter(began) < Number.POSITIVE_INFINITY, seconds(9))
    expect(up.firstAfter(began) - began, net.mermaid()).toBeLessThan(5000)
  })

  test('the coordinator is down for a minute while its nodes move; afterwards they find each other as ever', () => {
    const ground = new Ground(wish)
    const { net } = ground.fleet
    const pair = ground.pair(ground.spot('P(A)'), ground.spot('G'))
    const mend = net.fault((p) => p.sites.includes('dc'))
    const moved = net.now
    net.plug('mover', 'eth0', ground.spot('P(B)'))
    comesBack(pair, moved, 500)
    net.wait(seconds(55))
    mend()
    net.wait(seconds(30))
    expect(pair.mover.node.state).toBe('registered')
    const again = net.now
    net.plug('mover', 'eth0', ground.spot('P(C)'))
    comesBack(pair, again, 500)
  })

  test('from relay to direct and back as the mover comes and goes', () => {
    const ground = new Ground(wish)
    const { fleet } = ground
    const { net } = fleet
    const pair = ground.pair(placeOf(net, 'symmetric', 61), placeOf(net, 'symmetric', 62))
    for (let i = 0; i < 3; i++) {
      expect(wayBetween(fleet, pair.mover, pair.peer), net.mermaid()).toBe('relay')
      net.plug('mover', 'eth0', ground.spot('G'))
      expect(comesTo(fleet, 'direct', pair.mover, pair.peer, seconds(5)), net.mermaid()).toBe(true)
      net.plug('mover', 'eth0', placeOf(net, 'symmetric', 64 + i))
      expect(comesTo(fleet, 'relay', pair.mover, pair.peer, seconds(5)), net.mermaid()).toBe(true)
    }
    expect(pair.mover.tunnels.size).toBe(1)
  })

  test('a relay dies in the middle of a transfer and the second one carries on', () => {
    const ground = new Ground(wish, 2)
    const { fleet } = ground
    const { net } = fleet
    const pair = ground.pair(placeOf(net, 'symmetric', 61), placeOf(net, 'symmetric', 62))
    const used = relayOf(pair)
    const died = net.now
    net.kill(used)
    comesBack(pair, died, 6000)
    expect(relayOf(pair)).not.toBe(used)
    expect(pair.mover.tunnels.byContract(pair.path.contractHash)).toBe(pair.path)
  })
})

test('the coordinator has both families, or the moves between them prove nothing', () => {
  expect([typeof DC4.ip, typeof DC6.ip]).toEqual(['number', 'object'])
})

/** Packets flow again both ways within `limit` ms of `since`, on the same path. */
function comesBack(pair: Pair, since: Instant, limit: number): void {
  const { net } = pair.fleet
  const back = (): number => Math.max(firstSentAfter(pair.up, since), firstSentAfter(pair.down, since)) - since
  net.until(() => Number.isFinite(back()), millis(limit))
  expect(back(), net.mermaid()).toBeLessThanOrEqual(limit)
  // And they do not stop again.
  const settled = net.now
  net.wait(seconds(3))
  expect(Math.max(pair.up.gapAfter(settled), pair.down.gapAfter(settled)), net.mermaid()).toBeLessThan(1500)
  expect(pair.mover.tunnels.byContract(pair.path.contractHash), 'the path is the same').toBe(pair.path)
}

/** The relay that the mover's packets go to now. */
function relayOf({ fleet, mover }: Pair): string {
  const { net } = fleet
  const from = net.captured.length
  net.wait(millis(200))
  const seen = new Set(net.captured.slice(from).flatMap((p) => (p.sender === mover.name ? [p.sites[1]] : [])))
  const [relay] = [...seen].filter((site) => fleet.relays.has(site))
  return relay ?? 'none'
}
