import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { FLOORS, ROOMS } from './rooms.ts'
import { codeOnly, type Import, importsOf, sources } from './scan.ts'

const SRC = join(import.meta.dirname, '../../src')
const files = sources(SRC)
const imports = files.flatMap((file) => importsOf(SRC, file))

test('the scan sees the source', () => {
  expect(files.length).toBeGreaterThan(20)
  expect(imports.length).toBeGreaterThan(20)
  expect(files.filter((f) => roomOf(f) === null)).toEqual([])
})

test('each room imports only the rooms on its card', () => {
  const wrong = imports.filter((i) => {
    const [from, to] = [roomOf(i.file), roomOf(i.target)]
    return from !== null && to !== null && from !== to && !(ROOMS[from].may as readonly string[]).includes(to)
  })
  expect(wrong.map(report)).toEqual([])
})

test('every imported file of the house exists', () => {
  const wrong = imports.filter((i) => /^[.#]/.test(i.spec) && roomOf(i.target) !== null && !files.includes(i.target))
  expect(wrong.map(report)).toEqual([])
})

test('ntm-lib floors only look down', () => {
  const floor = (path: string): number =>
    path.startsWith('ntm-lib/') ? FLOORS.indexOf(path.split('/')[1] as never) : -1
  const wrong = imports.filter((i) => floor(i.file) >= 0 && floor(i.target) > floor(i.file))
  expect(wrong.map(report)).toEqual([])
})

test('pure rooms touch no clock, no chance and no outside world', () => {
  const pure = files.filter((f) => {
    const room = roomOf(f)
    return room !== null && ROOMS[room].pure
  })
  const worldly = imports.filter((i) => pure.includes(i.file) && !/^[.#]/.test(i.spec) && !allowedPackage(i))
  const banned =
    /\b(Date\.now|new Date|performance\.now|Math\.random|setTimeout|setInterval|setImmediate|queueMicrotask|process\.|console\.|fetch\(|crypto\.)/g
  const uses = pure.flatMap((file) =>
    [...codeOnly(readFileSync(join(SRC, file), 'utf8')).matchAll(banned)].map((m) => `src/${file}: ${m[0]}`),
  )
  expect([...worldly.map(report), ...uses]).toEqual([])
})

test('no import cycles', () => {
  const next = Map.groupBy(
    imports.filter((i) => files.includes(i.target)),
    (i) => i.file,
  )
  const done = new Set<string>()
  const cycles: string[] = []
  const walk = (file: string, path: readonly string[]): void => {
    const seen = path.indexOf(file)
    if (seen >= 0) return void cycles.push([...path.slice(seen), file].join(' -> '))
    if (done.has(file)) return
    for (const i of next.get(file) ?? []) walk(i.target, [...path, file])
    done.add(file)
  }
  for (const file of files) walk(file, [])
  expect(cycles).toEqual([])
})

test('files stay small', () => {
  const long = files.filter((f) => readFileSync(join(SRC, f), 'utf8').split('\n').length > 300)
  expect(long).toEqual([])
})

test('each room has a card that names its neighbours truly', () => {
  const wrong = Object.entries(ROOMS).flatMap(([room, { may }]) => {
    const card = join(SRC, room, 'README.md')
    const want = `Knows: ${may.length === 0 ? 'nothing' : may.join(', ')}`
    return existsSync(card) && `${readFileSync(card, 'utf8')}\n`.includes(`\n${want}\n`)
      ? []
      : [`src/${room}/README.md should say "${want}"`]
  })
  expect(wrong).toEqual([])
})

function roomOf(path: string): keyof typeof ROOMS | null {
  const name = path.split('/')[0] ?? ''
  return name in ROOMS ? (name as keyof typeof ROOMS) : null
}

function allowedPackage(i: Import): boolean {
  const room = roomOf(i.file)
  return room !== null && (ROOMS[room].packages as readonly string[]).includes(i.spec)
}

function report(i: Import): string {
  return `src/${i.file}:${i.line} imports ${i.spec}`
}
