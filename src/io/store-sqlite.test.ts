import { execFileSync } from 'node:child_process'
import { copyFileSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterAll, expect, test } from 'vitest'
import { coordinatorStoreContract } from '#test/contract/coordinator-store.ts'
import { SqliteStore } from './store-sqlite.ts'
import { MIGRATIONS, openDatabase } from './store-sqlite-schema.ts'

const dir = mkdtempSync(join(tmpdir(), 'ntm-store-'))
afterAll(() => rmSync(dir, { recursive: true }))
let files = 0
const fresh = (): string => join(dir, `${++files}.db`)

let path = ''
coordinatorStoreContract(
  () => {
    path = fresh()
    return new SqliteStore(path)
  },
  (store) => {
    store.close()
    return new SqliteStore(path)
  },
)

test('what was committed survives a kill in the middle of the next transaction', () => {
  const file = fresh()
  const script = `
    import { SqliteStore } from ${JSON.stringify(join(import.meta.dirname, 'store-sqlite.ts'))}
    const store = new SqliteStore(${JSON.stringify(file)})
    store.putNumber('serial', 7)
    store.transaction(() => {
      store.putNumber('serial', 8)
      process.kill(process.pid, 'SIGKILL')
      for (;;);
    })`
  expect(() => execFileSync(process.execPath, ['--input-type=module', '-e', script], { stdio: 'pipe' })).toThrow()
  const store = new SqliteStore(file)
  expect(store.number('serial')).toBe(7)
  store.close()
})

test('a file copied while open (a crash image: database and wal) opens with everything committed', () => {
  const file = fresh()
  const store = new SqliteStore(file)
  for (let i = 0; i < 50; i++) store.putNumber('serial', i)
  const image = fresh()
  expect([file, `${file}-wal`].map((f) => statSync(f).mode & 0o777)).toEqual([0o600, 0o600])
  copyFileSync(file, image)
  copyFileSync(`${file}-wal`, `${image}-wal`)
  store.close()
  const copy = new SqliteStore(image)
  expect(copy.number('serial')).toBe(49)
  copy.close()
})

test('a file that is no database, is foreign, damaged or from the future is refused with a sentence', () => {
  const text = fresh()
  writeFileSync(text, 'this is not a database at all, it is prose of more than one hundred bytes '.repeat(20))
  expect(() => new SqliteStore(text)).toThrow(/not a database/)

  const foreign = fresh()
  const other = new DatabaseSync(foreign)
  other.exec('CREATE TABLE recipes (name TEXT)')
  other.close()
  expect(() => new SqliteStore(foreign)).toThrow(/belongs to another program/)

  const future = fresh()
  new SqliteStore(future).close()
  const raised = new DatabaseSync(future)
  raised.exec('PRAGMA user_version = 99')
  raised.close()
  expect(() => new SqliteStore(future)).toThrow(/newer version \(schema 99/)

  const damaged = fresh()
  const store = new SqliteStore(damaged)
  store.transaction(() => {
    for (let i = 0; i < 500; i++) store.pin(`name-${i}.example`, new Uint8Array(16) as never)
  })
  store.close()
  const db = new DatabaseSync(damaged)
  const size = Number(db.prepare('PRAGMA page_count').get()?.['page_count']) * 4096
  db.close()
  const image = new Uint8Array(size).fill(0xa5)
  image.set(execFileSync('head', ['-c', '8192', damaged]))
  writeFileSync(damaged, image)
  expect(() => new SqliteStore(damaged)).toThrow(/damaged|malformed/)
  expect(() => new SqliteStore(join(dir, 'no', 'such', 'dir.db'))).toThrow(/open coordinator database/)
})

test('a migration keeps the rows; one that fails leaves the old version usable', () => {
  const file = fresh()
  const store = new SqliteStore(file)
  store.putNumber('serial', 5)
  store.close()
  expect(() => openDatabase(file, [...MIGRATIONS, 'CREATE TABLE later (a INTEGER) STRICT; SELECT nonsense;'])).toThrow()
  const still = new SqliteStore(file)
  expect(still.number('serial')).toBe(5)
  still.close()
  const next = openDatabase(file, [...MIGRATIONS, 'CREATE TABLE later (a INTEGER) STRICT;'])
  expect(next.prepare('SELECT value FROM number').get()?.['value']).toBe(5)
  expect(next.prepare('PRAGMA user_version').get()?.['user_version']).toBe(MIGRATIONS.length + 1)
  next.close()
})
