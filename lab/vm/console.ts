import { appendFileSync, writeFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { LabError } from '../ip.ts'
import { pause } from '../process.ts'

/** One line that a box wrote on a serial port. `atMs`: since power came. */
export type ConsoleLine = { readonly atMs: number; readonly text: string }

/** What a box says on its serial ports, line by line, with times; also in a file, as it comes. */
export class Console {
  readonly log: string
  readonly lines: ConsoleLine[] = []
  #sockets: Socket[] = []
  #poweredOn = performance.now()
  #hear: (line: ConsoleLine) => void = () => {}

  constructor(log: string) {
    this.log = log
    writeFileSync(log, '')
  }

  /** Connects to the serial ports' sockets; times count from now on. The ports' owner must be about to listen. */
  async attach(paths: readonly string[], limitMs: number): Promise<void> {
    for (const path of paths) {
      const socket = await connectTo(path, limitMs)
      let rest = ''
      socket.on('data', (chunk: Buffer) => {
        const pieces = (rest + chunk.toString('latin1')).split('\n')
        rest = pieces.pop() ?? ''
        for (const piece of pieces) this.#take(piece)
        // A prompt or a progress bar without an end of line would otherwise grow for ever.
        if (rest.length > 4000) {
          this.#take(rest)
          rest = ''
        }
      })
      // The box was killed while something was still on its way.
      socket.on('error', () => {})
      this.#sockets.push(socket)
    }
    this.#poweredOn = performance.now()
  }

  detach(): void {
    for (const socket of this.#sockets) socket.destroy()
    this.#sockets = []
  }

  onLine(hear: (line: ConsoleLine) => void): void {
    this.#hear = hear
  }

  /** Milliseconds since power came. */
  get nowMs(): number {
    return performance.now() - this.#poweredOn
  }

  /** Types on the first serial port. */
  write(text: string): void {
    this.#sockets[0]?.write(text)
  }

  /** First line from line `since` on that matches; null when none does. */
  find(pattern: RegExp, since = 0): ConsoleLine | null {
    for (let i = since; i < this.lines.length; i++) {
      const line = this.lines[i]
      if (line !== undefined && pattern.test(line.text)) return line
    }
    return null
  }

  /** The last lines, for messages. */
  tail(count = 25): string {
    return this.lines.slice(-count).map(printed).join('\n')
  }

  #take(raw: string): void {
    const text = readable(raw)
    if (text === '') return
    const line = { atMs: this.nowMs, text }
    this.lines.push(line)
    appendFileSync(this.log, `${printed(line)}\n`)
    this.#hear(line)
  }
}

/** `  12.345 text`: seconds since power came. */
export const printed = ({ atMs, text }: ConsoleLine): string => `${(atMs / 1000).toFixed(3).padStart(8)} ${text}`

/** Without escape sequences (colours, cursor movements of a boot loader) and other control characters. */
function readable(raw: string): string {
  return Buffer.from(raw, 'latin1').toString('utf8').replaceAll(ESCAPES, '').replaceAll(CONTROLS, '').trimEnd()
}

/** Connects to a unix socket that another program is about to make. */
export async function connectTo(path: string, limitMs: number): Promise<Socket> {
  const end = performance.now() + limitMs
  for (;;) {
    const socket = await new Promise<Socket | null>((resolve) => {
      const trial = connect(path)
      trial.once('connect', () => resolve(trial))
      trial.once('error', () => resolve(null))
    })
    if (socket !== null) return socket
    if (performance.now() > end) throw new LabError(`nobody listens at ${path}`)
    await pause(50)
  }
}

const ESCAPE = '\\u001b'
const ESCAPES = new RegExp(`${ESCAPE}\\[[0-9;?=]*[A-Za-z]|${ESCAPE}[()][A-Z0-9]|${ESCAPE}[A-Za-z=>78]`, 'g')
const CONTROLS = /[^\P{Cc}\t]/gu
