import { execFileSync } from 'node:child_process'
import { cpus, release } from 'node:os'
import { ROOT } from '#lab/netns.ts'
import type { Ratios } from './ratios.ts'
import { GROUPS, type Group, type Row } from './row.ts'

/** What a run leaves: `bench/results/latest.json`. */
export type Report = {
  readonly date: string
  readonly commit: string
  readonly machine: { readonly cpu: string; readonly cores: number; readonly kernel: string; readonly node: string }
  /** What was compared: a version, or why it is absent. */
  readonly peers: Readonly<Record<string, string>>
  readonly rows: readonly Row[]
  readonly ratios: Ratios
  /** Groups that were measured again after the whole run, with when and which commit. */
  readonly anew?: Readonly<Record<string, string>>
}

/** The rows with where and when they were taken. `product` is the directory of the code that was measured. */
export function report(rows: readonly Row[], ratios: Ratios, peers: Report['peers'], product: string = ROOT): Report {
  return {
    date: new Date().toISOString(),
    commit: commitOf(product),
    machine: { cpu: cpus()[0]?.model ?? 'unknown', cores: cpus().length, kernel: release(), node: process.version },
    peers,
    rows,
    ratios,
  }
}

/**
 * The last whole run with whole groups of it measured anew: the rows of `groups` are `part`'s. Date and commit stay those of the whole
 * run; `anew` says when the others were taken. The caller makes the ratios.
 */
export function renewed(whole: Report, part: Report, groups: readonly Group[]): Report {
  return {
    ...whole,
    peers: { ...whole.peers, ...part.peers },
    rows: [
      ...whole.rows.filter(({ group }) => !groups.includes(group)),
      ...part.rows.filter(({ group }) => groups.includes(group)),
    ],
    anew: {
      ...whole.anew,
      ...Object.fromEntries(groups.map((group) => [group, `${part.date}, commit ${part.commit}`])),
    },
  }
}

/** The report as Markdown: a table with a column for each peer where peers are compared, a plain one elsewhere. */
export function markdown(r: Report): string {
  const { cpu, cores, kernel, node } = r.machine
  const groups = GROUPS.map((group) => r.rows.filter((row) => row.group === group)).filter((rows) => rows.length > 0)
  const parts = groups.map((rows) => {
    const compared = rows.filter((row) => row.peer !== null)
    const alone = rows.filter((row) => row.peer === null)
    const tables = [...(compared.length > 0 ? [pivot(compared)] : []), ...(alone.length > 0 ? [list(alone)] : [])]
    return `## ${rows[0]?.group ?? ''}\n\n${tables.join('\n\n')}`
  })
  const ratios = Object.entries(r.ratios).map(([name, value]) => [
    `\`${name}\``,
    value === null ? 'absent' : figure(value),
  ])
  return [
    `# Benchmarks of ${r.date.slice(0, 10)}, commit ${r.commit}`,
    `${cpu}, ${cores} cores, Linux ${kernel}, Node ${node}, ${r.date}.`,
    ...Object.entries(r.anew ?? {}).map(([group, when]) => `Measured again: ${group}, ${when}.`),
    columns([['peer', 'version'], ...Object.entries(r.peers)]),
    ...(ratios.length > 0 ? [`## Ratios\n\n${columns([['ratio', 'value'], ...ratios])}`] : []),
    ...parts,
    '',
  ].join('\n\n')
}

/** Rows of one group, a column for each peer; a cell is the median, in brackets the least and the 90th percentile. */
function pivot(rows: readonly Row[]): string {
  const peers = [...new Set(rows.map((row) => row.peer ?? ''))]
  const names = [...new Set(rows.map((row) => row.name))]
  const body = names.map((name) => {
    const same = rows.filter((row) => row.name === name)
    const cells = peers.map((peer) => {
      const found = same.find((row) => row.peer === peer)
      return found === undefined ? '' : cellOf(found)
    })
    return [name, same[0]?.unit ?? '', ...cells]
  })
  return columns([['what', 'unit', ...peers], ...body])
}

function cellOf({ stats, note }: Row): string {
  if (stats.n === 0) return note ?? 'absent'
  const spread = stats.n > 1 ? ` (${figure(stats.min)}–${figure(stats.p90)})` : ''
  return `${figure(stats.median)}${spread}${note === undefined ? '' : `, ${note}`}`
}

function list(rows: readonly Row[]): string {
  const head = ['lab', 'what', 'median', 'p90', 'unit', 'n', 'goal', 'note']
  const body = rows.map((row) => [
    ...[row.lab ?? '', row.name, figure(row.stats.median), figure(row.stats.p90), row.unit, `${row.stats.n}`],
    ...[row.goal ?? '', row.note ?? ''],
  ])
  return columns([head, ...body])
}

/** A Markdown table that is easy to read as text too. */
function columns(lines: readonly (readonly string[])[]): string {
  const widths = (lines[0] ?? []).map((_, i) => Math.max(3, ...lines.map((cells) => cells[i]?.length ?? 0)))
  const text = (cells: readonly string[]): string =>
    `| ${widths.map((width, i) => (cells[i] ?? '').padEnd(width)).join(' | ')} |`
  const [head = [], ...body] = lines
  return [text(head), `|${widths.map((width) => '-'.repeat(width + 2)).join('|')}|`, ...body.map(text)].join('\n')
}

function commitOf(dir: string): string {
  const git = (...args: string[]): string => {
    try {
      return execFileSync('git', ['-C', dir, ...args], { encoding: 'utf8' }).trim()
    } catch {
      // A copy without its history can be measured as well.
      return ''
    }
  }
  const changed = git('status', '--porcelain', '--', 'src', 'native') === '' ? '' : ' with changes'
  return `${git('rev-parse', '--short', 'HEAD') || 'unknown'}${changed}`
}

/** Three figures that mean something. */
export const figure = (value: number): string => {
  if (Number.isNaN(value)) return '-'
  const size = Math.abs(value)
  return size >= 100
    ? value.toFixed(0)
    : size >= 10
      ? value.toFixed(1)
      : size >= 1
        ? value.toFixed(2)
        : value.toFixed(3)
}
