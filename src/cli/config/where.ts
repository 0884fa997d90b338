/**
 * The 1-based line on which `path` is set in a TOML text; for a missing key the line of its table, 0 when neither is
 * there. Knows tables, arrays of tables and bare or quoted keys: enough to point, not a second parser.
 */
export function lineOf(text: string, path: readonly (string | number)[]): number {
  const keys = path.filter((p): p is string => typeof p === 'string')
  const wanted = keys.join('.')
  let table = ''
  let tableLine = 0
  for (const [i, raw] of text.split('\n').entries()) {
    const line = raw.trim()
    const header = /^\[\[?\s*([^\]]+?)\s*\]\]?/.exec(line)
    if (header !== null) {
      table = plain(header[1] ?? '')
      if (table === wanted || wanted.startsWith(`${table}.`)) tableLine = i + 1
      if (table === wanted) return i + 1
      continue
    }
    const key = /^((?:[A-Za-z0-9_-]+|"[^"]*")(?:\s*\.\s*(?:[A-Za-z0-9_-]+|"[^"]*"))*)\s*=/.exec(line)
    if (key === null) continue
    const full = table === '' ? plain(key[1] ?? '') : `${table}.${plain(key[1] ?? '')}`
    if (full === wanted || wanted.startsWith(`${full}.`)) return i + 1
  }
  return tableLine
}

const plain = (key: string): string =>
  key
    .split('.')
    .map((part) => part.trim().replaceAll('"', ''))
    .join('.')
