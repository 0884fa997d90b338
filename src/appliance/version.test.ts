import { expect, test } from 'vitest'
import { compareVersions, parseVersion } from './version.ts'

const order = (a: string, b: string): number => {
  const [left, right] = [parseVersion(a), parseVersion(b)]
  if (left === null || right === null) throw new Error(`not a version: ${a} or ${b}`)
  return Math.sign(compareVersions(left, right))
}

test('the release decides, numbers as numbers', () => {
  expect(order('0.2.0', '0.10.0')).toBe(-1)
  expect(order('1.0.0+20200101T000000.gabcdef12', '0.9.9+20261121T000000.gabcdef12')).toBe(1)
})

test('within a release the build time decides; a bare number is the oldest', () => {
  expect(order('0.1.0+20261121T225100.g82f33fb1', '0.1.0+20261121T225101.g00000000.dirty')).toBe(-1)
  expect(order('0.1.0', '0.1.0+20261121T225100.g82f33fb1')).toBe(-1)
  expect(order('0.1.0+20261121T225100.g82f33fb1', '0.1.0+20261121T225100.g82f33fb1.dirty')).toBe(0)
})

test('what is not a version of ours is none', () => {
  for (const text of ['', '1', '1.2', '1.2.3-rc1', '1.2.3+x', 'v1.2.3', '1.2.3\n', '1.2.9999999999'])
    expect(parseVersion(text)).toBeNull()
})
