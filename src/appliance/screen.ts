import { qrRows } from './qr-blocks.ts'

/** One less than the terminal has: in the last column its cursor is at two places. */
export const COLUMNS = 79
export const ROWS = 24

/** One line of facts: what about, and what is said in pieces that are not torn apart where a line ends. */
export type Fact = { readonly about: string; readonly says: readonly string[]; readonly isTrouble?: boolean }

export type Screen = {
  readonly title: string
  /** Most important first: what does not fit is left out from the end. */
  readonly facts: readonly Fact[]
  /** Text of the QR code beside them; null for none. */
  readonly qr: string | null
  /** Below the QR code, or the last line. */
  readonly hint: string
}

/** A screen of 80 by 24 characters as lines without their ends; `qr` rows carry their own colours. */
export function screenLines({ title, facts, qr, hint }: Screen): readonly string[] {
  const code = qr === null ? [] : qrRows(qr)
  const width = code[0]?.length ?? 0
  const room = width === 0 ? COLUMNS : COLUMNS - width - 1
  const text = [...wrap(title, room), '', ...facts.flatMap((fact) => factLines(fact, room))]
  const foot = wrap(hint, room)
  const most = ROWS - 1 - (foot.length === 0 ? 0 : foot.length + 1)
  const shown = text.length > most ? [...text.slice(0, most - 1), '  (more: ntm status)'] : text
  const all = foot.length === 0 ? shown : [...shown, '', ...foot]
  const height = Math.max(all.length, code.length)
  return Array.from({ length: height }, (_, i) => {
    const left = all[i] ?? ''
    const right = code[i]
    return right === undefined ? left : `${left.padEnd(room + 1)}${LIGHT_ON_DARK}${right}${PLAIN}`
  })
}

/** What a terminal must be sent to show these lines, whatever was on it; `first` clears it. */
export function paint(lines: readonly string[], first: boolean): string {
  return `${first ? CLEAR : HOME}${lines.map((line) => `${line}${END_OF_LINE}`).join('\r\n')}\r\n${REST}`
}

function factLines({ about, says, isTrouble = false }: Fact, room: number): string[] {
  const head = `${isTrouble ? '!' : ' '} ${about.padEnd(HEAD)}`
  const lines: string[] = []
  let line = head
  for (const piece of says.filter((p) => p !== '').flatMap((p) => wrap(p, room - head.length - 1))) {
    const longer = `${line} ${line.length === head.length ? '' : ' '}${piece}`
    if (longer.length <= room || line.trim() === head.trim()) line = longer.slice(0, room)
    else {
      lines.push(line)
      line = `${' '.repeat(head.length)} ${piece}`
    }
  }
  return line.trim() === head.trim() && says.length > 0 && lines.length === 0 ? [] : [...lines, line]
}

/** Breaks at spaces where it can. Control characters never reach a terminal: much of this text comes from outside. */
export function wrap(text: string, room: number): string[] {
  const lines: string[] = []
  let rest = printable(text).trim()
  while (rest.length > room) {
    const space = rest.lastIndexOf(' ', room)
    const at = space > 0 ? space : room
    lines.push(rest.slice(0, at))
    rest = rest.slice(at).trimStart()
  }
  return rest === '' ? lines : [...lines, rest]
}

/** A plain line speaks ASCII. */
const printable = (text: string): string => text.replaceAll(/[^ -~]/g, '?')

const HEAD = 7
const ESC = '\u001b['
const LIGHT_ON_DARK = `${ESC}97;40m`
const PLAIN = `${ESC}0m`
const HOME = `${ESC}H`
/** Also hides the cursor: nobody types here. */
const CLEAR = `${PLAIN}${ESC}?25l${ESC}2J${HOME}`
const END_OF_LINE = `${ESC}K`
const REST = `${ESC}J`
