import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'

const ROOT = join(import.meta.dirname, '../..')
const rows = readFileSync(join(ROOT, 'docs/rfc7915.md'), 'utf8')
  .split('\n')
  .filter((line) => line.startsWith('| ') && !line.startsWith('| section'))
  .map((line) => line.split('|').map((cell) => cell.trim()))
const named = rows.flatMap((row) => [...(row[4] ?? '').matchAll(/`([^`]+)`/g)].map((m) => m[1] as string))

/** Titles of all tests below src/tt, as they are written. */
const titles = readdirSync(join(ROOT, 'src/tt'), { recursive: true, encoding: 'utf8' })
  .filter((f) => f.endsWith('.test.ts'))
  .flatMap((f) => {
    const text = readFileSync(join(ROOT, 'src/tt', f), 'utf8')
    return [...text.matchAll(/\btest(?:\.each\([\s\S]*?\))?\(\s*(['"`])([\s\S]*?)\1/g)].map((m) => m[2] as string)
  })

test('every test that docs/rfc7915.md names exists', () => {
  expect(named.length).toBeGreaterThan(50)
  expect(named.filter((name) => !titles.includes(name))).toEqual([])
})

test('every rfc7915 test is named in docs/rfc7915.md', () => {
  const tests = titles.filter((t) => t.startsWith('rfc7915 §'))
  expect(tests.length).toBeGreaterThan(45)
  expect(tests.filter((t) => !named.includes(t))).toEqual([])
})

test('every section is in the table, and each says what became of it', () => {
  const sections = [
    '1.1',
    '1.2',
    '1.3',
    '1.4',
    '2, 3',
    '4.1',
    '4.2',
    '4.3',
    '4.4',
    '4.5',
    '4.6',
    '5.1',
    '5.1.1',
    '5.2',
    '5.3',
    '5.4',
    '5.5',
    '5.6',
    '6',
    '7',
    '8',
    'A',
  ]
  expect([...new Set(rows.map((r) => r[1]))].filter((s) => s !== '---')).toEqual(sections)
  expect(rows.filter((r) => (r[3] ?? '') === '')).toEqual([])
})
