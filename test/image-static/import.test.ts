import { mkdirSync, rmSync } from 'node:fs'
import { expect, test } from 'vitest'
import { ImportBox } from '#test/support/import-box.ts'

// /usr/lib/ntm/import, where nothing new lies on NTMBOOT: the usual start, without Node. What is new is in test/image/configuration.test.ts.

const REPORT = 'NTM box: what became of this configuration\r\n\r\nGOOD: in force, role bridge.\r\n'

test('a healthy box writes nothing on NTMBOOT', () => {
  const box = new Box({ medium: 'disk', why: '' })
  box.onBoot(REPORT)
  box.look()
  expect([box.report(), box.mounts()]).toEqual([REPORT, 'ro\n'])
})

test('trouble with data stands at the end of the report while it lasts, and is written when it changes', () => {
  const box = new Box({ medium: 'disk', why: 'its disk reports errors' })
  box.onBoot(REPORT)
  box.look()
  const failing = `${REPORT}TROUBLE: data partition: its disk reports errors. Replace the disk before it fails.\r\n`
  expect([box.report(), box.mounts()]).toEqual([failing, 'ro\nremount,rw\n'])
  box.look()
  expect([box.report(), box.mounts()]).toEqual([failing, 'ro\n'])
  box.data({ medium: 'ram', why: 'it is full' })
  box.look()
  const ram =
    'TROUBLE: the box works from RAM, for its data partition cannot be used: it is full. Changes are forgotten at its next start.\r\n'
  expect(box.report()).toBe(`${REPORT}${ram}`)
  box.data({ medium: 'disk', why: '' })
  box.look()
  expect(box.report()).toBe(REPORT)
})

test('where there was no report, there is one only as long as there is trouble', () => {
  const box = new Box({ medium: 'ram', why: 'there is no data partition' })
  box.look()
  expect(box.report()).toMatch(/^TROUBLE: .*no data partition/)
  box.data({ medium: 'disk', why: '' })
  box.look()
  expect(box.report()).toBeNull()
})

test('all that lies there counts, also a network with names of any kind', () => {
  const box = new Box({ medium: 'disk', why: '' })
  for (const name of ['token', 'ntm.toml.txt', 'ntm.toml']) box.onBoot(name, name)
  mkdirSync(box.at('run/media/boot/network/a b'), { recursive: true })
  for (const name of ['network/z', 'network/a b/c', 'network/network.json']) box.onBoot(name, name)
  box.looked()
  box.look()
  expect(box.state()).toMatchObject({ state: 'ok' })
  box.onBoot('other', 'network/a b/c')
  box.look()
  expect(box.state()).toMatchObject({ state: 'kept' })
})

test('what was taken before counts as new when it was lost since', () => {
  const box = new Box({ medium: 'disk', why: '' })
  box.onBoot('role = "bridge"\n', 'ntm.toml')
  box.looked()
  box.look()
  expect(box.state()).toMatchObject({ state: 'ok' })
  rmSync(box.at('data/config/ntm.toml'))
  // Nobody here can judge it; but it is asked to.
  box.look()
  expect(box.state()).toMatchObject({ state: 'kept', why: expect.stringMatching(/^what boot bears/) })
})

/** A configured box, and what `/usr/lib/ntm/data` said in it. */
class Box extends ImportBox {
  constructor(data: Readonly<Record<string, string>>) {
    super()
    this.put('data/config/ntm.toml', 'role = "bridge"\n')
    this.data(data)
  }

  data(words: Readonly<Record<string, string>>): void {
    const lines = Object.entries(words).map(([key, value]) => `${key}=${value}\n`)
    this.put('run/data', lines.join(''))
  }

  onBoot = (text: string, name = 'ntm-report.txt'): void => this.put(`run/media/boot/${name}`, text)
  /** Notes what lies on NTMBOOT as taken. */
  looked = (): void => this.put('data/looked', `boot=${this.sum()}\nstick=\n`)
  report = (): string | null => this.read('run/media/boot/ntm-report.txt')
  mounts = (): string | null => this.read('mounts')
}
