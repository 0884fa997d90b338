import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { PAGE, render } from './nat-grid.ts'

test('docs/nat-grid.md is what the grid gives now', () => {
  expect(readFileSync(PAGE, 'utf8')).toBe(render())
})
