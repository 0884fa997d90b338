import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'

const ROOT = join(import.meta.dirname, '../..')
const DOC = readFileSync(join(ROOT, 'docs/security.md'), 'utf8')
const rows = DOC.slice(DOC.indexOf('## Attack tests'))
  .split('\n')
  .filter((line) => /^\| \d+ \|/.test(line))
  .map((line) => line.split('|').map((cell) => cell.trim()))
  .map(([, nr, , file, title]) => ({ nr: Number(nr), file: unquoted(file), title: unquoted(title) }))

/** Whether a test of this title is written in that file, and not skipped. */
function isThere({ file, title }: { readonly file: string; readonly title: string }): boolean {
  if (!existsSync(join(ROOT, file))) return false
  const text = readFileSync(join(ROOT, file), 'utf8')
  const literal = title.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&')
  return new RegExp(`\\(\\s*(['"\`])${literal}\\1`).test(text) && !/\b(test|describe)\.(skip|todo)\b/.test(text)
}

function unquoted(cell: string | undefined): string {
  return (cell ?? '').replaceAll('`', '')
}

test('every attack test that docs/security.md names exists', () => {
  const missing = rows.filter((row) => !isThere(row))
  expect(missing).toEqual([])
})

test('the attacks of this stage are all there', () => {
  const numbers = new Set(rows.map((r) => r.nr))
  for (const nr of [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 13, 14, 15]) expect(numbers, `attack ${nr}`).toContain(nr)
  expect(rows.length).toBeGreaterThan(30)
})
