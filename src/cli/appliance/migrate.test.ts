import { spawn } from 'node:child_process'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { type ConfigMigration, dataState, migrateData } from './migrate.ts'

// Real directories; programs of data version 1, 2 and 3 in place of the ones to come.

test('a fresh data partition gets a configuration of this version', async () => {
  const data = dir()
  expect(await migrateData(data, 2, STEPS)).toEqual({ do: 'make' })
  expect(dataState(data)).toEqual({ config: 2, copies: [] })
  expect(readFileSync(join(data, 'version'), 'utf8')).toBe('2\n')
})

test('older data is brought forward, and the old copy stays for the old slot', async () => {
  const data = dir()
  old(data)
  expect(await migrateData(data, 3, STEPS)).toEqual({ do: 'migrate', from: 1, steps: [1, 2] })
  expect(read(data, 'config')).toBe('role = "bridge"\n# two\n# three\n')
  expect(read(data, 'config.v1')).toBe('role = "bridge"\n')
  expect(dataState(data)).toEqual({ config: 3, copies: [1] })
  expect(await migrateData(data, 3, STEPS)).toEqual({ do: 'keep' })
})

test('the old program after going back has exactly what it had; the new one starts from there', async () => {
  const data = dir()
  old(data)
  await migrateData(data, 2, STEPS)
  expect(await migrateData(data, 1, STEPS)).toEqual({ do: 'take-copy', version: 1, instead: 2 })
  expect(read(data, 'config')).toBe('role = "bridge"\n')
  // It is configured anew meanwhile, and the next update counts from that.
  writeFileSync(join(data, 'config/set-1/ntm.toml'), 'role = "tt"\n')
  await migrateData(data, 2, STEPS)
  expect(read(data, 'config')).toBe('role = "tt"\n# two\n')
})

test('newer data without a copy is not touched', async () => {
  const data = dir()
  old(data)
  await migrateData(data, 3, STEPS)
  rmSync(join(data, 'config.v1'), { recursive: true })
  expect(await migrateData(data, 2, STEPS)).toMatchObject({ do: 'refuse' })
  expect(dataState(data).config).toBe(3)
})

test('a step that fails leaves everything as it was', async () => {
  const data = dir()
  old(data)
  const broken: ConfigMigration = { from: 1, what: 'nothing', apply: () => Promise.reject(new Error('no room')) }
  await expect(migrateData(data, 2, [broken])).rejects.toThrow(/no room/)
  expect(dataState(data)).toEqual({ config: 1, copies: [] })
  expect(read(data, 'config')).toBe('role = "bridge"\n')
})

test('killed at any moment: the next start of either program has its own configuration whole', {
  timeout: 60_000,
}, async () => {
  let cut = 0
  for (let i = 0; i < 12; i++) {
    const data = dir()
    old(data)
    const child = spawn(process.execPath, ['--input-type=module', '-e', KILLED, data], {
      stdio: ['ignore', 'pipe', 'inherit'],
      cwd: import.meta.dirname,
    })
    // The clock starts where the work does.
    await new Promise((done) => child.stdout.once('data', done))
    await new Promise((done) => setTimeout(done, i * 3))
    child.kill('SIGKILL')
    await new Promise((done) => child.once('close', done))
    if (dataState(data).config !== 3) cut += 1
    for (const program of i % 2 === 0 ? [1, 3] : [3, 1]) {
      await migrateData(data, program, STEPS)
      expect(read(data, 'config')).toBe(program === 1 ? 'role = "bridge"\n' : 'role = "bridge"\n# two\n# three\n')
    }
  }
  expect(cut, 'none was killed in the middle').toBeGreaterThan(0)
})

// Every state between two renames, made by hand: what no kill may happen to hit.
test.each([
  ['the copy is whole, nothing is moved', (d: string) => renameSync(join(d, 'made'), join(d, 'config.v2'))],
  [
    'moved away, the new one not yet there',
    (d: string) => {
      renameSync(join(d, 'made'), join(d, 'config.v2'))
      renameSync(join(d, 'config'), join(d, 'config.v1'))
    },
  ],
])('between two steps: %s', async (_, cut) => {
  for (const program of [1, 2]) {
    const data = dir()
    old(data)
    writeFileSync(join(data, 'config/version'), '1\n')
    tree(join(data, 'made'), 'role = "bridge"\n# two\n')
    writeFileSync(join(data, 'made/version'), '2\n')
    cut(data)
    await migrateData(data, program, STEPS)
    expect(read(data, 'config')).toBe(program === 1 ? 'role = "bridge"\n' : 'role = "bridge"\n# two\n')
  }
})

const append =
  (word: string) =>
  (at: string): void => {
    for (const name of readdirSync(at)) {
      const file = join(at, name, 'ntm.toml')
      if (name.startsWith('set-')) writeFileSync(file, `${readFileSync(file, 'utf8')}# ${word}\n`)
    }
  }
const STEPS: readonly ConfigMigration[] = [
  { from: 1, what: 'two', apply: append('two') },
  { from: 2, what: 'three', apply: append('three') },
]

/** The same steps in a process of its own. */
const KILLED = `
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { migrateData } from './migrate.ts'
const append = (word) => (at) => {
  for (const name of readdirSync(at)) if (name.startsWith('set-')) writeFileSync(at + '/' + name + '/ntm.toml', readFileSync(at + '/' + name + '/ntm.toml', 'utf8') + '# ' + word + '\\n')
}
process.stdout.write('now')
await migrateData(process.argv[1], 3, [{ from: 1, what: '', apply: append('two') }, { from: 2, what: '', apply: append('three') }])
setInterval(() => {}, 1000)
`

function dir(): string {
  const made = mkdtempSync(join(tmpdir(), 'ntm-migrate-'))
  onTestFinished(() => rmSync(made, { recursive: true, force: true }))
  return made
}

/** As the importer leaves it. */
function tree(at: string, text: string): void {
  mkdirSync(join(at, 'set-1'), { recursive: true })
  writeFileSync(join(at, 'set-1/ntm.toml'), text)
  symlinkSync('set-1', join(at, 'current'))
  symlinkSync('current/ntm.toml', join(at, 'ntm.toml'))
}

function old(data: string): void {
  tree(join(data, 'config'), 'role = "bridge"\n')
  writeFileSync(join(data, 'version'), '1\n')
}

function read(data: string, name: string): string | null {
  const file = join(data, name, 'ntm.toml')
  return existsSync(file) ? readFileSync(file, 'utf8') : null
}
