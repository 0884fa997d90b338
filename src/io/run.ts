import { spawn } from 'node:child_process'
import { IoFault } from './fault.ts'

export type RunOptions = {
  readonly input?: string
  /** Killed after this long; 10 s by default. */
  readonly withinMs?: number
}

/**
 * Runs a program to its end and returns what it printed. IoFault when it cannot be started, says no (code `EXIT_1`, the
 * message carries what it wrote to stderr) or takes too long (`SIGKILL`).
 */
export function run(command: string, args: readonly string[], options: RunOptions = {}): Promise<string> {
  const op = [command, ...args].join(' ')
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { timeout: options.withinMs ?? 10_000, killSignal: 'SIGKILL' })
    const out: Buffer[] = []
    const err: Buffer[] = []
    child.stdout.on('data', (chunk: Buffer) => out.push(chunk))
    child.stderr.on('data', (chunk: Buffer) => err.push(chunk))
    // Expected: the program ended without reading its input; its exit tells more than EPIPE does.
    child.stdin.on('error', () => {})
    child.stdin.end(options.input ?? '')
    child.on('error', (cause) => reject(new IoFault(op, cause)))
    child.on('close', (status, signal) => {
      if (status === 0) return resolve(Buffer.concat(out).toString())
      const code = signal ?? `EXIT_${status}`
      const said = Buffer.concat(err).toString().trim()
      reject(new IoFault(op, Object.assign(new Error(said === '' ? code : said), { code })))
    })
  })
}
