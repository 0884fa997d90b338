import { spawnSync } from 'node:child_process'

/** A command that the lab itself needed did not work; the message carries the command and what it said. */
export class LabError extends Error {}

/** Runs `lines` as one `ip -batch`, inside namespace `netns` (null: outside). `go-on` does not stop at a failing line. */
export function ipBatch(netns: string | null, lines: readonly string[], mode: 'stop' | 'go-on' = 'stop'): void {
  if (lines.length === 0) return
  const args = [...(mode === 'go-on' ? ['-force'] : []), ...(netns === null ? [] : ['-n', netns]), '-batch', '-']
  const done = spawnSync('ip', args, { input: `${lines.join('\n')}\n`, encoding: 'utf8' })
  if (done.status === null) throw new LabError(`ip: ${done.error?.message ?? done.signal}`)
  if (mode === 'stop' && done.status !== 0) {
    throw new LabError(`ip -batch in ${netns ?? 'the machine'}: ${done.stderr.trim()}\n  ${lines.join('\n  ')}`)
  }
}

/** Names of all network namespaces of the machine. */
export function namespaces(): string[] {
  const done = spawnSync('ip', ['netns', 'list'], { encoding: 'utf8' })
  return (done.stdout ?? '')
    .split('\n')
    .map((line) => line.split(' ')[0] ?? '')
    .filter((name) => name !== '')
}

/** Processes that live in namespace `netns`. */
export function pidsIn(netns: string): number[] {
  const done = spawnSync('ip', ['netns', 'pids', netns], { encoding: 'utf8' })
  return (done.stdout ?? '')
    .split('\n')
    .filter((line) => line !== '')
    .map(Number)
}

/** Runs `command` to its end inside `netns` with `input` on stdin; throws LabError when it fails. Returns stdout. */
export function runIn(netns: string, command: string, args: readonly string[], input = ''): string {
  const done = spawnSync('ip', ['netns', 'exec', netns, command, ...args], { input, encoding: 'utf8' })
  // With a status there may still be an EPIPE: it ended before reading its input, and says why on stderr.
  if (done.status === null) throw new LabError(`${command}: ${done.error?.message ?? done.signal}`)
  if (done.status !== 0) {
    throw new LabError(`${command} ${args.join(' ')} in ${netns}: ${done.stderr.trim() || `exit ${done.status}`}`)
  }
  return done.stdout
}
