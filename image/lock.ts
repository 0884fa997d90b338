import { spawn } from 'node:child_process'
import { ImageError } from './fault.ts'
import { missing } from './run.ts'

/**
 * Does `work` while no other build does anything under the same lock file; waits for it otherwise, `limitSeconds` at most. The lock
 * belongs to a child that reads from us: if this process dies, however it dies, the child ends and the lock is free.
 */
export async function withLock<T>(path: string, work: () => Promise<T>, limitSeconds = 900): Promise<T> {
  const holder = spawn('flock', ['-w', String(limitSeconds), path, 'sh', '-c', 'echo held; exec cat'], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  const over = new Promise<void>((resolve) => holder.on('close', () => resolve()))
  await new Promise<void>((resolve, reject) => {
    holder.on('error', () => reject(new ImageError(missing(['flock']))))
    holder.on('close', () => reject(new ImageError(`another build holds ${path}, for ${limitSeconds} s by now`)))
    holder.stdout.once('data', () => resolve())
  })
  try {
    return await work()
  } finally {
    holder.stdin.end()
    await over
  }
}
