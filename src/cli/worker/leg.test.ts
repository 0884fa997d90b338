import { expect, test } from 'vitest'
import type { Outgoing } from '#ntm-lib/ports/packet-port.ts'
import { Leg } from './leg.ts'

/** What a port was given, call by call; the bytes are read at once, as a kernel does. */
function recorder() {
  const calls: { bytes: number[]; gso: number }[][] = []
  const sendSuper = (arena: Uint8Array, { jobs, count }: Outgoing): number => {
    const job = (k: number) => {
      const [at = 0, len = 0, gso = 0] = jobs.subarray(3 * k)
      return { bytes: [...arena.subarray(at, at + Math.min(4, len))], gso }
    }
    calls.push(Array.from({ length: count }, (_, k) => job(k)))
    return count
  }
  return { calls, port: { sendSuper }, all: () => calls.flat().map(({ bytes }) => bytes[0]) }
}

test('frames leave in the order they came, wherever they lie, from where they lie', () => {
  const r = recorder()
  const leg = new Leg(r.port)
  const [one, two] = [new Uint8Array(4).fill(1), new Uint8Array(4).fill(2)]
  leg.add(one, 0, 2, 1400)
  leg.add(one, 2, 2, 0)
  expect(r.calls).toEqual([])
  leg.add(two, 1, 3, 0xffff)
  expect(leg.addCopy(Uint8Array.of(3, 3))).toBe(true)
  expect(leg.addCopy(Uint8Array.of(4))).toBe(true)
  leg.add(one, 0, 1, 0)
  leg.flush()
  leg.flush()
  expect(r.calls).toEqual([
    [
      { bytes: [1, 1], gso: 1400 },
      { bytes: [1, 1], gso: 0 },
    ],
    [{ bytes: [2, 2, 2], gso: 0xffff }],
    [
      { bytes: [3, 3], gso: 0 },
      { bytes: [4], gso: 0 },
    ],
    [{ bytes: [1], gso: 0 }],
  ])
})

test('more than fits at once is sent on the way: nothing is lost, overwritten or overtaken', () => {
  const r = recorder()
  const leg = new Leg(r.port)
  const copy = new Uint8Array(60_000)
  for (let n = 0; n < 1000; n++) {
    copy[0] = n & 0xff
    // Now and then a long one, so that both the room for copies and the list of jobs run out.
    expect(leg.addCopy(copy.subarray(0, n % 7 === 0 ? 60_000 : 60))).toBe(true)
  }
  leg.flush()
  expect(r.all()).toEqual(Array.from({ length: 1000 }, (_, n) => n & 0xff))
  expect(r.calls.length).toBeGreaterThan(4)
  expect(leg.addCopy(new Uint8Array(200_000))).toBe(false)
})
