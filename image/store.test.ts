import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, onTestFinished, test } from 'vitest'
import { fingerprint, Store } from './store.ts'

function directory(): string {
  const dir = mkdtempSync(join(tmpdir(), 'ntm-store-'))
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }))
  return dir
}

test('a stage is made once for the same inputs, by one of two builds at once', async () => {
  const store = new Store(directory())
  let made = 0
  const make = async (dir: string) => {
    made++
    await sleep(50)
    writeFileSync(join(dir, 'it'), 'done')
  }
  const [one, other] = await Promise.all([store.keep('stage', ['a'], make), store.keep('stage', ['a'], make)])
  expect(made).toBe(1)
  expect(one).toBe(other)
  expect(readFileSync(join(one, 'it'), 'utf8')).toBe('done')
  expect(await store.keep('stage', ['b'], make)).not.toBe(one)
  expect(made).toBe(2)
})

test('a stage that failed half-way leaves nothing that counts', async () => {
  const store = new Store(directory())
  const broken = store.keep('stage', ['a'], async (dir) => {
    writeFileSync(join(dir, 'half'), '')
    throw new Error('no network')
  })
  await expect(broken).rejects.toThrow('no network')
  const kept = await store.keep('stage', ['a'], async (dir) => writeFileSync(join(dir, 'whole'), ''))
  expect(readdirSync(kept)).toEqual(['whole'])
})

test('a fingerprint changes with a byte, a name or an absence, and not with the time', () => {
  const dir = directory()
  const file = join(dir, 'file')
  writeFileSync(file, 'one')
  const before = fingerprint([dir])
  writeFileSync(file, 'one')
  expect(fingerprint([dir])).toBe(before)
  writeFileSync(file, 'two')
  expect(fingerprint([dir])).not.toBe(before)
  rmSync(file)
  expect(existsSync(file)).toBe(false)
  expect(fingerprint([file])).not.toBe(fingerprint([]))
})
