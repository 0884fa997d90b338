import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { IoFault } from '#io/fault.ts'

/** Keeps this process the only one at something; the result gives it back. IoFault when a living process has it; a dead one's is taken over. */
export function takeLock(file: string): () => void {
  mkdirSync(dirname(file), { recursive: true })
  for (const last of [false, true]) {
    try {
      writeFileSync(file, String(process.pid), { flag: 'wx' })
      return () => rmSync(file, { force: true })
    } catch (cause) {
      const held = holder(file)
      if (last || held !== null)
        throw new IoFault(`lock ${file}`, held === null ? cause : new Error(`process ${held} is at it`))
      rmSync(file, { force: true })
    }
  }
  throw new IoFault(`lock ${file}`, new Error('it comes back at once'))
}

/** The living process that has it; null when there is none. */
function holder(file: string): number | null {
  try {
    const pid = Number(readFileSync(file, 'utf8'))
    if (!Number.isSafeInteger(pid) || pid <= 0) return null
    process.kill(pid, 0)
    return pid
  } catch {
    // Not there any more, or its process is not.
    return null
  }
}
