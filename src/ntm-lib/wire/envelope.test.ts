import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { BugError } from '../base/invariant.ts'
import { instant, millis } from '../base/time.ts'
import {
  type Envelope,
  EnvelopeJoiner,
  encodeEnvelopes,
  MAX_BODY_BYTES,
  MAX_PART_BYTES,
  splitBody,
} from './envelope.ts'

const t0 = instant(0)
const parts = (body: Uint8Array, number = 7, maxBytes = MAX_PART_BYTES): Envelope[] =>
  splitBody(body, maxBytes).map((part, i, all) => ({
    code: 4,
    response: true,
    refusal: false,
    boot: 0xb007,
    number,
    part: i,
    parts: all.length,
    body: part,
  }))
const filled = (size: number): Uint8Array => Uint8Array.from({ length: size }, (_, i) => i % 251)

describe('splitBody', () => {
  test('an empty body is one empty part, the largest body is eight', () => {
    expect(splitBody(new Uint8Array(0), 100)).toEqual([new Uint8Array(0)])
    expect(splitBody(filled(MAX_BODY_BYTES), MAX_PART_BYTES).map((p) => p.length)).toEqual(
      new Array(8).fill(MAX_PART_BYTES),
    )
    expect(() => splitBody(filled(MAX_BODY_BYTES + 1), MAX_PART_BYTES)).toThrow(BugError)
  })

  test('the largest part fills a datagram exactly', () => {
    const [whole] = parts(filled(MAX_PART_BYTES))
    expect(encodeEnvelopes([whole!]).length + 32).toBe(1232)
    expect(() => encodeEnvelopes([whole!, whole!])).toThrow(BugError)
  })
})

describe('EnvelopeJoiner', () => {
  test('parts in any order, doubled, give the body once', () => {
    const shuffled = fc
      .tuple(fc.integer({ min: 2, max: 8 }), fc.integer({ min: 1, max: 50 }))
      .chain(([count, size]) => {
        const all = parts(filled(count * size), 1, size)
        return fc.tuple(
          fc.shuffledSubarray([...all, ...all], { minLength: 2 * count, maxLength: 2 * count }),
          fc.constant(count * size),
        )
      })
    fc.assert(
      fc.property(shuffled, ([order, size]) => {
        const joiner = new EnvelopeJoiner()
        const got = order.map((e) => joiner.take(e, t0)).filter((j) => j !== null)
        expect(got[0]?.body).toEqual(filled(size))
        // A whole second set after the first is a retransmission and comes out again, for the session to recognise.
        expect(got.length).toBeLessThanOrEqual(2)
        if (got.length === 2) expect(joiner.heldBytes).toBe(0)
      }),
    )
  })

  test('transactions, and a request and a response of one number, do not mix', () => {
    const joiner = new EnvelopeJoiner()
    const [a0, a1] = parts(filled(20), 1, 10)
    const [b0, b1] = parts(filled(18), 2, 9)
    const [q0] = parts(filled(20), 1, 10).map((e) => ({ ...e, response: false }))
    for (const e of [a0, b0, q0]) expect(joiner.take(e!, t0)).toBeNull()
    expect(joiner.take(b1!, t0)?.number).toBe(2)
    expect(joiner.take(a1!, t0)).toMatchObject({ number: 1, response: true, body: filled(20) })
    expect(joiner.heldBytes).toBe(10)
  })

  test('parts that contradict each other kill the message', () => {
    for (const change of [{ code: 5 }, { parts: 4 }, { refusal: true }]) {
      const joiner = new EnvelopeJoiner()
      const [first, second] = parts(filled(30), 1, 10)
      joiner.take(first!, t0)
      expect(joiner.take({ ...second!, ...change }, t0)).toBeNull()
      expect([joiner.dropped, joiner.heldBytes, joiner.deadline()]).toEqual([1, 0, null])
    }
  })

  test('what never becomes whole dies at its time', () => {
    const joiner = new EnvelopeJoiner(millis(500))
    joiner.take(parts(filled(20), 1, 10)[0]!, t0)
    expect(joiner.deadline()).toBe(500)
    joiner.sweep(instant(499))
    expect(joiner.heldBytes).toBe(10)
    expect(joiner.take(parts(filled(20), 1, 10)[1]!, instant(500))).toBeNull()
    expect([joiner.dropped, joiner.heldBytes, joiner.deadline()]).toEqual([1, 10, 1000])
  })

  test('a flood of first parts never holds more than four bodies and 32 messages', () => {
    for (const size of [1, MAX_PART_BYTES]) {
      const joiner = new EnvelopeJoiner()
      for (let number = 0; number < 500; number++) {
        for (const e of parts(filled(8 * size), number, size).slice(0, 7)) joiner.take(e, t0)
        expect(joiner.heldBytes).toBeLessThanOrEqual(4 * MAX_BODY_BYTES)
      }
      expect(500 - joiner.dropped).toBeLessThanOrEqual(32)
      // The newest is still whole enough to be finished.
      expect(joiner.take(parts(filled(8 * size), 499, size)[7]!, t0)?.body).toEqual(filled(8 * size))
    }
  })
})
