/** Bars in groups, one group under another: they share one scale that begins at 0, unless each has its own. */
export type Chart = {
  readonly title: string
  readonly unit: string
  readonly ownScales?: boolean
  readonly groups: readonly { readonly label: string; readonly bars: readonly Bar[] }[]
}
/** `low` and `high` draw a whisker; a value that is not a number draws no bar and says absent. */
export type Bar = { readonly label: string; readonly value: number; readonly low?: number; readonly high?: number }

/** The chart as one SVG file of its own: no script, no font, no colour that a dark page would hide. */
export function barChart(chart: Chart): string {
  const labels = [...new Set(chart.groups.flatMap((g) => g.bars.map((b) => b.label)))]
  const parts: string[] = [text(LEFT, 22, `${chart.title}, ${chart.unit}`, 'font-weight="bold"')]
  let y = 44
  for (const { label, bars } of chart.groups) {
    const most = greatest(chart.ownScales === true ? bars : chart.groups.flatMap((g) => g.bars))
    const x = (value: number): number => LEFT + (most === 0 ? 0 : (value / most) * (WIDTH - LEFT - RIGHT))
    parts.push(text(8, y + 4, label, 'font-weight="bold"'))
    y += STEP
    for (const bar of bars) {
      parts.push(text(LEFT - 8, y + 4, bar.label, 'text-anchor="end"'), ...drawn(bar, x, y, labels.indexOf(bar.label)))
      y += STEP
    }
    y += 10
  }
  const size = `width="${WIDTH}" height="${y}" viewBox="0 0 ${WIDTH} ${y}"`
  const open = `<svg xmlns="http://www.w3.org/2000/svg" ${size} font-family="sans-serif" font-size="12" role="img">`
  const page = `<title>${escaped(chart.title)}</title><rect width="${WIDTH}" height="${y}" fill="#ffffff"/>`
  return `${[open, page, ...parts, '</svg>'].join('\n')}\n`
}

function drawn(bar: Bar, x: (value: number) => number, y: number, colour: number): string[] {
  if (!Number.isFinite(bar.value)) return [text(LEFT + 4, y + 4, 'absent', 'fill="#666666"')]
  const fill = COLOURS[colour % COLOURS.length]
  const width = Math.max(1, x(bar.value) - LEFT)
  const rect = `<rect x="${LEFT}" y="${y - BAR / 2}" width="${fixed(width)}" height="${BAR}" fill="${fill}"/>`
  const { low, high } = bar
  const whisker =
    low === undefined || high === undefined
      ? []
      : [`<path d="M${fixed(x(low))} ${y}H${fixed(x(high))}" stroke="#222222" stroke-width="1.5" fill="none"/>`]
  return [rect, ...whisker, text(Math.max(x(bar.value), x(high ?? 0)) + 6, y + 4, short(bar.value))]
}

const greatest = (bars: readonly Bar[]): number =>
  Math.max(0, ...bars.flatMap((b) => [b.value, b.high ?? 0]).filter(Number.isFinite))
const text = (x: number, y: number, words: string, more = ''): string =>
  `<text x="${fixed(x)}" y="${y}" ${more}>${escaped(words)}</text>`
const escaped = (words: string): string =>
  words.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
const fixed = (value: number): string => `${Math.round(value * 10) / 10}`
const short = (value: number): string =>
  value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2)

const [WIDTH, LEFT, RIGHT, STEP, BAR] = [760, 120, 60, 20, 14]
/** Okabe and Ito's colours, which differ for colour-blind readers too. */
const COLOURS = ['#999999', '#0072b2', '#56b4e9', '#d55e00', '#e69f00', '#009e73', '#cc79a7'] as const
