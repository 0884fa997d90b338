import type { LinkAddr } from '#ntm-lib/addr/link.ts'
import { linkText } from '#ntm-lib/addr/link.ts'

/** What came of a configuration that was offered. */
export type Outcome =
  /** `since`: as people write it; empty where no clock is to be trusted. */
  | { readonly is: 'in-force'; readonly role: string; readonly since: string; readonly removed: readonly string[] }
  /** `role`: of the configuration that stays in force; null when there is none. */
  | { readonly is: 'refused'; readonly role: string | null; readonly mistakes: readonly string[] }

export type ReportFacts = {
  readonly outcome: Outcome
  /** What the operator should know besides. */
  readonly notes: readonly string[]
  readonly version: string
  readonly ports: readonly LinkAddr[]
}

/**
 * `ntm-report.txt` beside a configuration: what became of it, for whoever carried it there, in any editor (CRLF). It holds no secret, and changes
 * only when what it says does.
 */
export function reportText({ outcome, notes, version, ports }: ReportFacts): string {
  const lines = ['NTM box: what became of this configuration', '', ...outcomeLines(outcome)]
  if (notes.length > 0) lines.push('', 'To know:', ...notes.map((note) => `- ${note}`))
  lines.push('', `This box: version ${version || 'unknown'}, ports ${ports.map(linkText).join(' ') || 'none'}`)
  return lines.map((line) => `${line}\r\n`).join('')
}

function outcomeLines(o: Outcome): string[] {
  if (o.is === 'in-force')
    return [
      `GOOD: in force${o.since === '' ? '' : ` since ${o.since}`}, role ${o.role}.`,
      ...o.removed.map((what) => `Taken into the box and removed from here: ${what}.`),
    ]
  const stays =
    o.role === null
      ? 'The box has no other: it bridges and does nothing else.'
      : `The configuration in force stays (role ${o.role}).`
  return [
    `REFUSED: nothing was changed. ${stays}`,
    '',
    'What is wrong:',
    ...o.mistakes.map((mistake) => `- ${mistake}`),
    '',
    'What to do: correct it here and start the box again, or put the stick in again.',
  ]
}
