import { spawnSync } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { keyValues } from '#lab/vm/ssh.ts'

// /usr/lib/ntm/import, where nothing new lies on NTMBOOT: the usual start, without Node. What is new is in test/image/configuration.test.ts.

const ROOT = join(import.meta.dirname, '../..')
const TOOLS = join(ROOT, 'board/common/overlay/usr/lib/ntm')
const REPORT = 'NTM box: what became of this configuration\r\n\r\nGOOD: in force, role bridge.\r\n'

test('a healthy box writes nothing on NTMBOOT', () => {
  const box = new Box({ medium: 'disk', why: '' })
  box.put(REPORT)
  box.look()
  expect([box.report(), box.mounts()]).toEqual([REPORT, 'ro\n'])
})

test('trouble with data stands at the end of the report while it lasts, and is written when it changes', () => {
  const box = new Box({ medium: 'disk', why: 'its disk reports errors' })
  box.put(REPORT)
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

test('what was taken before counts as new when it was lost since', () => {
  const box = new Box({ medium: 'disk', why: '' })
  box.put('role = "bridge"\n', 'ntm.toml')
  box.looked()
  box.look()
  expect(box.state()).toMatchObject({ state: 'ok' })
  rmSync(box.at('data/config/ntm.toml'))
  // Nobody here can judge it; but it is asked to.
  box.look()
  expect(box.state()).toMatchObject({ state: 'kept', why: expect.stringMatching(/^what boot bears/) })
})

class Box {
  readonly #dir = mkdtempSync(join(tmpdir(), 'ntm-import-'))

  constructor(data: Readonly<Record<string, string>>) {
    onTestFinished(() => rmSync(this.#dir, { recursive: true, force: true }))
    for (const dir of ['bin', 'run/media/boot', 'data/config']) mkdirSync(this.at(dir), { recursive: true })
    writeFileSync(this.at('data/config/ntm.toml'), 'role = "bridge"\n')
    this.data(data)
    // What is mounted there lies there; how is noted. No stick, nothing to mend.
    const programs = {
      mount: `case "$2" in remount*) echo "$2" ;; *) echo "$4" | cut -d , -f 1 ;; esac >>${this.at('mounts')}`,
      umount: ':',
      mountpoint: ':',
      blkid: ':',
      systemctl: ':',
      'fsck.fat': ':',
    }
    for (const [name, body] of Object.entries(programs)) {
      writeFileSync(this.at(`bin/${name}`), `#!/bin/sh\n${body}\n`)
      chmodSync(this.at(`bin/${name}`), 0o755)
    }
  }

  /** What `/usr/lib/ntm/data` said. */
  data(words: Readonly<Record<string, string>>): void {
    const lines = Object.entries(words).map(([key, value]) => `${key}=${value}\n`)
    writeFileSync(this.at('run/data'), lines.join(''))
  }

  put = (text: string, name = 'ntm-report.txt'): void => writeFileSync(this.at(`run/media/boot/${name}`), text)

  /** Notes what lies on NTMBOOT as taken. */
  looked(): void {
    const sum = 'printf "ntm.toml\\n"; sha256sum <ntm.toml'
    const { stdout } = spawnSync('sh', ['-c', `{ ${sum}; } | sha256sum`], {
      cwd: this.at('run/media/boot'),
      encoding: 'utf8',
    })
    writeFileSync(this.at('data/looked'), `boot=${stdout.slice(0, 64)}\nstick=\n`)
  }

  look(): void {
    rmSync(this.at('mounts'), { force: true })
    const env = {
      ...process.env,
      PATH: `${this.at('bin')}:${process.env['PATH']}`,
      NTM_LIB: TOOLS,
      NTM_RUN: this.at('run'),
      NTM_DATA: this.at('data'),
      NTM_CONSOLES: this.at('console'),
    }
    const { status, stderr } = spawnSync('sh', [join(TOOLS, 'import')], { env, encoding: 'utf8', timeout: 20_000 })
    expect(status, stderr).toBe(0)
  }

  report = (): string | null => this.#read('run/media/boot/ntm-report.txt')
  mounts = (): string | null => this.#read('mounts')
  state = (): Readonly<Record<string, string>> => keyValues(this.#read('run/config') ?? '')
  at = (name: string): string => join(this.#dir, name)

  #read = (name: string): string | null => (existsSync(this.at(name)) ? readFileSync(this.at(name), 'utf8') : null)
}
