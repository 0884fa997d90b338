import { expect, test } from 'vitest'
import { nodeCrypto } from '#io/crypto-node.ts'
import type { Endpoint } from '../addr/endpoint.ts'
import { ip4FromWord } from '../addr/ip4.ts'
import { type Instant, instant } from '../base/time.ts'
import { OpenKey, SealKey } from '../crypto/seal.ts'
import { CELLS } from './mirror.ts'
import { TIMERS } from './timers.ts'
import { type Address, type HeardFrom, maySend, onAnswered, onHeard, settledAt } from './tunnel-address.ts'
import { alive, aliveClock, aliveDeadline, onReceived, onSent } from './tunnel-alive.ts'
import { type Asking, askDeadline, askStep, idle } from './tunnel-ask.ts'
import {
  acceptable,
  answered,
  expire,
  heard,
  initiated,
  noEpochs,
  proposal,
  type Slot,
  sealing,
  slotOf,
} from './tunnel-epochs.ts'

const t = (ms: number): Instant => instant(ms)

test('every timer has a length and a source', () => {
  for (const [name, timer] of Object.entries(TIMERS)) {
    expect(timer.millis, name).toBeGreaterThan(0)
    expect(timer.source.length, name).toBeGreaterThan(3)
  }
})

test('a request goes at 0, 300, 900, 2100, 4500, fresh at 5000, and ends at 15 s; ± 10 %', () => {
  const sentAt = (chance: number): [number, string][] => {
    const sent: [number, string][] = []
    let state: Asking = idle
    let now = t(0)
    let step = askStep(state, { in: 'start', why: 'setup', epoch: 1 }, chance, now)
    for (;;) {
      state = step.state
      if (step.out !== null) sent.push([now, step.out])
      const due = askDeadline(state)
      if (due === null) return sent
      now = due
      step = askStep(state, { in: 'clock' }, chance, now)
    }
  }
  const middle = sentAt(0.5)
  expect(middle.slice(0, 7)).toEqual([
    [0, 'fresh'],
    [300, 'again'],
    [900, 'again'],
    [2100, 'again'],
    [4500, 'again'],
    [5000, 'fresh'],
    [5300, 'again'],
  ])
  expect(middle.at(-1)).toEqual([15_000, 'give-up'])
  expect(sentAt(0)[1]).toEqual([270, 'again'])
  expect(sentAt(0.999)[1]).toEqual([330, 'again'])
})

test('crossing: a young winner repeats itself, a loser drops, an unheard winner gives way', () => {
  const young = askStep(idle, { in: 'start', why: 'rekey', epoch: 2 }, 0.5, t(0)).state
  expect(askStep(young, { in: 'crossed', wins: true }, 0.5, t(10)).out).toBe('again')
  expect(askStep(young, { in: 'crossed', wins: false }, 0.5, t(10))).toEqual({ state: idle, out: 'drop' })
  let old = young
  for (const at of [300, 900, 2100]) old = askStep(old, { in: 'clock' }, 0.5, t(at)).state
  expect(askStep(old, { in: 'crossed', wins: true }, 0.5, t(2200))).toEqual({ state: idle, out: 'drop' })
})

test('epochs: the responder seals late, the initiator at once, three at most, and they only rise', () => {
  const [one, two, three] = [slot(1, 0), slot(2, 100), slot(3, 200)]
  let e = answered(noEpochs, one)
  expect(sealing(e, t(0))).toBeNull()
  expect(proposal(e)).toBe(2)
  e = heard(e, 1)
  expect(sealing(e, t(0))).toBe(one)
  e = answered(e, two)
  expect(sealing(e, t(0))).toBe(one)
  expect(slotOf(e, 2)).toBe(two)
  expect([acceptable(e, 1), acceptable(e, 2), acceptable(e, 3)]).toEqual([false, true, true])
  e = heard(e, 2)
  expect(e).toEqual({ prev: one, cur: two, next: null })
  e = initiated(e, three)
  expect(e).toEqual({ prev: two, cur: three, next: null })
  expect(slotOf(e, 1)).toBeNull()
  expect(() => initiated(e, two)).toThrow('epochs rise')
  expect(() => answered(e, slot(3, 0))).toThrow('epochs rise')
  expect(sealing(e, t(200 + 179_999))).toBe(three)
  expect(sealing(e, t(200 + 180_000))).toBeNull()
  expect(expire(e, t(100 + 200_000))).toEqual({ prev: null, cur: three, next: null })
  expect(expire(e, t(200 + 200_000))).toEqual(noEpochs)
})

test('an address is followed only after its answer, and gets at most three times what came from it', () => {
  let a: Address = settledAt(home, t(0))
  const heardAt = onHeard(a, sign(away, true), nonces, null, t(1))
  expect(heardAt.challenge).toBe(true)
  a = heardAt.address
  expect(a.current).toBe(home)
  expect(onHeard(a, sign(away, true), nonces, null, t(2)).challenge).toBe(false)
  let out = 0
  for (let next = maySend(a, 43); next !== null && out < 1000; next = maySend(a, 43)) {
    a = next
    out += 43
  }
  expect(out).toBeLessThanOrEqual(120)
  expect(onAnswered(a, home, nonces().slice(0, 8), null, t(3)).moved).toBe(false)
  expect(onAnswered(a, away, new Uint8Array(8), null, t(3)).moved).toBe(false)
  const done = onAnswered(a, away, nonces().slice(0, 8), null, t(3))
  expect(done.moved).toBe(true)
  expect(done.address.current).toBe(away)
})

test('an old packet from elsewhere starts nothing; an old address that answers and goes on keeps the path', () => {
  let a: Address = settledAt(home, t(0))
  expect(onHeard(a, sign(away, false), nonces, null, t(1)).address).toBe(a)
  a = onHeard(a, sign(away, true), nonces, null, t(1)).address
  a = onHeard(a, sign(home, true), nonces, null, t(2)).address
  expect(a.trial).not.toBeNull()
  a = onAnswered(a, home, nonces().slice(8, 16), null, t(3)).address
  a = onHeard(a, sign(home, true), nonces, null, t(4)).address
  expect(a.trial).toBeNull()
  expect(onHeard(a, sign(away, true), nonces, null, t(5)).challenge).toBe(false)
  expect(onHeard(a, sign(away, true), nonces, null, t(4000)).challenge).toBe(true)
})

test('alive: never a deadline in the past after its clock ran, whatever happens', () => {
  for (let seed = 0; seed < 200; seed++) {
    const a = alive(t(0))
    let now = 0
    for (let i = 0; i < 50; i++) {
      now += (seed * 7919 + i * 104_729) % 7000
      if ((seed + i) % 3 === 0) onSent(a, i % 2 === 0, t(now))
      if ((seed + i) % 5 === 0) onReceived(a, i % 2 === 1, t(now))
      for (let out = aliveClock(a, true, t(now)); out !== null && out !== 'idle'; out = aliveClock(a, true, t(now))) {
        if (out === 'keep-alive') onSent(a, false, t(now))
      }
      const due = aliveDeadline(a, true)
      if (aliveClock(a, true, t(now)) === null) expect(due).toBeGreaterThan(now)
    }
  }
})

test('alive: cells that a worker wrote are believed, and a silence it saw end is not counted in the next one', () => {
  const cells = new Float64Array(CELLS.words)
  const a = alive(t(0), cells)
  expect([a.unansweredSince, a.owedSince, a.lastSent, a.lastInner]).toEqual([null, null, 0, 0])
  const silence = (since: number, challenges: number): void => {
    cells[CELLS.unansweredSince] = since
    expect(a.nextStep).toBe(since + 3000)
    for (let i = 0; i < challenges; i++) {
      expect(aliveClock(a, false, t(since + 3000 + i * 300 - 1))).toBeNull()
      expect(aliveClock(a, false, t(since + 3000 + i * 300))).toBe('challenge')
    }
  }
  silence(100, 2)
  // Answered and silent again, without a word to us.
  silence(20_000, 3)
  expect([a.astray, aliveClock(a, false, t(23_900)), a.astray]).toEqual([false, 'astray', true])
  cells[CELLS.unansweredSince] = Number.NaN
  expect([a.astray, a.silent, a.nextStep]).toEqual([false, false, null])
  silence(50_000, 1)
  cells[CELLS.owedSince] = 51_200
  expect(aliveDeadline(a, false)).toBe(53_200)
  cells[CELLS.owedSince] = 50_900
  expect(aliveDeadline(a, false)).toBe(52_900)
  onReceived(a, false, t(53_250))
  expect([cells[CELLS.unansweredSince], aliveDeadline(a, false)]).toEqual([Number.NaN, 52_900])
  onSent(a, true, t(53_260))
  const { lastSent, lastInner, unansweredSince, owedSince } = CELLS
  expect([lastSent, lastInner, unansweredSince, owedSince].map((i) => cells[i])).toEqual([
    53_260,
    53_260,
    53_260,
    Number.NaN,
  ])
})

test('alive: three challenges, calls for help after 0, 1, 3, 7, 15 s, then given up, once', () => {
  const a = alive(t(0))
  onSent(a, true, t(1000))
  const said: [number, string][] = []
  for (let now = 1000; now < 100_000; now += 100) {
    for (let out = aliveClock(a, false, t(now)); out !== null; out = aliveClock(a, false, t(now))) said.push([now, out])
  }
  expect(said).toEqual([
    [4000, 'challenge'],
    [4300, 'challenge'],
    [4600, 'challenge'],
    [4900, 'astray'],
    [5900, 'astray'],
    [7900, 'astray'],
    [11_900, 'astray'],
    [19_900, 'astray'],
    [34_900, 'silent'],
  ])
})

const home: Endpoint = { ip: ip4FromWord(1), port: 1 }
const away: Endpoint = { ip: ip4FromWord(2), port: 2 }
const nonces = (): Uint8Array => Uint8Array.from({ length: 22 }, (_, i) => i)
const sign = (from: Endpoint, newest: boolean, bytes = 40): HeardFrom => ({
  from,
  bytes,
  newest,
  use: false,
  proven: false,
  relayed: false,
  patient: false,
})

function slot(epoch: number, born: number): Slot {
  const secret = { suiteId: 0, key: new Uint8Array(32), iv: new Uint8Array(12) } as const
  return {
    epoch,
    seal: new SealKey(nodeCrypto, secret, epoch),
    open: new OpenKey(nodeCrypto, secret, epoch),
    born: t(born),
    initiated: true,
    early: false,
    keys: null,
  }
}
