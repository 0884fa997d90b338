import { execFile } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { writeApp } from './app.ts'
import { REPOSITORY } from './layout.ts'
import { linkProgram } from './link.ts'

// The program as a box has it: linked, started with nothing of this clone around it.

const dir = mkdtempSync(join(tmpdir(), 'ntm-link-'))
const app = join(dir, 'app')
const run = promisify(execFile)
const ntm = (...args: readonly string[]) => run(process.execPath, [join(app, 'src/cli/ntm.js'), ...args], { cwd: '/' })

beforeAll(async () => {
  const addon = join(dir, 'addon')
  writeFileSync(addon, 'compiled for another processor, so never loaded here')
  expect(writeApp({ from: REPOSITORY, modules: join(REPOSITORY, 'node_modules'), addon }, app)).toEqual([])
  await linkProgram(app)
}, 120_000)
afterAll(() => rmSync(dir, { recursive: true, force: true }))

test('it is small in number, and whole: no module of the tree, no code of a package is left beside it', () => {
  const files = readdirSync(app, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.js'))
  expect(files.length).toBeLessThan(100)
  expect(files.filter((file) => file.includes('node_modules'))).toEqual([])
  for (const name of ['pino', 'zod']) expect(existsSync(join(app, 'node_modules', name, 'package.json'))).toBe(true)
})

test('it runs', async () => {
  const { version } = JSON.parse(readFileSync(join(REPOSITORY, 'package.json'), 'utf8')) as { version: string }
  expect((await ntm('version')).stdout).toBe(`ntm ${version}\n`)
  const { stdout } = await ntm('check', join(REPOSITORY, 'examples/bridge.toml'))
  expect(stdout).toContain('good, role bridge')
})

test('its modules find the addon and the thread’s program from where they lie now', async () => {
  const part = join(app, 'src/cli/linked/part.js')
  const code = `require('node:module').createRequire('${part}').resolve('#native/packet-io/build/packet-io.node')`
  expect((await run(process.execPath, ['-p', code])).stdout.trim()).toBe(
    join(app, 'native/packet-io/build/packet-io.node'),
  )
  expect(textOf(partWith('../worker/packet-worker'))).toMatch(
    /moduleBeside\(import\.meta\.url, "\.\.\/worker\/packet-worker"\)/,
  )
  expect(existsSync(join(app, 'src/cli/worker/packet-worker.js'))).toBe(true)
})

// Modules that need each other in a circle can be joined in an order that fails at once.
test('each part of it can be the first that is loaded', async () => {
  const linked = join(app, 'src/cli/linked')
  const parts = readdirSync(linked)
  expect(parts.length).toBeGreaterThan(10)
  const load = (part: string) => run(process.execPath, ['-e', `import('${join(linked, part)}')`])
  for (const part of parts) expect((await load(part)).stderr, part).toBe('')
}, 120_000)

/** The part that has this text in it. */
function partWith(text: string): string {
  const part = readdirSync(join(app, 'src/cli/linked')).find((name) => textOf(name).includes(text))
  if (part === undefined) throw new Error(`no part has ${text}`)
  return part
}

const textOf = (part: string): string => readFileSync(join(app, 'src/cli/linked', part), 'utf8')
