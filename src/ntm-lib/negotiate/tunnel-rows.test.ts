import { expect, test } from 'vitest'
import { instant } from '../base/time.ts'
import { CELLS } from './mirror.ts'
import type { Path } from './paths.ts'
import { ROW_REST, Rows } from './tunnel-rows.ts'

const WORDS = CELLS.words

test('rows count from 1, end with the cells, rest, and come back in the order in which they went', () => {
  const rows = new Rows(new Float64Array(3 * WORDS))
  const [one, two] = [rows.take(instant(0)), rows.take(instant(0))]
  expect([one?.row, two?.row, rows.take(instant(0))]).toEqual([1, 2, null])
  const paths = [pathAt(1), pathAt(2)]
  for (const p of paths) rows.place(p)
  expect([rows.find(1), rows.find(2), rows.find(0)]).toEqual([paths[0], paths[1], null])
  rows.release(pathAt(2), instant(100))
  rows.release(pathAt(2), instant(100))
  rows.release(pathAt(1), instant(200))
  expect([rows.find(1), rows.find(2)]).toEqual([null, null])
  expect(rows.take(instant(99 + ROW_REST))).toBeNull()
  expect(rows.take(instant(100 + ROW_REST))?.row).toBe(2)
  expect(rows.take(instant(100 + ROW_REST))).toBeNull()
  expect(rows.take(instant(200 + ROW_REST))?.row).toBe(1)
})

test('a row begins with nothing outstanding and nothing counted, whatever its cells held, and touches no other', () => {
  const shared = new Float64Array(3 * WORDS).fill(7)
  const row = new Rows(shared).take(instant(500))
  expect(row?.cells.buffer).toBe(shared.buffer)
  const nan = Number.NaN
  expect([...shared]).toEqual([...Array(WORDS).fill(7), 500, 500, nan, nan, 0, 0, 0, 0, ...Array(WORDS).fill(7)])
})

test('without shared cells each path has its own, and there is no end of them', () => {
  const rows = new Rows(null)
  const taken = Array.from({ length: 100 }, () => rows.take(instant(0)))
  expect(taken.map((t) => t?.row)).toEqual(Array.from({ length: 100 }, (_, i) => i + 1))
  expect(new Set(taken.map((t) => t?.cells.buffer)).size).toBe(100)
})

const pathAt = (row: number): Path => ({ row }) as Path
