/**
 * A status document as text for people: what is known of it in a fixed order and words, what is not as `key: value`. Total: another version
 * of the program may say more or less.
 */
export function statusText(status: Readonly<Record<string, unknown>>): string {
  const { role, pid, upSeconds, name, virtual, device, coordinator, names, paths, troubles, ...rest } = status
  const lines = [
    `${text(role)} ${text(name) || '(not a member yet)'}   process ${text(pid)}, up ${age(upSeconds)}`,
    ...row('virtual', [list(virtual).map(text).join('  '), device === undefined ? '' : `on ${text(device)}`]),
    ...(coordinator === undefined ? [] : coordinatorLines(record(coordinator))),
    ...(names === undefined ? [] : namesLines(record(names))),
    ...list(paths).flatMap((p) => pathLines(record(p))),
    ...list(troubles).flatMap((t) => {
      const { about, what, agoSeconds } = record(t)
      return row('trouble', [text(about), text(what), `${age(agoSeconds)} ago`])
    }),
    ...Object.entries(rest).flatMap(([key, value]) => row(key, [text(value)])),
  ]
  return `${lines.join('\n')}\n`
}

function coordinatorLines({ state, at, lastError }: Fields): string[] {
  return row('coordinator', [text(state), list(at).map(text).join(' '), lastError === null ? '' : text(lastError)])
}

function namesLines({ mode, listen, zones, servers }: Fields): string[] {
  if (mode === null) return row('names', ['not served yet'])
  const others = list(servers).map(text).join(' ')
  return row('names', [
    list(zones).map(text).join(' '),
    `asked at ${text(listen)} (${text(mode)})`,
    `others: ${others}`,
  ])
}

function pathLines({ peer, state, way, at, rttMs, bytesIn, bytesOut, ageSeconds, lastError }: Fields): string[] {
  return row('path', [
    text(peer),
    text(state),
    `${text(way)} ${at === null ? 'nowhere yet' : text(at)}`,
    rttMs === null ? '' : `${text(rttMs)} ms`,
    `in ${bytes(bytesIn)} out ${bytes(bytesOut)}`,
    ageSeconds === null ? '' : age(ageSeconds),
    lastError === null ? '' : `last error: ${text(lastError)}`,
  ])
}

type Fields = Readonly<Record<string, unknown>>
const row = (head: string, cells: readonly string[]): string[] => {
  const full = cells.filter((c) => c !== '')
  return full.length === 0 ? [] : [`  ${head.padEnd(12)} ${full.join('   ')}`]
}
const record = (v: unknown): Fields => (typeof v === 'object' && v !== null ? (v as Fields) : {})
const list = (v: unknown): unknown[] => (Array.isArray(v) ? v : [])
const text = (v: unknown): string =>
  v === undefined || v === null ? '' : typeof v === 'object' ? JSON.stringify(v) : String(v)

function age(v: unknown): string {
  const s = Number(v)
  if (!(s >= 60)) return `${Number.isNaN(s) ? 0 : s} s`
  return s < 3600 ? `${Math.floor(s / 60)} min` : `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`
}

function bytes(v: unknown): string {
  const n = Number(v)
  if (!(n >= 1000)) return `${Number.isNaN(n) ? 0 : n} B`
  return n < 1e6 ? `${(n / 1e3).toFixed(1)} kB` : n < 1e9 ? `${(n / 1e6).toFixed(1)} MB` : `${(n / 1e9).toFixed(2)} GB`
}
