/** What JSON may have where an object is expected. */
export type Fields = Readonly<Record<string, unknown>>

/** One line of a status: a head and cells; as many lines as `COLUMNS` make of it. None without a cell. */
export function row(head: string, cells: readonly string[]): string[] {
  const lines: string[] = []
  let line = ''
  for (const cell of cells.filter((c) => c !== '')) {
    const longer = line === '' ? `  ${(lines.length === 0 ? head : '').padEnd(12)} ${cell}` : `${line}   ${cell}`
    if (line !== '' && longer.length > COLUMNS) {
      lines.push(line)
      line = `${' '.repeat(15)}${cell}`
    } else line = longer
  }
  return line === '' ? [] : [...lines, line]
}

/** Numbers by name, `3 limit, 1 unbound`; `none` where there are none. */
export function counts(
  v: Fields,
  shown: (entry: readonly [string, unknown]) => boolean = () => true,
  named: (key: string) => string = (key) => key,
): string {
  const all = Object.entries(v).filter(shown)
  return all.map(([key, count]) => `${text(count)} ${named(key)}`).join(', ') || 'none'
}

export const record = (v: unknown): Fields => (typeof v === 'object' && v !== null ? (v as Fields) : {})
export const list = (v: unknown): unknown[] => (Array.isArray(v) ? v : [])
export const text = (v: unknown): string =>
  v === undefined || v === null ? '' : typeof v === 'object' ? JSON.stringify(v) : String(v)

export function age(v: unknown): string {
  const s = Number(v)
  if (!(s >= 60)) return `${Number.isNaN(s) ? 0 : s} s`
  return s < 3600 ? `${Math.floor(s / 60)} min` : `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`
}

export function bytes(v: unknown): string {
  const n = Number(v)
  if (!(n >= 1000)) return `${Number.isNaN(n) ? 0 : n} B`
  return n < 1e6 ? `${(n / 1e3).toFixed(1)} kB` : n < 1e9 ? `${(n / 1e6).toFixed(1)} MB` : `${(n / 1e9).toFixed(2)} GB`
}

const COLUMNS = 100
