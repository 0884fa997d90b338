import { execFile, execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { describeLab } from '#test/support/lab.ts'

type Outcome = { readonly name: string; readonly fault: string }

describeLab('the bridge’s rules on the real kernel', () => {
  // A vitest worker cannot enter a namespace: a child runs the cases in its own and reports each.
  test('every frame comes out once, where it should', { timeout: 90_000 }, async () => {
    const { all, stderr } = await outcomes()
    expect(
      all.filter((o) => o.fault !== ''),
      stderr,
    ).toEqual([])
    // No silent green: the last case was reached, and the table was walked.
    expect(all.at(-1)?.name, stderr).toBe('everything goes')
    expect(all.length).toBeGreaterThan(45)
  })
})

async function outcomes(): Promise<{ all: Outcome[]; stderr: string }> {
  const namespace = `ntm-rules-${process.pid}`
  execFileSync('ip', ['netns', 'add', namespace])
  try {
    const child = join(import.meta.dirname, 'bridge-rules-child.ts')
    const { stdout, stderr } = await promisify(execFile)('ip', ['netns', 'exec', namespace, process.execPath, child], {
      timeout: 80_000,
    }).catch((failed: { stdout: string; stderr: string }) => failed)
    const lines = stdout.split('\n').filter((line) => line.startsWith('{'))
    return { all: lines.map((line) => JSON.parse(line) as Outcome), stderr }
  } finally {
    execFileSync('ip', ['netns', 'del', namespace])
  }
}
