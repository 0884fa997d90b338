import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { BoxMedia } from '#test/support/box-media.ts'
import { keptBox } from '../compose/box.ts'

const CHILD = join(import.meta.dirname, '../../../test/support/box-import-child.ts')
const KILLS = 6
const FIRST = 2

test('killed at any moment: one configuration, old or new, and whole; no membership and no token is lost', {
  timeout: 120_000,
}, async () => {
  const box = new BoxMedia()
  onTestFinished(() => box.destroy())
  const tokens: string[] = []
  let killed = 0
  for (let i = 0; i < KILLS; i++) {
    const child = spawn(process.execPath, [CHILD, box.dir, String(1000 * i)], { stdio: ['ignore', 'pipe', 'inherit'] })
    await once(child.stdout, 'data')
    const begun = performance.now()
    // The first kills fall into a box's very first configuration, the others between an old and a new one.
    if (i >= FIRST) await once(child.stdout, 'data')
    const turn = i < FIRST ? 60 : performance.now() - begun
    await new Promise((done) => setTimeout(done, Math.random() * 1.2 * turn))
    child.kill('SIGKILL')
    await once(child, 'exit')
    if (child.signalCode === 'SIGKILL') killed++

    const text = box.read('data/config/ntm.toml')
    const name = /hostname = "(h\d+)"/.exec(text ?? '')?.[1]
    if (text !== null) {
      expect(text).toMatch(/^role = "bridge"\n\[network\]\n# token[^\n]*\n\[appliance\]\nhostname = "h\d+"\n$/)
      expect(box.read('data/config/system/hostname')).toBe(`${name}\n`)
      expect(box.read('data/config/system/10-br0.network')).toContain('Name=br0')
      expect(box.read('data/config/token')).toMatch(/^ntm1-[0-9a-z]+\n$/)
    }
    const offered = box.read('stick/ntm.toml') ?? ''
    const wanted = /hostname = "(h\d+)"/.exec(offered)?.[1]
    // The token is in the box, or still where it came from.
    if (!/^token = /m.test(offered) && offered !== '') expect(wanted).toBe(name)

    // The next start finishes what was begun.
    const result = box.take()
    expect(['same', 'changed']).toContain(result)
    if (offered === '') continue
    expect(box.said).toMatchObject({ state: 'ok', role: 'bridge' })
    expect(box.read('data/config/system/hostname')).toBe(`${wanted}\n`)
    expect(box.read('stick/ntm.toml')).not.toMatch(/^token/m)
    tokens.push(box.read('data/config/token') ?? '')
  }
  expect(killed).toBe(KILLS)
  expect(new Set(tokens).size).toBeGreaterThan(1)
  // Everything the box ever was is in its place or aside.
  const places = ['ntm', ...box.list('data').filter((name) => name.startsWith('ntm.before-'))]
  const found = places.map((place) => keptBox(join(box.dir, 'data', place))?.member?.name)
  const enrolled = (box.read('enrolled') ?? '').trim().split('\n')
  expect(enrolled.length).toBeGreaterThanOrEqual(KILLS - FIRST)
  for (const name of enrolled) expect(found).toContain(name)
})
