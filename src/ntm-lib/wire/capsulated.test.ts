import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  capsulatedFlags,
  counter,
  direction,
  epoch,
  frag,
  isCapsulated,
  isFrames,
  lane,
  pathId,
  writeCapsulated,
} from './capsulated.ts'
import { readHeader } from './header.ts'

const fields = fc.record({
  direction: fc.constantFrom(0 as const, 1 as const),
  frames: fc.boolean(),
  lane: fc.nat(3),
  frag: fc.constantFrom(0 as const, 1 as const, 2 as const),
  epoch: fc.nat(0xffff),
  id: fc.integer({ min: 1, max: 2 ** 48 - 1 }),
  counter: fc.integer({ min: 0, max: 2 ** 48 - 1 }),
  at: fc.nat(50),
})

test('what is written in place is read in place, touches nothing else, and agrees with the header codec', () => {
  fc.assert(
    fc.property(fields, (f) => {
      const arena = new Uint8Array(120).fill(0xee)
      const view = new DataView(arena.buffer)
      const flags = capsulatedFlags(f.direction, f.frames, f.lane, f.frag)
      writeCapsulated(view, f.at, flags, f.epoch, f.id, f.counter)
      const got = [direction, isFrames, lane, frag, epoch, pathId, counter].map((get) => get(view, f.at))
      expect(got).toEqual([f.direction, f.frames, f.lane, f.frag, f.epoch, f.id, f.counter])
      expect(arena.every((b, i) => (i >= f.at && i < f.at + 16) || b === 0xee)).toBe(true)
      expect(isCapsulated(view, f.at, 32)).toBe(true)
      expect(readHeader(arena.subarray(f.at))).toEqual({
        ok: true,
        value: { cls: 4, flags, word: f.epoch, id: f.id, counter: f.counter },
      })
    }),
  )
})

test('isCapsulated agrees with the header codec on every first two bytes', () => {
  const view = new DataView(new ArrayBuffer(32))
  view.setUint8(9, 1)
  for (let word = 0; word < 0x10000; word++) {
    view.setUint16(0, word)
    const header = readHeader(new Uint8Array(view.buffer))
    expect(isCapsulated(view, 0, 32)).toBe(header.ok && header.value.cls === 4)
  }
})

test('shorter than header and tag is no Capsulated Packet', () => {
  const view = new DataView(new ArrayBuffer(64))
  writeCapsulated(view, 0, 0, 0, 1, 0)
  expect([isCapsulated(view, 0, 31), isCapsulated(view, 0, 32)]).toEqual([false, true])
})
