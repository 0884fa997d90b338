import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { Keystore } from './keystore.ts'

function fresh(): string {
  const dir = mkdtempSync(join(tmpdir(), 'ntm-keystore-'))
  onTestFinished(() => rmSync(dir, { recursive: true }))
  return join(dir, 'state')
}

test('keys are readable by their owner only: directory 0700, files 0600', () => {
  const dir = fresh()
  new Keystore(dir).save('box.json', { secret: 'x' })
  expect(statSync(dir).mode & 0o777).toBe(0o700)
  expect(statSync(join(dir, 'box.json')).mode & 0o777).toBe(0o600)
})

test('a file that others could read is closed when it is loaded', () => {
  const dir = fresh()
  const store = new Keystore(dir)
  writeFileSync(join(dir, 'box.json'), '{"a":1}', { mode: 0o644 })
  expect(store.load('box.json')).toEqual({ a: 1 })
  expect(statSync(join(dir, 'box.json')).mode & 0o777).toBe(0o600)
})

test('saving replaces the whole; loading what is not there is null', () => {
  const store = new Keystore(fresh())
  expect(store.load('box.json')).toBeNull()
  store.save('box.json', { a: 1, b: 2 })
  store.save('box.json', { a: 3 })
  expect(store.load('box.json')).toEqual({ a: 3 })
})

test('half a file is a fault that names it, not an empty state', () => {
  const dir = fresh()
  const store = new Keystore(dir)
  writeFileSync(join(dir, 'box.json'), '{"a":')
  expect(() => store.load('box.json')).toThrow(`read ${join(dir, 'box.json')}`)
})

test('a file in place of the directory is a fault that names it', () => {
  const dir = fresh()
  writeFileSync(dir, '')
  expect(() => new Keystore(dir)).toThrow(`create ${dir}`)
})
