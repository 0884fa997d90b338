import { writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** Programs in `dir` that stand in for the machine's own, where it comes first in PATH: for each name what a shell runs in its place. */
export function standIns(dir: string, programs: Readonly<Record<string, string>>): void {
  for (const [name, body] of Object.entries(programs))
    writeFileSync(join(dir, name), `#!/bin/sh\n${body}\n`, { mode: 0o755 })
}
