import { barChart } from './chart.ts'
import type { Row } from './row.ts'

/** The charts of a report by file name; groups without a figure are left out, and charts without a group. */
export function charts(rows: readonly Row[]): Readonly<Record<string, string>> {
  const made = PLANS.flatMap(({ file, title, names, ownScales }) => {
    const groups = names
      .map((name) => ({ label: name, rows: rows.filter((row) => row.name === name && row.peer !== null) }))
      .filter((group) => group.rows.some((row) => row.stats.n > 0))
    const unit = groups[0]?.rows[0]?.unit
    if (unit === undefined) return []
    const bars = (of: readonly Row[]) =>
      of.map(({ peer, stats }) => ({ label: peer ?? '', value: stats.median, low: stats.min, high: stats.p90 }))
    return [
      [
        file,
        barChart({ title, unit, ownScales, groups: groups.map((g) => ({ label: g.label, bars: bars(g.rows) })) }),
      ] as const,
    ]
  })
  return Object.fromEntries(made)
}

const both = (what: string): string[] => ['to server', 'to host'].map((direction) => `${what} ${direction}`)

const PLANS: readonly {
  readonly file: string
  readonly title: string
  readonly names: readonly string[]
  readonly ownScales: boolean
}[] = [
  {
    file: 'tcp.svg',
    title: 'Bulk TCP through two boxes',
    names: [...both('TCP 1 stream'), ...both('TCP 8 streams')],
    ownScales: false,
  },
  {
    file: 'udp.svg',
    title: 'UDP at 1 % loss or less',
    names: [64, 128, 512, 1400].map((bytes) => `UDP ${bytes} B to server, at most 1 % lost`),
    ownScales: false,
  },
  {
    file: 'latency.svg',
    title: 'Round trip through two boxes',
    names: ['idle, p50', 'idle, p99', 'beside bulk TCP, p50', 'beside bulk TCP, p99'].map(
      (when) => `round trip ${when}`,
    ),
    // Idle and loaded differ by a factor of ten.
    ownScales: true,
  },
  {
    file: 'translate.svg',
    title: 'Translation alone',
    names: both('translation alone, TCP 1 stream'),
    ownScales: false,
  },
]
