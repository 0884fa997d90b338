import { expect, test } from 'vitest'
import { planMigration } from './migration.ts'

const plan = (config: number | null, copies: number[], program: number) =>
  planMigration({ config, copies }, program, [1, 2])

test("data of the program's own version stays as it is", () => {
  expect(plan(1, [], 1)).toEqual({ do: 'keep' })
  expect(plan(2, [1], 2)).toEqual({ do: 'keep' })
})

test('older data takes every step', () => {
  expect(plan(1, [], 3)).toEqual({ do: 'migrate', from: 1, steps: [1, 2] })
  expect(plan(2, [], 3)).toEqual({ do: 'migrate', from: 2, steps: [2] })
})

test('after going back the old program takes what was kept for it', () => {
  expect(plan(2, [1], 1)).toEqual({ do: 'take-copy', version: 1, instead: 2 })
})

test('a power cut between two renames: whoever starts takes its own', () => {
  // config is config.v1 already, and config.v2 is not config yet.
  expect(plan(null, [1, 2], 2)).toEqual({ do: 'take-copy', version: 2, instead: null })
  expect(plan(null, [1, 2], 1)).toEqual({ do: 'take-copy', version: 1, instead: null })
})

test('nothing there is a fresh box; only an old copy there is a way', () => {
  expect(plan(null, [], 2)).toEqual({ do: 'make' })
  expect(plan(null, [1], 2)).toEqual({ do: 'take-copy', version: 1, instead: null })
})

test('newer data without a copy is left alone', () => {
  expect(plan(4, [], 2)).toMatchObject({ do: 'refuse' })
  expect(plan(null, [4], 2)).toMatchObject({ do: 'refuse' })
  expect(plan(0, [], 2)).toEqual({ do: 'refuse', why: 'there is no way from version 0 of the configuration to 2' })
})
