import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { collect, type Outcome } from '#lab/process.ts'

const NTM = join(import.meta.dirname, '../../src/cli/ntm.ts')

/** The real command in a process of its own, as a person would type it. */
export const ntm = (...args: string[]): Promise<Outcome> =>
  collect(process.execPath, [NTM, ...args], { limitMs: 20_000 })

/** A directory for one test file, and how to be rid of it. */
export function scratch(): { readonly dir: string; remove(): void } {
  const dir = mkdtempSync(join(tmpdir(), 'ntm-cli-'))
  return { dir, remove: () => rmSync(dir, { recursive: true, force: true }) }
}
