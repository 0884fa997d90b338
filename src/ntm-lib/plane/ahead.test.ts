import { expect, test } from 'vitest'
import { parseEndpoint } from '../addr/endpoint.ts'
import { sendAhead } from './ahead.ts'
import type { Runs } from './engine.ts'
import { Places } from './places.ts'

const NEW = parseEndpoint('203.0.113.7:1') ?? fail()

test('a run is cut where the allowance ends; without room for one run more it goes to the proven address whole', () => {
  for (const room of [3, 2]) {
    const places = new Places(1)
    places.grow(64)
    places.set(1, { to: NEW, via: null, ahead: { serial: 1, to: NEW, bytes: 250 } })
    places.set(2, { to: NEW, via: null, ahead: null })
    const out: Runs = { arena: new Uint8Array(0), runs: new Int32Array(4 * room), count: 2, datagrams: 9 }
    out.runs.set([1, 0, 450, 100, 2, 450, 400, 100])
    sendAhead(out, places)
    const words = Array.from({ length: out.count }, (_, i) => [...out.runs.subarray(4 * i, 4 * i + 4)])
    if (room === 3) {
      expect(words).toEqual([
        [65, 0, 200, 100],
        [1, 200, 250, 100],
        [2, 450, 400, 100],
      ])
      expect(places.allowed[1]).toBe(50)
    } else {
      expect(words).toEqual([
        [1, 0, 450, 100],
        [2, 450, 400, 100],
      ])
      expect(places.allowed[1]).toBe(250)
    }
  }
})

function fail(): never {
  throw new Error('a wrong address in the test')
}
