import { execFile, execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'
import { packetPortContract } from '#test/contract/packet-port.ts'
import { packetExtras } from './packet-extras.ts'
import { SCENES } from './packet-rigs.ts'

type Outcome = { readonly name: string; readonly fault: string }

// Each kind of port runs the contract in a child inside its own namespace (a vitest worker cannot enter one); the
// child reports every case.
for (const kind of Object.keys(SCENES)) {
  describe(`${kind} port`, async () => {
    const run = outcomes(kind)
    for (const { name } of [...packetPortContract, ...(packetExtras[kind] ?? [])]) {
      test(name, async () => {
        const { all, stderr } = await run
        const outcome = all.find((o) => o.name === name)
        expect(outcome, `the child never came to this case\n${stderr}`).toBeDefined()
        expect(outcome?.fault).toBe('')
      })
    }
  })
}

async function outcomes(kind: string): Promise<{ all: Outcome[]; stderr: string }> {
  const namespace = `ntm-pp-${kind}-${process.pid}`
  execFileSync('ip', ['netns', 'add', namespace])
  try {
    const child = join(import.meta.dirname, 'packet-port-child.ts')
    const { stdout, stderr } = await promisify(execFile)(
      'ip',
      ['netns', 'exec', namespace, process.execPath, child, kind],
      { timeout: 90_000 },
    ).catch((failed: { stdout: string; stderr: string }) => failed)
    const all = stdout
      .split('\n')
      .filter((line) => line.startsWith('{'))
      .map((line) => JSON.parse(line) as Outcome)
    return { all, stderr }
  } finally {
    execFileSync('ip', ['netns', 'del', namespace])
  }
}
