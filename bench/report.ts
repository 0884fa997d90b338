import { execFileSync } from 'node:child_process'
import { cpus, release } from 'node:os'
import { ROOT } from '#lab/netns.ts'
import type { Stats } from './stats.ts'

/** One measured thing. `goal` is text for people; `note` says what the figure holds or why it is missing. */
export type Row = {
  readonly name: string
  /** `plain`: cables only; `far`: round trips of the seeds' order. */
  readonly lab: 'plain' | 'far'
  readonly unit: 'ms' | 'Mbit/s' | 'µs' | 'packets'
  readonly stats: Stats
  readonly goal?: string
  readonly note?: string
}

/** What a run leaves: `bench/results/latest.json`. */
export type Report = {
  readonly date: string
  readonly commit: string
  readonly machine: { readonly cpu: string; readonly cores: number; readonly kernel: string; readonly node: string }
  readonly rows: readonly Row[]
  readonly ratios: Readonly<Record<string, number>>
}

export function report(rows: readonly Row[], ratios: Readonly<Record<string, number>>): Report {
  const git = (...args: string[]): string => {
    try {
      return execFileSync('git', ['-C', ROOT, ...args], { encoding: 'utf8' }).trim()
    } catch {
      // A copy without its history can be measured as well.
      return ''
    }
  }
  const changed = git('status', '--porcelain', '--', 'src', 'native') === '' ? '' : ' with changes'
  return {
    date: new Date().toISOString(),
    commit: `${git('rev-parse', '--short', 'HEAD') || 'unknown'}${changed}`,
    machine: {
      cpu: cpus()[0]?.model ?? 'unknown',
      cores: cpus().length,
      kernel: release(),
      node: process.version,
    },
    rows,
    ratios,
  }
}

/** The report as lines of text. */
export function table(r: Report): string {
  const head = ['lab', 'what', 'median', 'p90', 'unit', 'n', 'goal', 'note']
  const body = r.rows.map((row) => [
    row.lab,
    row.name,
    figure(row.stats.median),
    figure(row.stats.p90),
    row.unit,
    `${row.stats.n}`,
    row.goal ?? '',
    row.note ?? '',
  ])
  const widths = head.map((_, i) => Math.max(...[head, ...body].map((cells) => cells[i]?.length ?? 0)))
  const lines = [head, ...body].map((cells) =>
    cells
      .map((cell, i) => pad(cell, widths[i] ?? 0, i))
      .join('  ')
      .trimEnd(),
  )
  const { cpu, cores, kernel, node } = r.machine
  const ratios = Object.entries(r.ratios).map(([name, value]) => `${name} ${figure(value)}`)
  return [
    `${cpu}, ${cores} cores, Linux ${kernel}, Node ${node}, ${r.date}, ${r.commit}`,
    '',
    ...lines,
    '',
    ...ratios,
    '',
  ].join('\n')
}

const pad = (cell: string, width: number, column: number): string =>
  column >= 2 && column <= 5 && column !== 4 ? cell.padStart(width) : cell.padEnd(width)

/** Three figures that mean something. */
const figure = (value: number): string =>
  Number.isNaN(value)
    ? '-'
    : Math.abs(value) >= 100
      ? value.toFixed(0)
      : Math.abs(value) >= 10
        ? value.toFixed(1)
        : value.toFixed(3)
