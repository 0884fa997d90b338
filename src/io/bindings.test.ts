import { expect, test } from 'vitest'
import { Bindings, canBind } from './bindings.ts'

test('a call is found by all of its memory, by no part of it and by no equal memory', () => {
  const bindings = new Bindings<string>()
  const [a, b, c] = [new Uint8Array(1), new Uint8Array(1), new Uint8Array(1)]
  expect(bindings.add('ab', a, b)).toBe('ab')
  bindings.add('abc', a, b, c)
  expect(bindings.find(a, b)).toBe('ab')
  expect(bindings.find(a, b, c)).toBe('abc')
  for (const wrong of [bindings.find(a), bindings.find(b, a), bindings.find(a, c), bindings.find(a, b, null, c)])
    expect(wrong).toBeUndefined()
})

test('the oldest of many is forgotten, and all when told', () => {
  const bindings = new Bindings<number>()
  const memory = Array.from({ length: 17 }, () => ({}))
  for (const [i, m] of memory.entries()) bindings.add(i, m)
  expect(memory.map((m) => bindings.find(m))).toEqual([undefined, ...Array.from({ length: 16 }, (_, i) => i + 1)])
  bindings.clear()
  expect(memory.some((m) => bindings.find(m) !== undefined)).toBe(false)
})

test('only shared memory can be bound', () => {
  const shared = new Uint8Array(new SharedArrayBuffer(8))
  expect(canBind(shared, shared.subarray(2))).toBe(true)
  expect(canBind(shared, new Uint8Array(8))).toBe(false)
})
