import fc from 'fast-check'
import { expect, test } from 'vitest'
import { parseEndpoint } from '../addr/endpoint.ts'
import { parseIp } from '../addr/ip.ts'
import { type Instant, instant } from '../base/time.ts'
import {
  type Leg,
  type LegInput,
  type LegOutput,
  type LegPlace,
  legDue,
  legPlaces,
  legState,
  legStep,
  noLeg,
} from './relay-leg.ts'

const R4 = parseEndpoint('203.0.113.1:4330')!
const R6 = parseEndpoint('[2001:db8::1]:4330')!
const WIFI = { ifindex: 2, ip: parseIp('192.0.2.7')! }
const LTE = { ifindex: 3, ip: parseIp('198.51.100.7')! }
const place = (endpoint = R4, via: LegPlace['via'] = null): LegPlace => ({ endpoint, via })
const COOKIE = new Uint8Array(16).fill(9)
const challenge = (seq: number, from = R4): LegInput => ({ in: 'challenge', from, id: 5, seq, cookie: COOKIE })

/** A leg, its clock, and everything it said. */
class Runner {
  leg: Leg = noLeg()
  now: Instant = instant(0)
  said: LegOutput[] = []

  take(input: LegInput): LegOutput[] {
    const { leg, out } = legStep(this.leg, input, this.now)
    this.leg = leg
    this.said.push(...out)
    return [...out]
  }

  /** Acts on every deadline up to `until`. */
  run(until: number): LegOutput[] {
    const out: LegOutput[] = []
    for (let due = legDue(this.leg); due !== null && due <= until; due = legDue(this.leg)) {
      this.now = instant(Math.max(due, this.now))
      out.push(...this.take({ in: 'clock' }))
    }
    this.now = instant(until)
    return out
  }

  /** Times of the Binds that are sent until then. */
  binds(until: number): number[] {
    const times: number[] = []
    for (let due = legDue(this.leg); due !== null && due <= until; due = legDue(this.leg)) {
      this.now = instant(Math.max(due, this.now))
      if (this.take({ in: 'clock' }).some((o) => o.out === 'bind')) times.push(this.now)
    }
    this.now = instant(until)
    return times
  }
}

const bound = (): Runner => {
  const r = new Runner()
  r.take({ in: 'bind', places: [place()] })
  r.take(challenge(1))
  return r
}

test('a leg binds, answers the Challenge and is bound', () => {
  const r = new Runner()
  expect(legState(r.leg)).toBe('unbound')
  expect(r.take({ in: 'bind', places: [place()] })).toEqual([{ out: 'bind', to: [place()], seq: 1 }])
  expect([legState(r.leg), legPlaces(r.leg)]).toEqual(['binding', [place()]])
  const out = r.take(challenge(1))
  expect(out.map((o) => o.out)).toEqual(['confirm', 'bound'])
  expect(out[0]).toMatchObject({ confirm: { seq: 1, cookie: COOKIE, id: 5, to: place() } })
  expect([legState(r.leg), legPlaces(r.leg)]).toEqual(['bound', [place()]])
})

test('a Bind without an answer goes again with a new seq after 0.3, 0.9, 2.1, 4.5 s, later slowly', () => {
  const r = new Runner()
  r.take({ in: 'bind', places: [place()] })
  expect(r.binds(30_000)).toEqual([300, 900, 2100, 4500, 6900, 9300, 19_300, 29_300])
  const seqs = r.said.flatMap((o) => (o.out === 'bind' ? [o.seq] : []))
  expect(seqs).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9])
  // Whichever Challenge of this attempt comes: it is the relay's.
  expect(r.take(challenge(4)).map((o) => o.out)).toEqual(['confirm', 'bound'])
})

test('a Confirm goes three times: nobody acknowledges it', () => {
  const r = bound()
  const times: number[] = []
  for (let due = legDue(r.leg); due !== null && due < 15_000; due = legDue(r.leg)) {
    r.now = due
    if (r.take({ in: 'clock' }).some((o) => o.out === 'confirm')) times.push(due)
  }
  expect(times).toEqual([300, 900])
})

test('a bound leg binds again every 20 s and is lost 60 s after the last answer', () => {
  const r = bound()
  expect(r.binds(20_000)).toEqual([20_000])
  expect(legState(r.leg)).toBe('bound')
  expect(r.take(challenge(2)).map((o) => o.out)).toEqual(['confirm'])
  const out = r.run(80_000)
  expect(out.filter((o) => o.out === 'lost')).toHaveLength(1)
  expect(legState(r.leg)).toBe('binding')
  r.run(79_999 + 60_000)
  expect(r.take(challenge(r.leg.seq)).map((o) => o.out)).toEqual(['confirm', 'bound'])
})

test('lost Bind, Challenge and Confirm in every combination: bound in the end, seq strictly rising', () => {
  for (let losses = 0; losses < 512; losses++) {
    // A relay that demands what ours does: rising seqs, and the Confirm of its newest Bind.
    const relay = { seq: 0, boundAt: null as number | null }
    const r = new Runner()
    let nth = 0
    const arrives = (): boolean => ((losses >> nth++) & 1) === 0
    const seen: number[] = []
    const deliver = (out: readonly LegOutput[]): void => {
      for (const o of out) {
        if (o.out === 'bind') {
          seen.push(o.seq)
          if (!arrives() || o.seq <= relay.seq) continue
          relay.seq = o.seq
          if (arrives()) deliver(r.take(challenge(o.seq)))
        } else if (o.out === 'confirm' && arrives() && o.confirm.seq === relay.seq) relay.boundAt ??= r.now
      }
    }
    deliver(r.take({ in: 'bind', places: [place()] }))
    for (let due = legDue(r.leg); due !== null && due <= 41_000; due = legDue(r.leg)) {
      r.now = due
      deliver(r.take({ in: 'clock' }))
    }
    expect(relay.boundAt, `losses ${losses.toString(2)}`).not.toBeNull()
    expect(seen).toEqual(seen.toSorted((a, b) => a - b))
    expect(new Set(seen).size).toBe(seen.length)
  }
})

test('of two families the one that answers first is taken; a way that never answers is not tried alone for ever', () => {
  const r = new Runner()
  const both = [place(R6), place(R4)]
  expect(r.take({ in: 'bind', places: both })).toEqual([{ out: 'bind', to: both, seq: 1 }])
  r.run(5000)
  const to = r.said.flatMap((o) => (o.out === 'bind' ? [o.to] : []))
  expect(to).toEqual([both, both, [both[0]], [both[1]], [both[0]]].slice(0, to.length))
  expect(to.length).toBe(5)
  expect(r.take(challenge(4, R4)).at(-1)).toEqual({ out: 'bound', place: place(R4) })
  expect(legPlaces(r.leg)).toEqual([place(R4)])
})

test('from another way out it binds anew, keeps what is bound, and says so when the new one is proven', () => {
  const r = new Runner()
  r.take({ in: 'bind', places: [place(R4, WIFI)] })
  r.take(challenge(1))
  expect(r.take({ in: 'bind', places: [place(R4, LTE)] })).toEqual([{ out: 'bind', to: [place(R4, LTE)], seq: 2 }])
  expect(legState(r.leg)).toBe('bound')
  expect(legPlaces(r.leg)).toEqual([place(R4, LTE)])
  // The Challenge of the old way is late: it is none of this attempt's.
  expect(r.take(challenge(1))).toEqual([])
  expect(r.take(challenge(2)).at(-1)).toEqual({ out: 'bound', place: place(R4, LTE) })
})

test('no way to the relay: nothing is sent and nothing waits', () => {
  const r = new Runner()
  expect(r.take({ in: 'bind', places: [] })).toEqual([])
  expect([legDue(r.leg), legPlaces(r.leg), legState(r.leg)]).toEqual([null, [], 'unbound'])
})

test('a Notice: unbound binds at once, unless the answer is on its way; an unheard Confirm goes again', () => {
  const notice = (reason: 'unbound' | 'limit' | 'expiring' | 'peer-unbound', seq: number): LegInput => ({
    in: 'notice',
    reason,
    seq,
  })
  const forgotten = bound()
  forgotten.run(2000)
  expect(forgotten.take(notice('unbound', 0))).toEqual([{ out: 'bind', to: [place()], seq: 2 }])
  expect(forgotten.take(notice('unbound', 2))).toEqual([])
  // Told that even the Bind before was not heard: another one at once.
  forgotten.run(2850)
  const { seq } = forgotten.leg
  expect(forgotten.take(notice('unbound', 0))).toEqual([{ out: 'bind', to: [place()], seq: seq + 1 }])
  const unheard = bound()
  expect(unheard.take(notice('unbound', 1)).map((o) => o.out)).toEqual(['confirm'])
  const others = bound()
  expect(others.take(notice('limit', 1))).toEqual([])
  expect(others.take(notice('peer-unbound', 1))).toEqual([])
  expect(others.take(notice('expiring', 1)).map((o) => o.out)).toEqual(['bind'])
  expect(legState(others.leg)).toBe('bound')
})

test('a recorded Notice that is said all the time costs one Bind in a second at most, and never the leg', () => {
  const r = bound()
  let binds = 0
  for (let t = 2000; t < 12_000; t += 10) {
    r.now = instant(t)
    const out = r.take({ in: 'notice', reason: 'unbound', seq: 0 })
    binds += out.filter((o) => o.out === 'bind').length
    // The relay answers each.
    if (out.some((o) => o.out === 'bind')) r.take(challenge(r.leg.seq))
  }
  expect(binds).toBeGreaterThan(5)
  expect(binds).toBeLessThanOrEqual(13)
  expect(legState(r.leg)).toBe('bound')
})

test('Challenges from elsewhere, of the future or of the past change nothing', () => {
  const r = new Runner()
  r.take({ in: 'bind', places: [place()] })
  const before = r.leg
  for (const c of [challenge(1, R6), challenge(2), challenge(0)]) expect(r.take(c)).toEqual([])
  expect(r.leg).toEqual(before)
})

test('whatever comes, seqs rise, and no deadline stands still', () => {
  const places = fc.subarray([place(R4), place(R6), place(R4, WIFI), place(R4, LTE)])
  const input: fc.Arbitrary<LegInput> = fc.oneof(
    places.map((p): LegInput => ({ in: 'bind', places: p })),
    fc.constant<LegInput>({ in: 'clock' }),
    fc.tuple(fc.nat(6), fc.constantFrom(R4, R6)).map(([seq, from]) => challenge(seq, from)),
    fc
      .tuple(fc.constantFrom('unbound', 'limit', 'expiring', 'peer-unbound'), fc.nat(6))
      .map(([reason, seq]): LegInput => ({ in: 'notice', reason, seq }) as LegInput),
  )
  fc.assert(
    fc.property(fc.array(fc.tuple(input, fc.nat(30_000)), { maxLength: 40 }), (steps) => {
      const r = new Runner()
      let last = 0
      for (const [i, wait] of steps) {
        r.take(i)
        r.run(r.now + wait)
        const due = legDue(r.leg)
        expect(due === null || due > r.now).toBe(true)
      }
      for (const o of r.said) {
        if (o.out !== 'bind') continue
        expect(o.seq).toBeGreaterThan(last)
        expect(o.to.length).toBeGreaterThan(0)
        last = o.seq
      }
    }),
  )
})
