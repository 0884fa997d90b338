import { describe, expect, test } from 'vitest'
import { parseIp4 } from '../addr/ip4.ts'
import type { Prefix } from '../addr/prefix.ts'
import { BugError } from '../base/invariant.ts'
import { pathIdField, prefix } from './address-field.ts'
import { type AnyField, clipped8, fixed, oneOf, text8, u8, u16, u32, u48, u64, where } from './field.ts'
import { Reader } from './reader.ts'
import { Writer } from './writer.ts'

const write = (field: AnyField, value: unknown): Uint8Array => {
  const w = new Writer()
  field.write(w, value as never)
  return w.done()
}

describe('a value that does not fit its field is our own mistake', () => {
  test.each([
    ['u8', u8, 256],
    ['u16', u16, 65536],
    ['u32', u32, 2 ** 32],
    ['u48', u48, 2 ** 48],
    ['u64', u64, 2 ** 53],
    ['negative', u32, -1],
    ['fraction', u32, 1.5],
    ['NaN', u8, Number.NaN],
    ['short bytes', fixed(8), new Uint8Array(7)],
    ['long text', text8(), 'x'.repeat(256)],
    ['text over its own limit', text8(3), 'xxxx'],
    ['text that moves a cursor', text8(), 'a\x1b[2J'],
    ['unknown name', oneOf({ a: 1 }), 'b'],
    ['rule broken', where(u8, 'even', (v) => v % 2 === 0), 3],
    ['Path ID 0', pathIdField, 0],
    ['host bits', prefix, { base: parseIp4('10.0.0.1')!, bits: 8 } satisfies Prefix],
    ['33 bits', prefix, { base: parseIp4('0.0.0.0')!, bits: 33 } satisfies Prefix],
  ] as const)('%s', (_name, field, value) => {
    expect(() => write(field as AnyField, value)).toThrow(BugError)
  })
})

test('the largest value of each width', () => {
  expect([u8, u16, u32, u48].map((f, i) => write(f, 2 ** (8 * [1, 2, 4, 6][i]!) - 1).every((b) => b === 255))).toEqual(
    new Array(4).fill(true),
  )
  expect(write(u64, Number.MAX_SAFE_INTEGER)).toEqual(Uint8Array.of(0, 0x1f, 255, 255, 255, 255, 255, 255))
})

test('text for people is cut and cleaned, not refused', () => {
  expect(write(clipped8(4), 'abcü')).toEqual(Uint8Array.of(3, 97, 98, 99))
  expect(write(clipped8(9), 'a\n\x7f\x9f\xa0')).toEqual(Uint8Array.of(6, 97, 32, 32, 32, 0xc2, 0xa0))
})

test('a writer that has grown keeps what was written, with zeros where zeros were asked for', () => {
  const w = new Writer()
  w.bytes(new Uint8Array(100).fill(7))
  w.zeros(100)
  w.u16(0x0102)
  const done = w.done()
  expect([done.length, w.length, done[99], done[100], done[199], done[200], done[201]]).toEqual([
    202, 202, 7, 0, 0, 1, 2,
  ])
})

describe('Reader', () => {
  test('the first fault stays and everything after it reads as zero', () => {
    const r = new Reader(Uint8Array.of(1, 2, 3))
    expect([r.u16(), r.u32(), r.fault]).toEqual([0x0102, 0, 'short'])
    r.refuse('bad-value')
    expect([r.u8(), r.u48(), r.u64(), r.bytes(2), r.left, r.fault]).toEqual([0, 0, 0, new Uint8Array(2), 1, 'short'])
  })

  test('reads inside a larger buffer, not before or behind', () => {
    const r = new Reader(Uint8Array.of(9, 9, 1, 2, 9).subarray(2, 4))
    expect([r.left, r.u16(), r.left, r.u8(), r.fault]).toEqual([2, 0x0102, 0, 0, 'short'])
  })
})
