import { expect } from 'vitest'
import { pathId } from '#ntm-lib/addr/ids.ts'
import { hex } from '#ntm-lib/base/hex.ts'
import { type Instant, millis, seconds } from '#ntm-lib/base/time.ts'
import type { BoxActor } from './actors.ts'
import type { Nat4 } from './gate.ts'
import type { Plug } from './internet.ts'
import { test } from './mirror-mode.ts'
import { Ground, type Pair } from './moves.ts'
import { type Kind, placeOf } from './places.ts'
import { lcg, storm } from './weather.ts'

const LONG = { timeout: 120_000 }
/** A network that is calm again has packets flowing both ways within this: a silence, its challenges, one call for help and a round of checks. */
const BOUND = seconds(12)
const TROUBLES = 9
const PLACES: readonly Kind[] = [
  'none',
  'full cone',
  'port-restricted',
  'symmetric',
  'double NAT',
  'v4-only',
  'v6-only',
]

test(
  'whatever moves, losses, outages and forgetful NATs come: calm again, packets flow again, on one path',
  LONG,
  () => {
    for (let seed = 1; seed <= 4; seed++) {
      const story = wander(seed, seed % 2 === 0 ? 'ice' : 'seed')
      const { pair, told } = story
      const { net } = pair.fleet
      const calm = net.now
      const back = net.until(
        () =>
          pair.up.firstAfter(after(calm)) < Number.POSITIVE_INFINITY &&
          pair.down.firstAfter(after(calm)) < Number.POSITIVE_INFINITY,
        BOUND,
      )
      expect(back, `seed ${seed}: ${told.join(', ')}\n${net.mermaid(60)}`).toBe(true)
      // And go on: nobody changes ways for ever, and nothing more is lost.
      net.wait(seconds(5))
      const changes = waysTaken(pair)
      const from = net.now
      net.wait(seconds(10))
      expect(waysTaken(pair) - changes, `seed ${seed}: ${told.join(', ')}`).toBeLessThanOrEqual(2)
      expect(
        Math.max(pair.up.gapAfter(from), pair.down.gapAfter(from)),
        `seed ${seed}: ${told.join(', ')}`,
      ).toBeLessThan(200)
      expect([pair.mover.tunnels.size, pair.peer.tunnels.size], `seed ${seed}`).toEqual([1, 1])
      expect(repeated(pair), `seed ${seed}`).toEqual([])
    }
  },
)

/** A pair that has been through a dozen troubles; the last of them is over. */
function wander(seed: number, optimise: 'seed' | 'ice'): { readonly pair: Pair; readonly told: string[] } {
  const chance = lcg(seed * 7919)
  const pick = <T>(list: readonly T[]): T => list[Math.floor(chance() * list.length)] as T
  const ground = new Ground({ seed, settings: { optimise } })
  const { net } = ground.fleet
  let nr = 60
  const place = (): [Kind, Plug] => {
    const kind = pick(PLACES)
    return [kind, placeOf(net, kind, nr++)]
  }
  const pair = ground.pair(place()[1], place()[1])
  const told: string[] = []
  const move = (box: BoxActor): void => {
    const [kind, plug] = place()
    told.push(`${box.name} to ${kind} @${net.now}`)
    if (chance() < 0.3) {
      net.unplug(box.name, 'eth0')
      net.wait(millis(Math.floor(chance() * 2000)))
    }
    net.plug(box.name, 'eth0', plug)
  }
  for (let i = 0; i < TROUBLES; i++) {
    const trouble = Math.floor(chance() * 7)
    if (trouble <= 1) move(trouble === 0 ? pair.mover : pair.peer)
    else if (trouble === 2) {
      move(pair.mover)
      move(pair.peer)
    } else if (trouble === 3) {
      told.push(`storm @${net.now}`)
      const weather = storm(seed + i, { loss: 0.3, duplicate: 0.2, reorder: 0.2 })
      net.weather = (f) => weather(f).map((d) => millis(d - 20))
    } else if (trouble === 4) {
      told.push(`NATs forget @${net.now}`)
      for (const realm of net.core.children) (realm.gates[4] as Nat4 | null)?.forget()
    } else if (trouble === 5) {
      told.push(`the two do not hear each other @${net.now}`)
      const mend = net.fault((p) => p.sites.every((s) => s !== 'dc' && !ground.fleet.relays.has(s)))
      net.wait(millis(Math.floor(chance() * 9000)))
      mend()
    } else {
      told.push(`no coordinator @${net.now}`)
      const mend = net.fault((p) => p.sites.includes('dc'))
      move(pick([pair.mover, pair.peer]))
      net.wait(millis(Math.floor(chance() * 6000)))
      mend()
    }
    // The last one is over this very moment.
    if (i < TROUBLES - 1) net.wait(millis(Math.floor(chance() * 4000)))
    net.weather = () => [millis(0)]
  }
  return { pair, told }
}

const waysTaken = ({ mover, peer }: Pair): number =>
  [mover, peer].reduce((n, b) => n + b.counters.get('ntm.tunnel.moved') + b.counters.get('ntm.tunnel.way-taken'), 0)

/** Keys and counters that two datagrams of one end share; Path IDs change with moves and do not tell keys apart. */
function repeated(pair: Pair): string[] {
  const seen = new Map<string, Uint8Array>()
  const twice: string[] = []
  for (const p of pair.fleet.net.captured) {
    if (p.bytes[0] !== 0x14 || (p.sender !== 'mover' && p.sender !== 'peer')) continue
    const key = `${p.sender} ${hex(p.bytes.subarray(1, 4))} ${hex(p.bytes.subarray(10, 16))}`
    if (seen.has(key)) twice.push(key)
    seen.set(key, p.bytes)
  }
  return twice
}

/** What is sent from a moment on, not what was under way then. */
const after = (t: Instant): Instant => (t + 60) as Instant

test('a move that nobody could prepare goes on under the next of the contract’s ids, a prepared one under the same', () => {
  const ground = new Ground({ settings: { optimise: 'seed' } })
  const { net } = ground.fleet
  const [wlan, lte] = [
    { ...placeOf(net, 'port-restricted', 61), metric: 20 },
    { ...placeOf(net, 'none', 62), metric: 30 },
  ]
  const pair = ground.pair({ wlan0: wlan, wwan0: lte }, ground.spot('G'))
  const used = (): number[] => {
    const from = net.captured.length
    net.wait(seconds(2))
    const ids = net.captured.slice(from).flatMap((p) => (p.sender === 'mover' && p.bytes[0] === 0x14 ? [p.bytes] : []))
    return [
      ...new Set(ids.map((b) => pair.path.contract.pathIds.indexOf(pathId(Number(`0x${hex(b.subarray(4, 10))}`))))),
    ]
  }
  expect(used()).toEqual([0])
  net.replug('mover', { wwan0: { ...lte, metric: 10 }, wlan0: wlan })
  net.unplug('mover', 'wlan0')
  net.wait(seconds(1))
  const second = used()
  expect(second).toHaveLength(1)
  net.replug('mover', { wwan0: { ...lte, metric: 30 }, wlan0: wlan })
  net.wait(seconds(1))
  expect(used()).toEqual(second)
  for (let i = 1; i <= 4; i++) {
    net.replug('mover', { wwan0: placeOf(net, 'v4-only', 62 + i) })
    net.wait(seconds(1))
    expect(used()).toEqual([((second[0] ?? 0) + i) % 4])
  }
})
