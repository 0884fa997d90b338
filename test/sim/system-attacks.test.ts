import { expect } from 'vitest'
import { nodeCrypto } from '#io/crypto-node.ts'
import { endpointText } from '#ntm-lib/addr/endpoint.ts'
import { millis, seconds } from '#ntm-lib/base/time.ts'
import { writeTags } from '#ntm-lib/crypto/cookie.ts'
import { controlTagKey } from '#ntm-lib/crypto/schedule.ts'
import { ROLE_BRIDGE, ROLE_NODE } from '#ntm-lib/wire/certificate.ts'
import { test } from './mirror-mode.ts'
import { type BoxActor, DC, EVE, OUTSIDE, System } from './system.ts'
import { lcg, storm } from './weather.ts'

/** Plenty for a busy machine. */
const LONG = { timeout: 60_000 }
const BOX = ROLE_NODE | ROLE_BRIDGE

test(
  'attack 10: a token raced by two boxes in any weather makes exactly one identity, and only its owner can repeat',
  LONG,
  () => {
    for (let seed = 1; seed <= 8; seed++) {
      const s = new System({ seed, weather: storm(seed, { loss: 0.3, duplicate: 0.3, reorder: 0.3 }) })
      expect(s.up()).toBe(true)
      const disk = s.disk('prize', BOX)
      const rivals = [s.start('bridge', disk), s.start('other', s.thief(disk))]
      expect(
        s.world.run(() => rivals.some((r) => r.registered), seconds(90)),
        `seed ${seed}`,
      ).toBe(true)
      s.world.wait(seconds(60))
      const [winner, loser] = rivals[0]?.registered === true ? rivals : rivals.toReversed()
      expect(loser?.registered).toBe(false)
      expect(loser?.told('enrolled')).toEqual([])
      expect(loser?.told('refused')[0]?.code, `seed ${seed}`).toBe('unknown-token')
      expect(s.store.members().filter((m) => m.name === 'prize.ntm.example').length).toBe(1)
      // The winner lost its disk's last write: the same box with the same token gets the same membership again.
      const chain = winner?.disk.chain
      const again = s.start(winner === rivals[0] ? 'bridge' : 'other', { ...disk, key: winner?.disk.key ?? disk.key })
      expect(
        s.world.run(() => again.registered, seconds(90)),
        `seed ${seed}`,
      ).toBe(true)
      expect(again.disk.chain).toEqual(chain)
    }
  },
)

test('attack 10: Welcome or answer lost, whichever datagram it is: the retry succeeds with the same identity', () => {
  for (let lost = 0; lost < 12; lost++) {
    const s = new System({ seed: lost, weather: ({ nth }) => (nth === lost ? [] : [millis(20)]) })
    expect(s.up(seconds(15)), s.world.mermaid()).toBe(true)
    expect(s.store.members().length).toBe(2)
  }
})

test('a second box with the name of another is told duplicate-name; the log says so once per try, not per datagram', () => {
  const s = new System()
  expect(s.up()).toBe(true)
  const before = s.rows()
  const other = s.start('other', s.disk('plc', BOX))
  expect(s.world.run(() => other.told('refused').length > 0, seconds(5))).toBe(true)
  expect(other.told('refused')[0]).toMatchObject({ code: 'duplicate-name' })
  s.world.wait(seconds(1))
  const said = (s.logged['dc'] ?? []).filter((l) => JSON.stringify(l).includes('duplicate'))
  expect(said.length).toBe(1)
  expect(s.rows()).toBe(before)
  expect(s.bridge.registered).toBe(true)
})

test('an unknown token: no answer, one line with the reason at the coordinator, one at the box, however long it tries', () => {
  const s = new System()
  expect(s.up()).toBe(true)
  const disk = s.disk('lost', BOX)
  const secret = { tokenId: new Uint8Array(8).fill(9), psk: new Uint8Array(32).fill(9) }
  s.world.captured.length = 0
  const box = s.start('other', { ...disk, enrol: { secret, chain: [] } })
  s.world.wait(seconds(120))
  expect(box.registered).toBe(false)
  expect(s.world.captured.filter((c) => c.sender === 'dc' && endpointText(c.to) === '192.0.2.77:4330')).toEqual([])
  expect(s.lines('dc', 'enrol.refused').map((l) => l.fields)).toEqual([
    { why: 'unknown-token', token: '0909090909090909' },
  ])
  expect(s.lines('other', 'control.no-answer').length).toBe(1)
})

test(
  'attack 2: every datagram of the whole system, replayed from elsewhere, changes nothing, before and after restarts',
  LONG,
  () => {
    const s = new System()
    expect(s.up()).toBe(true)
    const answer = s.resolve('v6only.example')
    expect(s.exchange(answer)).toBe(true)
    s.world.wait(seconds(3))
    const state = (): unknown => [
      s.rows(),
      s.dc.core.provisional,
      [s.bridge, s.tt].map((b) => [s.presenceOf(b.disk), told(b), paths(s, b)]),
    ]
    const replay = (): void => {
      const record = [...s.world.captured]
      const now = s.world.now
      for (const c of record) s.world.inject(EVE, c.to, c.bytes, millis(1))
      // Delivered, and whatever answers they got: but nobody's own keep-alive.
      s.world.run(() => s.world.now - now >= 50, millis(60))
    }
    const unchanged = (): void => {
      const before = state()
      replay()
      expect(state()).toEqual(before)
    }
    unchanged()
    s.startCoordinator()
    replay()
    expect(s.dc.core.presences.all()).toEqual([])
    expect(s.up()).toBe(true)
    s.world.wait(seconds(25))
    unchanged()
    s.start('tt', s.tt.disk)
    expect(s.up()).toBe(true)
    s.world.wait(seconds(2))
    unchanged()
    s.start('bridge', s.bridge.disk)
    expect(s.up()).toBe(true)
    s.world.wait(seconds(2))
    unchanged()
    expect(s.exchange(s.insist('v6only.example', seconds(5)))).toBe(true)
    // What Eve was sent in all is less than what she sent.
    const eve = s.world.captured.filter((c) => endpointText(c.to) === endpointText(EVE))
    const asked = s.world.captured.length * 150
    expect(eve.reduce((n, c) => n + c.bytes.length, 0)).toBeLessThan(asked)
  },
)

test('attack 3: an on-path copy of Hello, Registration and every update from another address never moves the mapped address', () => {
  for (const [raced, share] of [
    [1, 0],
    [1, 0.5],
    [1, 1],
    [0.5, 0],
    [0.3, 0.5],
    [0.5, 1],
  ] as const) {
    const draw = lcg(7)
    const s = new System()
    expect(s.up()).toBe(true)
    // The box speaks; Eve's copy of a share `raced` arrives first, and of those with `share` the original never does.
    const honest = s.world.weather
    s.world.weather = (flight) => {
      if (endpointText(flight.to) !== endpointText(DC) || endpointText(flight.from) !== endpointText(OUTSIDE)) {
        return honest(flight)
      }
      if (draw() >= raced) return [millis(20)]
      s.world.inject(EVE, DC, flight.bytes, millis(1))
      return draw() < share ? [] : [millis(20)]
    }
    const places: string[] = []
    for (let i = 0; i < 24; i++) {
      s.world.wait(seconds(5))
      const at = s.presenceOf(s.bridge.disk)?.confirmed[4]
      if (at !== null && at !== undefined) places.push(endpointText(at))
    }
    expect(new Set(places)).toEqual(new Set([endpointText(OUTSIDE)]))
    s.world.weather = honest
    s.world.wait(seconds(30))
    expect(s.bridge.told('refused')).toEqual([])
    expect(s.presenceOf(s.bridge.disk)?.confirmed[4]).toEqual(OUTSIDE)
    expect(s.resolve('v6only.example')).toMatchObject({ ok: true })
  }
})

test(
  '20,000 mutated datagrams: no exception, no answer larger than its question, no state, and the system works on',
  LONG,
  () => {
    const s = new System()
    expect(s.up()).toBe(true)
    const live = s.resolve('v6only.example')
    const templates = s.world.captured.filter((c) => endpointText(c.to) === endpointText(DC)).map((c) => c.bytes)
    const draw = lcg(4330)
    const upTo = (n: number): number => Math.floor(draw() * n)
    const tagKey = controlTagKey(nodeCrypto, s.network.coordinator.static.public)
    const rows = s.rows()
    const tokens = JSON.stringify(s.store.members().length)
    let [asked, answered, answers] = [0, 0, 0]
    for (let i = 0; i < 20_000; i++) {
      const bytes = mutated(templates[upTo(templates.length)] ?? new Uint8Array(1), upTo)
      // Anybody can make the first tag of a Hello: behind it the expensive checks must hold.
      if (i % 8 === 0 && bytes.length >= 64 && bytes[0] === 0x11) writeTags(nodeCrypto, bytes, tagKey)
      s.dc.handle({ ip: EVE.ip, port: 1024 + upTo(60_000) }, bytes, s.world.now)
      let back = 0
      for (let o = s.dc.poll(); o !== null; o = s.dc.poll()) {
        back += o.bytes.length
        answers++
      }
      expect(back, `datagram ${i}`).toBeLessThanOrEqual(bytes.length)
      asked += bytes.length
      answered += back
      if (i % 50 === 0) s.world.wait(millis(2))
    }
    expect(answers).toBeGreaterThan(20)
    expect(answered).toBeLessThan(asked / 10)
    expect(s.rows()).toBe(rows)
    expect(JSON.stringify(s.store.members().length)).toBe(tokens)
    expect(s.dc.core.provisional).toBe(0)
    const reasons = [...s.dc.counters.values.keys()].filter((k) => k.startsWith('control.drop.'))
    expect(reasons.length).toBeGreaterThan(5)
    expect(s.exchange(live)).toBe(true)
    s.world.wait(seconds(30))
    expect(s.resolve('another.example')).toMatchObject({ ok: true })
    // What strangers said is forgotten: only what the three boxes need stays.
    expect((s.logged['dc'] ?? []).length).toBeLessThan(60)
  },
)

const told = (b: BoxActor): number => b.events.length
const paths = (s: System, b: BoxActor): unknown =>
  b.tunnels.list(s.world.now).map((p) => [p.path, p.state, p.at, p.epoch, p.innerPacketsIn])

/** A copy with something wrong about it, or random bytes behind a right beginning, or nothing wrong at all. */
function mutated(of: Uint8Array, upTo: (n: number) => number): Uint8Array {
  const bytes = of.slice()
  switch (upTo(8)) {
    case 0:
      return bytes.subarray(0, upTo(bytes.length + 1))
    case 1: {
      const longer = new Uint8Array(bytes.length + 1 + upTo(400))
      longer.set(bytes)
      return longer
    }
    case 2:
      bytes[0] = upTo(256)
      return bytes
    case 3:
      bytes[1] = upTo(256)
      return bytes
    case 4:
      return Uint8Array.from({ length: 1 + upTo(300) }, (_, i) => (i < 16 ? (bytes[i] ?? 0) : upTo(256)))
    case 5:
      for (let n = 1 + upTo(8); n > 0; n--) bytes[upTo(bytes.length)] = upTo(256)
      return bytes
    case 6:
      bytes[16 + upTo(Math.max(1, bytes.length - 16))] = upTo(256)
      return bytes
    default:
      return bytes
  }
}
