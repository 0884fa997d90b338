import { expect, test } from 'vitest'
import { after, millis, seconds } from '#ntm-lib/base/time.ts'
import { KEY_LIMITS } from '#ntm-lib/crypto/seal.ts'
import type { MirrorEvent } from '#ntm-lib/negotiate/mirror.ts'
import type { Slot } from '#ntm-lib/negotiate/tunnel-epochs.ts'
import type { Path } from '#ntm-lib/negotiate/tunnels.ts'
import { innerPacket } from '#test/support/inner.ts'
import { A4, B4, endpointOf } from '#test/support/route.ts'
import { Nat } from './nat.ts'
import { ALICE, Pair, type PairWish } from './pair.ts'
import { storm } from './weather.ts'

// Negotiation and packets in two threads that hear of each other late. What holds in one thread must hold here; `test` of
// mirror-mode.ts tells those stories. These are about the time between.

function opened(wish: PairWish = {}): Pair {
  const pair = new Pair({ workers: {}, ...wish })
  pair.direct()
  expect(
    pair.world.run(() => pair.bothOpen && pair.agreed, seconds(5)),
    pair.world.mermaid(),
  ).toBe(true)
  pair.world.wait(seconds(2))
  return pair
}

const rowOf = (pair: Pair, who: 'alice' | 'bob'): number => must(who === 'alice' ? pair.alicePath : pair.bobPath).row
const cur = (path: Path | null): Slot => must(must(path).epochs.cur)

function must<T>(value: T | null): T {
  if (value === null) throw new Error('it is not there')
  return value
}

const drops = (pair: Pair, reason: string): number =>
  pair.alice.counters.get(`ntm.drop.${reason}`) + pair.bob.counters.get(`ntm.drop.${reason}`)

test('whatever passes between the threads takes 1, 60 or 200 ms: rekeys lose no packet, and no key comes late', () => {
  for (const lag of [1, 60, 200]) {
    const pair = opened({ workers: { lag: millis(lag) } })
    for (let round = 0; round < 8; round++) {
      const [a, b] = [must(pair.alicePath), must(pair.bobPath)]
      // By one end, by the other, by both at once.
      if (round % 3 !== 0) a.rekeyAt = pair.world.now
      if (round % 3 !== 1) b.rekeyAt = pair.world.now
      pair.alice.touch(a, pair.world.now)
      pair.bob.touch(b, pair.world.now)
      const [had, epoch] = [pair.alice.received.length + pair.bob.received.length, cur(a).epoch]
      for (let i = 0; i < 80; i++) {
        expect([pair.aliceSays().ok, pair.bobSays().ok], `lag ${lag} round ${round}`).toEqual([true, true])
        pair.world.wait(millis(25))
      }
      pair.world.wait(seconds(1))
      expect(pair.alice.received.length + pair.bob.received.length - had, `lag ${lag} round ${round}`).toBe(160)
      expect([pair.agreed, cur(a).epoch > epoch]).toEqual([true, true])
      pair.world.wait(seconds(6))
    }
    expect([drops(pair, 'old-epoch'), drops(pair, 'bad-tag'), drops(pair, 'late-event')]).toEqual([0, 0, 0])
  }
})

test('opening, moving and rekeying under loss with slow threads: never a wrong key, and the tunnel stays', () => {
  for (let seed = 1; seed <= 12; seed++) {
    const nat = new Nat(endpointOf('192.0.2.99:1').ip)
    const pair = new Pair({
      seed,
      nat,
      weather: storm(seed, { loss: 0.2, duplicate: 0.2, reorder: 0.3 }),
      workers: { lag: millis(1 + ((seed * 37) % 150)) },
    })
    pair.direct()
    expect(
      pair.world.run(() => pair.bothOpen, seconds(15)),
      `seed ${seed}\n${pair.world.mermaid()}`,
    ).toBe(true)
    for (let i = 0; i < 300; i++) {
      pair.aliceSays(i % 3 === 0 ? 1280 : 100)
      pair.bobSays()
      pair.world.wait(seconds(1))
      if (i % 70 === 69) nat.rebind()
    }
    expect(drops(pair, 'bad-tag'), `seed ${seed}`).toBe(0)
    expect([steady(pair.alice.story), steady(pair.bob.story)], `seed ${seed}`).toEqual([['opened'], ['opened']])
    expect(pair.bob.received.length, `seed ${seed}`).toBeGreaterThan(150)
  }
})

test('the negotiation of both ends stands still for a second, again and again: no packet is lost or late', () => {
  const pair = opened({ workers: { lag: millis(1) } })
  let sent = 0
  for (let i = 0; i < 3000; i++) {
    // Every 5 s, so that it hits opening probes, keep-alives and both rekeys somewhere.
    if (i % 50 === 0) pair.alice.blockedUntil = after(pair.world.now, seconds(1))
    if (i % 50 === 25) pair.bob.blockedUntil = after(pair.world.now, seconds(1))
    const had = [pair.alice.received.length, pair.bob.received.length]
    expect([pair.aliceSays().ok, pair.bobSays().ok]).toEqual([true, true])
    sent++
    pair.world.wait(millis(25))
    expect([pair.alice.received.length, pair.bob.received.length], pair.world.mermaid()).toEqual(had.map((n) => n + 1))
    pair.world.wait(millis(75))
  }
  expect(sent).toBe(3000)
  expect(cur(pair.alicePath).epoch).toBeGreaterThan(2)
  expect([pair.alice.story, pair.bob.story]).toEqual([['opened'], ['opened']])
})

test('a key stops at 180 s even when the negotiation never comes back', () => {
  const pair = opened()
  const born = cur(pair.alicePath).born
  pair.alice.blockedUntil = after(pair.world.now, seconds(1000))
  pair.world.wait(millis(born + 179_900 - pair.world.now))
  expect(pair.aliceSays()).toEqual({ ok: true })
  pair.world.wait(millis(200))
  expect(pair.aliceSays()).toEqual({ ok: false, why: 'not-open' })
})

test('a worn key brings the next epoch, once; word of it that comes late brings nothing', () => {
  // Per key over all lanes; a lane has a quarter of it.
  const limits = { ...KEY_LIMITS, rekeyPackets: 40 }
  const pair = opened({ workers: { lag: millis(10), limits } })
  const path = must(pair.alicePath)
  const worn: MirrorEvent = { event: 'worn', row: path.row, epoch: 1, serial: must(cur(path).keys).serial }
  for (let i = 0; i < 9; i++) pair.aliceSays()
  pair.world.wait(seconds(1))
  expect(cur(path).epoch).toBe(1)
  pair.aliceSays()
  expect(pair.world.run(() => pair.agreed && cur(path).epoch === 2, seconds(1))).toBe(true)
  pair.alice.tunnels.onMirror(worn, pair.world.now)
  pair.world.wait(seconds(20))
  expect(cur(path).epoch).toBe(2)
})

test('a row is not used again for 30 s, and then what was said of its last path means nothing', () => {
  const pair = opened({ workers: { rows: 1 } })
  const old = must(pair.alicePath)
  const { tunnels } = pair.alice
  expect(tunnels.byRow(1)).toBe(old)
  const serial = must(cur(old).keys).serial
  const late: MirrorEvent[] = [
    { event: 'heard', row: 1, epoch: 1, serial, from: EVIL, bytes: 100, newest: true, frames: Uint8Array.of(1, 0, 0) },
    { event: 'worn', row: 1, epoch: 1, serial },
  ]
  tunnels.close(pair.routes.contractHash, 'unused', pair.world.now)
  expect(tunnels.byRow(1)).toBeNull()
  for (const e of late) tunnels.onMirror(e, pair.world.now)
  expect(pair.alice.counters.get('ntm.drop.late-event')).toBe(2)
  pair.world.wait(seconds(29))
  expect(must(pair.alice.worker).knows(1)).toBe(false)
  pair.routes = pair.newRoutes()
  const early = tunnels.install(pair.routes.opener, {}, pair.world.now)
  expect(early.ok ? 'ok' : early.code).toBe('busy')
  // The other end heard of the close 20 ms later.
  pair.world.wait(seconds(1.1))
  pair.direct()
  expect(pair.world.run(() => pair.bothOpen && pair.agreed, seconds(5))).toBe(true)
  const path = must(pair.alicePath)
  expect([path.row, tunnels.byRow(1) === path, cur(path).epoch]).toEqual([1, true, 1])
  const before = path.rekeyAt
  for (const e of late) tunnels.onMirror(e, pair.world.now)
  expect(pair.alice.counters.get('ntm.drop.late-event')).toBe(4)
  expect([path.rekeyAt, path.address?.trial, path.peerEndpoint]).toEqual([before, null, old.peerEndpoint])
})

test('a path goes while packets and events are under way: nothing is sealed after the worker knows, nothing is left', () => {
  const pair = opened({ workers: { lag: millis(50) } })
  const [path, row] = [must(pair.alicePath), rowOf(pair, 'alice')]
  pair.bobSays()
  pair.world.wait(millis(15))
  pair.alice.tunnels.close(pair.routes.contractHash, 'unused', pair.world.now)
  // The worker has not heard: it still takes and gives, as the peer does.
  expect(pair.alice.send(path, innerPacket(A4, B4, 100), pair.world.now).ok).toBe(true)
  pair.world.wait(millis(10))
  expect(pair.alice.received.length).toBe(1)
  pair.world.wait(seconds(1))
  expect(pair.alice.send(path, innerPacket(A4, B4, 100), pair.world.now)).toEqual({ ok: false, why: 'not-open' })
  expect([must(pair.alice.worker).knows(row), must(pair.bob.worker).knows(row)]).toEqual([false, false])
  expect(pair.bob.story).toEqual(['opened', 'closed unused'])
  expect([pair.alice.deadline(), pair.bob.deadline()]).toEqual([null, null])
})

test('workers are told when something changed and not otherwise', () => {
  const pair = opened()
  const { commands } = must(pair.alice.worker)
  const texts = commands.map((c) => JSON.stringify(c, (_, v) => (v instanceof Uint8Array ? [...v] : v)))
  for (const [i, text] of texts.entries()) expect(text, `command ${i}`).not.toBe(texts[i - 1])
  const told = commands.length
  expect(told).toBeLessThanOrEqual(8)
  for (let i = 0; i < 50; i++) {
    pair.aliceSays()
    pair.bobSays()
    pair.world.wait(seconds(0.5))
  }
  expect(commands.length).toBe(told)
})

test('a newer path with the same box leads at once, and the older one only receives', () => {
  const pair = opened()
  const { commands } = must(pair.alice.worker)
  const leads = (row: number): boolean | undefined => {
    const last = commands.findLast((c) => c.mirror === 'path' && c.path.row === row)
    return last?.mirror === 'path' ? last.path.leads : undefined
  }
  const before = must(pair.alicePath).row
  expect(leads(before)).toBe(true)
  pair.routes = pair.newRoutes()
  pair.direct()
  expect(pair.world.run(() => pair.alice.story.length === 2, seconds(1))).toBe(true)
  pair.world.wait(millis(0))
  expect([leads(before), leads(must(pair.alicePath).row)]).toEqual([false, true])
})

test('a stray packet of a path that is known here but not yet there gets no reset; one of an unknown path does', () => {
  const pair = new Pair({ workers: { lag: millis(30) } })
  const packet = new Uint8Array(64)
  packet.set([0x14, 0x80, 0, 1])
  let id: number = pair.routes.contract.pathIds[0]
  for (let i = 9; i >= 4; i--) {
    packet[i] = id % 256
    id = Math.floor(id / 256)
  }
  pair.alice.handle(EVIL, packet, pair.world.now)
  pair.installAlice()
  pair.world.wait(millis(40))
  const resets = (): number => pair.world.captured.filter((c) => c.sender === 'alice' && c.bytes[0] === 0x16).length
  expect([pair.alice.counters.get('ntm.drop.early'), resets()]).toEqual([1, 0])
  packet[9] = 0xee
  pair.alice.handle(EVIL, packet, pair.world.now)
  pair.world.wait(millis(100))
  expect([pair.alice.counters.get('ntm.drop.unknown-path'), resets()]).toEqual([1, 1])
})

test('in the thread of the negotiation nothing is opened or sealed', () => {
  const pair = opened()
  const { tunnels } = pair.alice
  expect(() => tunnels.open(ALICE, new Uint8Array(64), pair.world.now)).toThrow('packet workers open')
  const memory = { arena: new Uint8Array(200), view: new DataView(new ArrayBuffer(200)) }
  expect(() => tunnels.seal(must(pair.alicePath), memory, 64, 100, () => {}, pair.world.now)).toThrow(
    'packet workers seal',
  )
  expect(innerPacket(B4, A4, 40).length).toBe(40)
})

const EVIL = endpointOf('203.0.113.66:6666')
/** Without the calls for help that some storms bring. */
const steady = (story: readonly string[]): string[] => story.filter((e) => e !== 'astray')
