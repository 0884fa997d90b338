import { spawn } from 'node:child_process'
import { createWriteStream, existsSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { ImageError } from './fault.ts'

export type RunOptions = {
  readonly cwd?: string
  readonly input?: string
  /** Added to the build's own environment; undefined removes. */
  readonly env?: Readonly<Record<string, string | undefined>>
  /** Where stdout goes, instead of the answer. */
  readonly into?: string
}

/** Runs a command to its end and answers with what it wrote. ImageError, with the end of its output, when it fails. */
export function run(command: string, args: readonly string[], options: RunOptions = {}): Promise<string> {
  const child = spawn(command, args, {
    cwd: options.cwd,
    stdio: 'pipe',
    env: { ...process.env, LC_ALL: 'C', TZ: 'UTC', ...options.env },
  })
  const [out, err]: [Buffer[], Buffer[]] = [[], []]
  const written = options.into === undefined ? null : child.stdout.pipe(createWriteStream(options.into))
  if (written === null) child.stdout.on('data', (chunk: Buffer) => out.push(chunk))
  child.stderr.on('data', (chunk: Buffer) => err.push(chunk))
  // A command that ends without reading its input says why by its exit code.
  child.stdin.on('error', () => {})
  child.stdin.end(options.input ?? '')
  return new Promise((resolve, reject) => {
    child.on('error', (fault: NodeJS.ErrnoException) => {
      reject(new ImageError(fault.code === 'ENOENT' ? missing([command]) : `${command}: ${fault.message}`))
    })
    child.on('close', (code, signal) => {
      const text = Buffer.concat(out).toString()
      const said = `${text}\n${Buffer.concat(err).toString()}`.trim().split('\n').slice(-20).join('\n')
      const end = signal ?? `exit code ${code}`
      if (code !== 0) reject(new ImageError(`${command} ${args.slice(0, 3).join(' ')} … failed (${end}):\n${said}`))
      else if (written === null || written.closed) resolve(text)
      else written.on('close', () => resolve(text))
    })
  })
}

/** Of these commands, those that this machine does not have. */
export function absent(commands: readonly string[]): readonly string[] {
  const places = (process.env['PATH'] ?? '').split(delimiter)
  return commands.filter((command) => !places.some((place) => existsSync(join(place, command))))
}

/** What to do about missing commands. */
export function missing(commands: readonly string[]): string {
  return `this machine lacks ${commands.join(', ')}; run: sudo make setup-image`
}
