import fc from 'fast-check'
import { expect } from 'vitest'
import { millis, seconds } from '#ntm-lib/base/time.ts'
import { writeTags } from '#ntm-lib/crypto/cookie.ts'
import { capsulatedFlags, type Frag, writeCapsulated } from '#ntm-lib/wire/capsulated.ts'
import { test } from './mirror-mode.ts'
import { ALICE, EVE, Pair } from './pair.ts'

function opened(): Pair {
  const pair = new Pair()
  pair.direct()
  expect(
    pair.world.run(() => pair.bothOpen && pair.agreed, seconds(5)),
    pair.world.mermaid(),
  ).toBe(true)
  pair.aliceSays(1280)
  pair.world.wait(seconds(2))
  return pair
}

const flip = fc.array(fc.tuple(fc.nat(255), fc.nat(255)), { minLength: 1, maxLength: 4 })

test('any bytes, and any change to any true datagram, get no exception and leave the tunnel as it was', () => {
  const pair = opened()
  const record = pair.world.captured.map((c) => c.bytes)
  fc.assert(
    fc.property(fc.nat(), flip, fc.uint8Array({ maxLength: 300, size: 'max' }), (pick, flips, noise) => {
      const changed = (record[pick % record.length] ?? noise).slice()
      for (const [at, x] of flips) if (at < changed.length) changed[at] = (changed[at] ?? 0) ^ x
      for (const bytes of [changed, noise, changed.subarray(0, pick % (changed.length + 1))]) {
        pair.bob.handle(EVE, bytes, pair.world.now)
        pair.bob.tunnels.handle(EVE, bytes, pair.world.now)
      }
    }),
    { numRuns: 1500 },
  )
  pair.world.wait(seconds(2))
  expect(pair.bob.story).toEqual(['opened'])
  expect(pair.bobPath?.peerEndpoint).toEqual(ALICE)
  pair.aliceSays()
  pair.world.wait(millis(50))
  expect(pair.bob.received.length).toBe(2)
})

test('a peer that holds the keys and lies gets no exception either: sealed noise, and handshakes with true tags', () => {
  const pair = opened()
  const slot = pair.alicePath?.epochs.cur
  const [a, b] = [pair.alicePath, pair.bobPath]
  if (!slot || a === null || b === null) throw new Error('not open')
  const handshakes = pair.world.captured.filter((c) => c.bytes[0] === 0x13 && c.sender === 'alice').map((c) => c.bytes)
  const tagKey = a.bond.secrets.tagKey(0)
  fc.assert(
    fc.property(
      fc.boolean(),
      fc.constantFrom<Frag>(0, 1, 2),
      fc.uint8Array({ maxLength: 200, size: 'max' }),
      fc.nat(14),
      flip,
      (frames, frag, body, kind, flips) => {
        if (frames && body.length > 3) body.set([kind === 12 ? 0 : kind, 0, Math.min(body.length - 3, kind * 2)])
        const header = new Uint8Array(16)
        const flags = capsulatedFlags(0, frames, 0, frag)
        writeCapsulated(new DataView(header.buffer), 0, flags, slot.epoch, a.id, 0)
        const sealed = slot.seal.seal(header, body)
        if (sealed !== null) pair.bob.handle(ALICE, sealed, pair.world.now)
        const shake = (handshakes[kind % handshakes.length] ?? new Uint8Array(256)).slice()
        for (const [at, x] of flips) if (at > 3 && at < 224) shake[at] = (shake[at] ?? 0) ^ x
        shake[3] = 2
        shake[15] = 2 + (kind % 3)
        writeTags(pair.suite, shake, tagKey)
        pair.bob.handle(EVE, shake, pair.world.now)
        // Time passes for what was asked; everything sent is small.
        for (let o = pair.bob.poll(); o !== null; o = pair.bob.poll()) expect(o.bytes.length).toBeLessThanOrEqual(1500)
      },
    ),
    { numRuns: 600 },
  )
  expect(pair.bobPath?.isOpen).toBe(true)
  expect(pair.bob.counters.get('ntm.drop.bad-handshake')).toBeGreaterThan(0)
  expect(pair.bob.counters.get('ntm.drop.bad-frames')).toBeGreaterThan(0)
})
