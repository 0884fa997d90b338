import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Endpoint } from '../addr/endpoint.ts'
import { ip4FromWord } from '../addr/ip4.ts'
import type { Via } from '../addr/via.ts'
import { type Instant, instant, millis } from '../base/time.ts'
import { LIMITS, TIMERS } from './timers.ts'
import { type Address, addressClock, maySend, onHeard, settledAt } from './tunnel-address.ts'
import type { Offer } from './way.ts'
import {
  answered,
  answeredOut,
  askedOn,
  followed,
  offer,
  onWay,
  seekAny,
  seekBetter,
  taken,
  type Ways,
  waysDue,
  waysStep,
} from './ways.ts'

const t = (ms: number): Instant => instant(ms)
const at = (n: number): Endpoint => ({ ip: ip4FromWord(n), port: 4330 })
const via = (n: number): Via => ({ ifindex: n, ip: ip4FromWord(0x0a000000 + n) })
const direct = (to: number, out: number, rank = 0): Offer => ({ via: via(out), to: at(to), kind: 'direct', rank })
const relay: Offer = { via: via(1), to: at(99), kind: 'relay', rank: 1000 }

let counter = 0
const seeds = (): Uint8Array => Uint8Array.from({ length: 7 }, () => counter++ & 255)

/** Runs the clock until `end`; what was sent, when and where. */
function run(start: Ways, end: number): { ways: Ways; sent: [number, number][]; nonces: Uint8Array[] } {
  let ways = start
  const sent: [number, number][] = []
  const nonces: Uint8Array[] = []
  for (let due = waysDue(ways); due !== null && due <= end; due = waysDue(ways)) {
    const step = waysStep(ways, seeds, due)
    for (const c of step.send) {
      sent.push([due, c.way.to.ip as number])
      nonces.push(c.nonce)
    }
    expect(waysDue(step.ways) ?? Number.POSITIVE_INFINITY).toBeGreaterThan(step.send.length > 0 ? due : due - 1)
    ways = step.ways
    if (step.take !== null) break
  }
  return { ways, sent, nonces }
}

test('a better way is asked for five times in three seconds, and again after 10, 20, 40 … 300 s', () => {
  const ways = seekBetter(offer(onWay(relay, true), [relay, direct(1, 1)]), seeds, t(0))
  const { sent } = run(ways, 1000_000)
  expect(sent.slice(0, 7).map(([when]) => when)).toEqual([0, 200, 600, 1400, 3000, 13_000, 13_200])
  const rounds = sent.filter((_, i) => i % 5 === 0).map(([when]) => when)
  expect(rounds.slice(0, 5)).toEqual([0, 13_000, 36_000, 79_000, 162_000])
  const waits = rounds.slice(1).map((when, i) => when - (rounds[i] ?? 0))
  expect(Math.max(...waits)).toBe(TIMERS.checkRoundMost.millis + 3000)
})

test('nothing better: nothing is asked, and nothing is due', () => {
  const ways = seekBetter(offer(onWay(direct(1, 1), true), [relay, direct(1, 1), direct(1, 2, 1)]), seeds, t(0))
  expect([ways.aim, waysDue(ways)]).toEqual(['none', null])
})

test('the end that leads takes a direct way when it answers; the other waits for it, and takes it when it does not', () => {
  for (const leads of [true, false]) {
    const ways = seekBetter(offer(onWay(relay, leads), [relay, direct(1, 1)]), seeds, t(0))
    const step = waysStep(ways, seeds, t(0))
    const nonce = step.send[0]?.nonce as Uint8Array
    const got = answered(step.ways, nonce, at(1), t(40))
    expect(got.way?.worked?.rtt).toBe(40)
    if (leads) expect(got.take?.to).toEqual(at(1))
    else {
      expect(got.take).toBeNull()
      expect(waysDue(got.ways)).toBe(40 + TIMERS.wayDeferred.millis)
      expect(waysStep(got.ways, seeds, t(40 + TIMERS.wayDeferred.millis)).take?.to).toEqual(at(1))
    }
  }
})

test('an answer counts only from where it was asked and to a question that was', () => {
  const ways = seekBetter(offer(onWay(relay, true), [relay, direct(1, 1)]), seeds, t(0))
  const step = waysStep(ways, seeds, t(0))
  const nonce = step.send[0]?.nonce as Uint8Array
  const other = nonce.slice()
  other[7] = 1
  expect(answered(step.ways, nonce, at(2), t(40)).way).toBeNull()
  expect(answered(step.ways, other, at(1), t(40)).way).toBeNull()
  expect(answered(step.ways, nonce, at(1), t(40)).take).not.toBeNull()
})

test('searching for any way: all at once, until one answers; an old answer means nothing', () => {
  const offers = [direct(1, 1), direct(2, 1), direct(1, 2, 1), relay]
  let ways = offer(onWay(direct(1, 1), false), offers)
  const first = askedOn(ways, direct(2, 1), seeds, t(0))
  ways = answered(first.ways, first.send[0]?.nonce as Uint8Array, at(2), t(20)).ways
  ways = seekAny(ways, 'silence', seeds, t(1000))
  const step = waysStep(ways, seeds, t(1000))
  expect([step.take, step.send.length]).toEqual([null, 4])
  const late = step.send.find((c) => c.way.to.ip === 99)
  const done = answered(step.ways, late?.nonce as Uint8Array, at(99), t(1080))
  expect(done.take?.kind).toBe('relay')
  // On the relay the better ones are still waited for, the rest is left.
  const after = taken(done.ways, relay, seeds, t(1080))
  expect(after.aim).toBe('better')
  expect(after.list.filter((k) => k.checking?.use).map((k) => k.kind)).toEqual(['relay'])
})

test('it ends after 30 s when nothing answers, with copies ever 3 s', () => {
  const ways = seekAny(offer(onWay(direct(1, 1), true), [direct(1, 1), relay]), 'silence', seeds, t(0))
  const { sent, ways: end } = run(ways, 100_000)
  expect([end.aim, waysDue(end)]).toEqual(['none', null])
  expect(sent.at(-1)?.[0]).toBeLessThanOrEqual(TIMERS.astrayGiveUp.millis)
  expect(sent.length).toBeLessThanOrEqual(2 * 15)
})

test('in doubt the way in use is given time before another is taken', () => {
  const ways = seekAny(offer(onWay(direct(1, 1), true), [direct(1, 1), relay]), 'doubt', seeds, t(0))
  const step = waysStep(ways, seeds, t(0))
  const [own, other] = [step.send.find((c) => c.way.kind === 'direct'), step.send.find((c) => c.way.kind === 'relay')]
  const first = answered(step.ways, other?.nonce as Uint8Array, at(99), t(20))
  expect(first.take).toBeNull()
  const then = answered(first.ways, own?.nonce as Uint8Array, at(1), t(60))
  expect([then.take, then.ways.aim]).toEqual([null, 'none'])
  expect(waysStep(first.ways, seeds, t(TIMERS.leftAlone.millis)).take?.kind).toBe('relay')
})

test('property: no nonce twice, never more ways than allowed, the way in use always known, and always something to do or content', () => {
  const step = fc.record({
    what: fc.integer({ min: 0, max: 7 }),
    to: fc.integer({ min: 1, max: 40 }),
    out: fc.integer({ min: 1, max: 3 }),
    wait: fc.integer({ min: 0, max: 4000 }),
  })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), fc.boolean(), (steps, leads) => {
      let ways = onWay(direct(1, 1), leads)
      let now = 0
      const asked = new Set<string>()
      const open: { nonce: Uint8Array; to: Endpoint }[] = []
      const note = (copies: readonly { nonce: Uint8Array; way: Offer }[]): void => {
        for (const { nonce, way } of copies) {
          const key = Buffer.from(nonce).toString('hex')
          expect(asked.has(key)).toBe(false)
          asked.add(key)
          open.push({ nonce, to: way.to })
        }
      }
      for (const { what, to, out, wait } of steps) {
        now += wait
        const way = direct(to, out, out - 1)
        if (what === 0) ways = offer(ways, [relay, way, direct(to + 1, out, out - 1)])
        else if (what === 1) ways = seekAny(ways, 'moved', seeds, t(now))
        else if (what === 2) ways = seekBetter(ways, seeds, t(now))
        else if (what === 3) ways = taken(ways, way, seeds, t(now))
        else if (what === 4) ways = followed(ways, relay)
        else if (what === 5) {
          const s = askedOn(ways, way, seeds, t(now))
          note(s.send)
          ways = s.ways
        } else if (what === 6) {
          const one = open.pop()
          if (one !== undefined) ways = answered(ways, one.nonce, one.to, t(now)).ways
        }
        const s = waysStep(ways, seeds, t(now))
        note(s.send)
        ways = s.take === null ? s.ways : taken(s.ways, s.take, seeds, t(now))
        expect(ways.list.length).toBeLessThanOrEqual(LIMITS.waysPerPath + 1)
        expect(
          ways.list.some(
            (k) => k.to === ways.used.to || (k.to.ip === ways.used.to.ip && k.via?.ifindex === ways.used.via?.ifindex),
          ),
        ).toBe(true)
        if (ways.aim !== 'none') expect(waysDue(ways)).not.toBeNull()
      }
    }),
    { numRuns: 200 },
  )
})

test('property: an address on trial gets at most three times what came from it, packets and frames together, and grants never shrink', () => {
  const step = fc.record({
    what: fc.integer({ min: 0, max: 3 }),
    bytes: fc.integer({ min: 35, max: 1500 }),
    wait: fc.integer({ min: 0, max: 400 }),
  })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
      let a: Address = settledAt(at(1), t(0))
      let now = 0
      let serial = 0
      const chance = (): Uint8Array => new Uint8Array(22).fill(++serial & 255)
      /** By serial of the trial: what came, what frames took, what packets may take at most. */
      const ledger = new Map<number, { came: number; frames: number; packets: number }>()
      for (const { what, bytes, wait } of steps) {
        now += wait
        const h = {
          from: at(2),
          bytes,
          newest: what !== 3,
          use: what === 2,
          proven: false,
          relayed: false,
          patient: false,
        }
        const before = a.trial
        if (what >= 1) a = onHeard(a, h, chance, millis(20), t(now)).address
        a = addressClock(a, t(now)).address
        const trial = a.trial
        if (trial === null) continue
        const line = ledger.get(trial.serial) ?? { came: 0, frames: 0, packets: 0 }
        ledger.set(trial.serial, line)
        if (what >= 1) line.came = (before?.serial === trial.serial ? line.came : 0) + bytes
        const sent = maySend(a, 43)
        if (sent !== null) {
          a = sent
          line.frames += 43
        }
        expect(trial.granted).toBeGreaterThanOrEqual(line.packets)
        line.packets = trial.granted
        expect(line.frames + line.packets).toBeLessThanOrEqual(3 * line.came)
      }
    }),
    { numRuns: 300 },
  )
})

test('a peer that has moved is not left for its old place: where both answered, the way to where it is gets its name', () => {
  const unnamed: Offer = { via: null, to: at(2), kind: 'direct', rank: 0.5 }
  const [old, named] = [direct(1, 1), direct(2, 2)]
  let ways = seekBetter(offer(followed(onWay(old, true), unnamed), [old, named, unnamed]), seeds, t(0))
  const step = waysStep(ways, seeds, t(0))
  ways = step.ways
  for (const to of [1, 2]) {
    const nonce = step.send.find((c) => c.way.to.ip === at(to).ip)?.nonce ?? new Uint8Array(8)
    ways = answered(ways, nonce, at(to), t(20)).ways
  }
  expect(answeredOut(ways, at(2), t(20))).toEqual(via(2))
  expect(waysStep(ways, seeds, t(20)).take?.to).toEqual(at(2))
})
