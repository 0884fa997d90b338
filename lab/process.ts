import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, openSync, readFileSync } from 'node:fs'
import { LabError } from './ip.ts'

/** How a finished command ended. `code` is null when a signal ended it. */
export type Outcome = {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
  readonly ms: number
}

export type RunOptions = {
  readonly input?: string
  /** Ended with SIGKILL after this many milliseconds; 60 s unless told. */
  readonly limitMs?: number
  readonly env?: NodeJS.ProcessEnv
  readonly cwd?: string
}

/** A long-running program of the lab. Its stdout and stderr go to `log`. It leads its own process group. */
export type Program = {
  readonly name: string
  readonly pid: number
  readonly log: string
  /** Resolves with the exit code, or the signal's name, when it is gone. */
  readonly exited: Promise<number | string>
  alive(): boolean
  /** Everything it wrote so far. */
  text(): string
  /** Sends `signal` to its whole group; nothing when it is gone. */
  kill(signal: NodeJS.Signals): void
  /** SIGTERM, then SIGKILL after `graceMs`; resolves when it is gone. */
  stop(graceMs?: number): Promise<void>
  /** Resolves with the first output line that matches; rejects with the log's tail when it exits or `limitMs` passes. */
  line(pattern: RegExp, limitMs?: number): Promise<string>
}

/** Runs a command to its end and collects what it says. Never rejects for a non-zero exit. */
export function collect(command: string, args: readonly string[], options: RunOptions = {}): Promise<Outcome> {
  const begun = performance.now()
  const child = spawn(command, args, {
    stdio: 'pipe',
    detached: true,
    ...(options.env === undefined ? {} : { env: options.env }),
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
  })
  const [out, err]: [Buffer[], Buffer[]] = [[], []]
  child.stdout.on('data', (chunk: Buffer) => out.push(chunk))
  child.stderr.on('data', (chunk: Buffer) => err.push(chunk))
  // A command that exits without reading its input is its own business.
  child.stdin.on('error', () => {})
  child.stdin.end(options.input ?? '')
  const timer = setTimeout(() => signalGroup(child.pid, 'SIGKILL'), options.limitMs ?? 60_000)
  return new Promise((resolve, reject) => {
    child.on('error', (fault) => {
      clearTimeout(timer)
      reject(new LabError(`${command}: ${fault.message}`))
    })
    child.on('close', (code) => {
      clearTimeout(timer)
      const ms = performance.now() - begun
      resolve({ code, stdout: Buffer.concat(out).toString(), stderr: Buffer.concat(err).toString(), ms })
    })
  })
}

/** Starts a program that stays. The caller ends it. */
export function start(
  name: string,
  command: string,
  args: readonly string[],
  log: string,
  options: Pick<RunOptions, 'env' | 'cwd'> = {},
): Program {
  const fd = openSync(log, 'a')
  const child: ChildProcess = spawn(command, args, { stdio: ['ignore', fd, fd], detached: true, ...options })
  closeSync(fd)
  let ended: number | string | null = null
  const exited = new Promise<number | string>((resolve) => {
    const end = (how: number | string): void => {
      ended = how
      resolve(how)
    }
    child.on('error', (fault) => end(fault.message))
    child.on('exit', (code, signal) => end(code ?? signal ?? 'unknown'))
  })
  const pid = child.pid ?? -1
  const text = (): string => readFileSync(log, 'utf8')
  const kill = (signal: NodeJS.Signals): void => {
    if (ended === null) signalGroup(pid, signal)
  }
  return {
    name,
    pid,
    log,
    exited,
    alive: () => ended === null,
    text,
    kill,
    stop: async (graceMs = 3000) => {
      kill('SIGTERM')
      const timer = setTimeout(() => kill('SIGKILL'), graceMs)
      await exited
      clearTimeout(timer)
    },
    line: async (pattern, limitMs = 15_000) => {
      const until = performance.now() + limitMs
      for (;;) {
        const gone = ended
        const found = text()
          .split('\n')
          .find((line) => pattern.test(line))
        if (found !== undefined) return found
        if (gone !== null) throw new LabError(`${name} ended (${gone}) before ${pattern}:\n${tail(text())}`)
        if (performance.now() > until) throw new LabError(`${name}: no ${pattern} in ${limitMs} ms:\n${tail(text())}`)
        await pause(10)
      }
    },
  }
}

/** Ends processes by id, blocking: SIGTERM, then SIGKILL for those still there after `graceMs`. */
export function endProcesses(pids: readonly number[], graceMs: number): void {
  if (pids.length === 0) return
  if (graceMs > 0) {
    for (const pid of pids) signalGroup(pid, 'SIGTERM')
    waitGone(pids, graceMs)
  }
  for (const pid of pids.filter(running)) {
    signalGroup(pid, 'SIGKILL')
    signalOne(pid, 'SIGKILL')
  }
  waitGone(pids, 2000)
}

/** Resolves after `ms` milliseconds. */
export const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

/** Asks `probe` every `everyMs` until it gives something other than null; throws LabError after `limitMs`. */
export async function until<T>(
  what: string,
  probe: () => Promise<T | null> | T | null,
  limitMs = 10_000,
  everyMs = 20,
): Promise<T> {
  const end = performance.now() + limitMs
  for (;;) {
    const found = await probe()
    if (found !== null) return found
    if (performance.now() > end) throw new LabError(`waited ${limitMs} ms in vain: ${what}`)
    await pause(everyMs)
  }
}

function waitGone(pids: readonly number[], limitMs: number): void {
  const cell = new Int32Array(new SharedArrayBuffer(4))
  const end = performance.now() + limitMs
  while (pids.some(running) && performance.now() < end) Atomics.wait(cell, 0, 0, 5)
}

/** A zombie is gone: nobody reaps while we block, so asking with signal 0 would wait for ever. */
function running(pid: number): boolean {
  try {
    return !/^\d+ \(.*\) [ZX]/s.test(readFileSync(`/proc/${pid}/stat`, 'utf8'))
  } catch {
    // No such process.
    return false
  }
}

function signalGroup(pid: number | undefined, signal: NodeJS.Signals): void {
  if (pid !== undefined && pid > 1) signalOne(-pid, signal)
}

function signalOne(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal)
  } catch {
    // ESRCH: already gone, which is what we want.
  }
}

const tail = (text: string): string => text.split('\n').slice(-15).join('\n')
