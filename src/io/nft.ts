import { type ChildProcessByStdio, spawn } from 'node:child_process'
import type { Readable, Writable } from 'node:stream'
import { IoFault } from './fault.ts'
import { run } from './run.ts'

/** Applies a script as one transaction: all of it or nothing. IoFault carries what nft said, with the line. */
export async function applyNft(script: string): Promise<void> {
  await run('nft', ['-f', '-'], { input: script })
}

/** Whether the kernel would take the script; changes nothing. IoFault as for `applyNft`. */
export async function checkNft(script: string): Promise<void> {
  await run('nft', ['-c', '-f', '-'], { input: script })
}

/**
 * nftables tables that live exactly as long as this process. One `nft -i` child holds the netlink socket: tables it
 * creates with `flags owner` are removed by the kernel when that socket closes, and the child ends when our end of its
 * standard input does, even after a `kill -9`. Such tables can be changed only through here. A command costs about
 * 0.3 ms, a spawned nft 4 ms and more.
 */
export class OwnedTables {
  readonly #child: ChildProcessByStdio<Writable, null, Readable>
  readonly #waiting: Waiting[] = []
  readonly #exited: Promise<void>
  #said = ''
  #serial = 0
  #fault: IoFault | null = null
  #closing = false
  #tellExit: (fault: IoFault) => void = () => {}

  /** IoFault is not thrown here: a missing nft shows at the first `run` and through `onExit`. */
  constructor() {
    // Its own session: an interrupt from the terminal must not take the tables away before we have stopped using them.
    this.#child = spawn('nft', ['-i'], { stdio: ['pipe', 'ignore', 'pipe'], detached: true })
    this.#child.stdin.on('error', () => {}) // expected: EPIPE when the child has gone; its exit is reported
    this.#child.stderr.setEncoding('utf8').on('data', (text: string) => this.#onText(text))
    this.#exited = new Promise((resolve) => {
      this.#child.on('error', (cause) => {
        this.#onEnd(new IoFault('nft -i', cause))
        resolve()
      })
      this.#child.on('close', (status, signal) => {
        const code = signal ?? `EXIT_${status}`
        this.#onEnd(new IoFault('nft -i', Object.assign(new Error(`ended: ${code}`), { code })))
        resolve()
      })
    })
    // Where the terminal is not known (an image without terminfo) the line editor in nft says so when it starts. That is no answer to anybody.
    this.#waiting.push({ marker: `${MARKER}${this.#serial}`, greeting: true })
    this.#child.stdin.write(`${MARKER}${this.#serial}\n`)
  }

  /** Process id of the child; for diagnosis. */
  get pid(): number | undefined {
    return this.#child.pid
  }

  /** Called once when the child ends without `close`: the tables are gone. */
  onExit(tell: (fault: IoFault) => void): void {
    this.#tellExit = tell
  }

  /**
   * Runs commands or a whole script as one transaction. Rejects with IoFault carrying nft's words when it refuses (then
   * nothing of it was done), when the child has ended, or when no answer came within 5 s.
   */
  run(commands: string): Promise<void> {
    if (this.#fault !== null) return Promise.reject(this.#fault)
    const marker = `${MARKER}${++this.#serial}`
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        reject(new IoFault('nft -i', Object.assign(new Error('no answer'), { code: 'ETIMEDOUT' })))
      }, ANSWER_MS)
      this.#waiting.push({ marker, greeting: false, resolve, reject, timer })
      // nft reports only failures. The marker is a line it cannot parse: its complaint comes after all that went before.
      this.#child.stdin.write(`${oneLine(commands)}\n${marker}\n`)
    })
  }

  /** Removes the tables by ending the child; resolves when it has ended. Safe to call twice. */
  async close(): Promise<void> {
    this.#closing = true
    this.#child.stdin.end()
    const kill = setTimeout(() => this.#child.kill('SIGKILL'), 1000)
    await this.#exited
    clearTimeout(kill)
  }

  #onText(text: string): void {
    this.#said += text
    for (let first = this.#waiting[0]; first !== undefined; first = this.#waiting[0]) {
      // The complaint about the marker: its error line, the line itself, and a caret line.
      const m = new RegExp(`^[^\\n]*\\n${first.marker}\\n[ ~]*\\^+[^\\n]*\\n`, 'm').exec(this.#said)
      if (m === null) return
      const before = this.#said.slice(0, m.index).trim()
      this.#said = this.#said.slice(m.index + m[0].length)
      this.#waiting.shift()
      if (first.greeting) continue
      clearTimeout(first.timer)
      if (before === '') first.resolve()
      else first.reject(new IoFault('nft -i', Object.assign(new Error(before), { code: 'REFUSED' })))
    }
  }

  #onEnd(fault: IoFault): void {
    if (this.#fault !== null) return
    this.#fault = fault
    for (const waiting of this.#waiting.splice(0)) {
      if (waiting.greeting) continue
      clearTimeout(waiting.timer)
      waiting.reject(fault)
    }
    if (!this.#closing) this.#tellExit(fault)
  }
}

type Waiting =
  | { readonly marker: string; readonly greeting: true }
  | {
      readonly marker: string
      readonly greeting: false
      readonly resolve: () => void
      readonly reject: (fault: IoFault) => void
      readonly timer: NodeJS.Timeout
    }

/**
 * A script as one line, because the interactive nft takes each line as a transaction. Comments go; a line end becomes
 * `;` where a statement ends and a space inside a list. Strings in quotes are kept.
 */
export function oneLine(script: string): string {
  return script
    .split('\n')
    .map((line) => line.replace(/^((?:[^"#]|"[^"]*")*)#.*$/, '$1').trim())
    .filter((line) => line !== '')
    .map((line, i, all) =>
      i === all.length - 1 ? line : /[{,;\\]$/.test(line) ? line.replace(/\\$/, '') : `${line} ;`,
    )
    .join(' ')
}

const MARKER = 'ntm-sync-'
const ANSWER_MS = 5000
