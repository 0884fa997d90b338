import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Cell, type Optimise, runGrid, seedRoute } from '#test/sim/grid.ts'
import { KINDS, type Kind } from '#test/sim/places.ts'

const ROOT = join(import.meta.dirname, '..')
export const PAGE = join(ROOT, 'docs/nat-grid.md')
const PROSE = join(import.meta.dirname, 'nat-grid-prose.md')

/** The whole page: prose from `nat-grid-prose.md`, the tables from runs in virtual time. */
export function render(seed: readonly Cell[], ice: readonly Cell[]): string {
  const sections: Readonly<Record<string, () => string>> = {
    seed: () => table(seed),
    ice: () => table(ice),
    sums: () => [sum('seed', seed), sum('ice', ice)].join('\n'),
  }
  return readFileSync(PROSE, 'utf8').replaceAll(/^\{\{(\w+)\}\}$/gm, (_, name: string) => {
    const make = sections[name]
    if (make === undefined) throw new Error(`nat-grid-prose.md asks for an unknown section ${name}`)
    return make()
  })
}

/** Rows ask, columns are asked for. */
function table(cells: readonly Cell[]): string {
  const find = (from: Kind, to: Kind): Cell | undefined => cells.find((c) => c.from === from && c.to === to)
  const rows = KINDS.map((from) => `| **${from}** | ${KINDS.map((to) => text(find(from, to))).join(' | ')} |`)
  return [`| from \\ to | ${KINDS.join(' | ')} |`, `|---|${KINDS.map(() => '---').join('|')}|`, ...rows].join('\n')
}

function text(cell: Cell | undefined): string {
  const opened = cell?.opened ?? null
  if (cell === undefined || opened === null || opened.settled === 'none') return '**fails**'
  const way = opened.first === opened.settled ? opened.settled : `${opened.first} → ${opened.settled}`
  return `${way} ${Math.round(opened.roundTrips * 100) / 100}`
}

function sum(optimise: Optimise, cells: readonly Cell[]): string {
  const count = (holds: (c: Cell) => boolean): number => cells.filter(holds).length
  const open = count((c) => c.opened !== null && c.opened.settled !== 'none')
  const direct = count((c) => c.opened?.settled === 'direct')
  const seeds = count((c) => seedRoute(c.from, c.to) === 'direct')
  return `- \`${optimise}\`: ${open} of ${cells.length} connect, ${direct} of them directly (the seeds' rule: ${seeds}).`
}

if (import.meta.main) {
  const page = render(runGrid('seed'), runGrid('ice'))
  if (process.argv.includes('--check')) {
    if (readFileSync(PAGE, 'utf8') !== page) {
      console.error('docs/nat-grid.md is not what the grid gives now: npm run grid')
      process.exitCode = 1
    }
  } else {
    writeFileSync(PAGE, page)
    console.log(page)
  }
}
