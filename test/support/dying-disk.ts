import fs from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'

/** What changes a disk. Reading and closing go on: a process that is gone does neither, and neither shows. */
const CHANGES = [
  'writeSync',
  'fsyncSync',
  'renameSync',
  'symlinkSync',
  'rmSync',
  'mkdirSync',
  'chmodSync',
  'fchmodSync',
  'chownSync',
  'ftruncateSync',
  'writeFileSync',
  'openSync',
] as const

/**
 * Runs something synchronous whose `nth` change of the disk, and every one after it, does not happen: what is left is what a power cut would have left.
 * How many changes there were to be, as far as it came.
 */
export function dyingAt(nth: number, run: () => void): number {
  const before = CHANGES.map((name) => fs[name])
  let count = 0
  for (const name of CHANGES) {
    const real = fs[name] as (...args: unknown[]) => unknown
    const dying = (...args: unknown[]): unknown => {
      const reads = name === 'openSync' && args[1] === 'r'
      if (!reads && ++count >= nth) throw Object.assign(new Error('the power is gone'), { code: 'EIO' })
      return real(...args)
    }
    Object.assign(fs, { [name]: dying })
  }
  syncBuiltinESMExports()
  try {
    run()
  } catch {
    // As it had to be.
  } finally {
    for (const [i, name] of CHANGES.entries()) Object.assign(fs, { [name]: before[i] })
    syncBuiltinESMExports()
  }
  return count
}
