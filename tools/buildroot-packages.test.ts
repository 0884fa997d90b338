import { expect, test } from 'vitest'
import { type LockEntry, runtimeTarballs, stale } from './buildroot-packages.ts'

const SHA512 = `sha512-${Buffer.alloc(64, 1).toString('base64')}`
const entry = (more: Partial<LockEntry> = {}): LockEntry => ({
  version: '1.2.3',
  integrity: SHA512,
  license: 'MIT',
  ...more,
})

test("Buildroot's packages are those of package-lock.json", () => {
  expect(stale()).toEqual([])
})

test('a package becomes a place in the registry, a file and a hash', () => {
  expect(runtimeTarballs({ packages: { '': entry(), 'node_modules/@scope/name': entry() } })).toEqual([
    {
      name: '@scope/name',
      version: '1.2.3',
      file: 'name-1.2.3.tgz',
      path: '@scope/name/-/name-1.2.3.tgz',
      sha512: '01'.repeat(64),
      license: 'MIT',
    },
  ])
})

test('what is only for development, or optional, stays out', () => {
  const packages = {
    'node_modules/a': entry({ dev: true }),
    'node_modules/b': entry({ optional: true }),
    'node_modules/c': entry({ devOptional: true }),
    'node_modules/d': entry(),
  }
  expect(runtimeTarballs({ packages }).map((t) => t.name)).toEqual(['d'])
})

test.each([
  ['two files of one name', { 'node_modules/@a/x': entry(), 'node_modules/@b/x': entry() }, 'same name'],
  ['code that runs when it is installed', { 'node_modules/a': entry({ hasInstallScript: true }) }, 'runs code'],
  ['a package inside another', { 'node_modules/a/node_modules/b': entry() }, 'nested'],
  ['a weaker hash', { 'node_modules/a': entry({ integrity: 'sha1-AAAA' }) }, 'not SHA-512'],
])('%s cannot be had from Buildroot, and that is said', (_, packages, why) => {
  expect(() => runtimeTarballs({ packages })).toThrow(why)
})
