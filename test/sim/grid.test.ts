import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { PAGE, render } from '../../tools/nat-grid.ts'
import { bestRoute, type Cell, runGrid, seedRoute } from './grid.ts'
import { KINDS } from './places.ts'

const CELLS = { seed: runGrid('seed'), ice: runGrid('ice') }

describe.each(['seed', 'ice'] as const)('NAT grid, route.optimise = %s', (optimise) => {
  const cells = CELLS[optimise]

  test('every pair of places connects, each asked once', () => {
    expect(cells).toHaveLength(KINDS.length ** 2)
    expect(cells.filter((c) => c.opened === null || c.opened.settled === 'none').map(said)).toEqual([])
  })

  test('the route is the one that the seeds name, or with ice the best there is', () => {
    const expected = optimise === 'seed' ? seedRoute : bestRoute
    expect(cells.filter((c) => c.opened?.settled !== expected(c.from, c.to)).map(said)).toEqual([])
  })

  test('where the seeds say direct it is direct from the first packet on', () => {
    const late = cells.filter((c) => seedRoute(c.from, c.to) === 'direct' && c.opened?.first !== 'direct')
    expect(late.map(said)).toEqual([])
  })
})

test('docs/nat-grid.md is what the grid gives now (otherwise: npm run grid)', () => {
  expect(readFileSync(PAGE, 'utf8')).toBe(render(CELLS.seed, CELLS.ice))
})

test('with ice no pair is worse than with the seeds, and some are better', () => {
  const pairs = KINDS.flatMap((a) => KINDS.map((b) => [seedRoute(a, b), bestRoute(a, b)]))
  expect(pairs.filter(([seed, best]) => seed === 'direct' && best === 'relay')).toEqual([])
  expect(pairs.filter(([seed, best]) => seed === 'relay' && best === 'direct').length).toBeGreaterThan(15)
})

const said = (c: Cell): string =>
  `${c.from} to ${c.to}: ${c.opened === null ? c.why : `${c.opened.first}, then ${c.opened.settled}`}`
