import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { loadPacketsAhead, packetsAhead } from './packets-ahead.ts'

const dir = mkdtempSync(join(tmpdir(), 'ntm-ahead-'))
afterAll(() => rmSync(dir, { recursive: true }))

test.each(['bridge', 'tt', 'relay', 'node'])(
  'role %s: its packet side is loaded, for the first who asks',
  async (role) => {
    loadPacketsAhead(['--set-clock', '--config', file(`# role = "coordinator"\nrole = "${role}"\n`)])
    const ahead = packetsAhead()
    expect(ahead?.isWhole).toBe(true)
    expect(packetsAhead()).toBeNull()
    await ahead?.worker.terminate()
  },
)

test.each([
  ['a coordinator, which has none', 'role = "coordinator"\n'],
  ['a role that is none', 'role = "bridgehead"\n'],
  ['a role of a table', '[other]\n role = "bridge"\n'],
  ['nothing', ''],
])('%s: nothing is loaded', (_, text) => {
  loadPacketsAhead(['--config', file(text)])
  expect(packetsAhead()).toBeNull()
})

test.each([[[]], [['--config']], [['--config', '/no/such/file']], [['--config', '/']]])(
  'arguments %j: nothing is loaded',
  (args) => {
    loadPacketsAhead(args)
    expect(packetsAhead()).toBeNull()
  },
)

function file(text: string): string {
  const path = join(dir, 'ntm.toml')
  writeFileSync(path, text)
  return path
}
