import { execFile, execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'

const NATIVE = join(import.meta.dirname, '../../native/packet-io')

/** The sanitizer's library; null without a compiler on this machine. */
export const libasan = findLibasan()

export const buildSanitized = (): void => {
  execFileSync('make', ['-C', NATIVE, 'sanitize'], { stdio: 'pipe' })
}

/** Runs a program on the sanitized addon. Rejects when it ends with an error, as a sanitizer makes it. Leaks are Node's own to judge, not looked at. */
export function sanitized(args: readonly string[], before: readonly string[] = []): Promise<{ stdout: string }> {
  const env = [
    `NTM_PACKET_IO=${join(NATIVE, 'build/packet-io.asan.node')}`,
    `LD_PRELOAD=${libasan}`,
    'ASAN_OPTIONS=detect_leaks=0',
  ]
  const [command = 'env', ...rest] = [...before, 'env', ...env, process.execPath, ...args]
  return promisify(execFile)(command, rest, { timeout: 90_000 })
}

function findLibasan(): string | null {
  try {
    const path = execFileSync('gcc', ['-print-file-name=libasan.so'], { stdio: 'pipe' }).toString().trim()
    return existsSync(path) ? path : null
  } catch {
    // Expected: no compiler on this machine.
    return null
  }
}
