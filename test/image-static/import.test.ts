import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { ROOT } from '#lab/netns.ts'

// `import` with directories in place of partitions: what is mounted is there already. Judging what is new needs the box's own program and is
// tested with it (src/cli/appliance/import.test.ts) and in QEMU.

const LIB = join(ROOT, 'board/common/overlay/usr/lib/ntm')
const top = mkdtempSync(join(tmpdir(), 'ntm-import-'))
afterAll(() => rmSync(top, { recursive: true }))

describe('import', () => {
  test('an empty box is told that it only bridges', () => {
    const box = new Box()
    box.import()
    expect(box.read('run/config')).toMatch(/^state=none$/m)
  })

  test('after a factory reset the configuration that was in force is put aside', () => {
    const box = new Box()
    box.put('run/media/boot/ntm.toml', CONFIG)
    box.put('run/media/boot/ntm-report.txt', 'GOOD')
    box.put('data/forget', `boot=${box.sum()}\nstick=\n`)
    box.import()
    expect(box.read('run/media/boot/ntm.toml.before-reset')).toBe(CONFIG)
    expect(box.has('run/media/boot/ntm.toml')).toBe(false)
    expect(box.has('run/media/boot/ntm-report.txt')).toBe(false)
    expect(box.has('data/forget')).toBe(false)
    expect(box.read('run/config')).toMatch(/^state=none$/m)
    expect(box.read('console')).toContain('ntm.toml.before-reset')
  })

  test('one that was laid there for afterwards stays', () => {
    const box = new Box()
    box.put('run/media/boot/ntm.toml', 'role = "tt"\n')
    box.put('data/forget', `boot=${'0'.repeat(64)}\n`)
    box.import()
    expect(box.has('run/media/boot/ntm.toml')).toBe(true)
    expect(box.has('data/forget')).toBe(false)
  })

  test('a wish for a factory reset goes into the data partition, then from the medium, then the box starts anew', () => {
    const box = new Box()
    box.put('run/data', 'medium=disk\n')
    box.put('run/media/stick/factory-reset', '')
    box.import()
    expect(box.has('data/factory-reset')).toBe(true)
    expect(box.has('run/media/stick/factory-reset')).toBe(false)
    expect(box.read('console')).toMatch(/factory reset, as the file on stick asks.*systemctl --no-block reboot/s)
  })
})

const CONFIG = 'role = "bridge"\n'
let boxes = 0

class Box {
  readonly #dir = join(top, String(++boxes))

  constructor() {
    for (const dir of ['data/config', 'run/media/boot', 'run/media/stick', 'bin'])
      mkdirSync(this.path(dir), { recursive: true })
    for (const name of ['mount', 'umount', 'blkid', 'fsck.fat']) this.program(name, ':')
    this.program('mountpoint', 'exit 1')
    this.program('systemctl', `echo systemctl "$@" >>${this.path('console')}`)
  }

  path = (name: string): string => join(this.#dir, name)
  read = (name: string): string => readFileSync(this.path(name), 'utf8')
  has = (name: string): boolean => existsSync(this.path(name))
  put = (name: string, text: string): void => writeFileSync(this.path(name), text)
  program = (name: string, text: string): void =>
    writeFileSync(this.path(`bin/${name}`), `#!/bin/sh\n${text}\n`, { mode: 0o755 })

  /** The checksum that `import` notes of NTMBOOT. */
  sum(): string {
    const script = 'cd "$0"; { echo ntm.toml; sha256sum <ntm.toml; } | sha256sum | cut -c 1-64'
    return spawnSync('sh', ['-c', script, this.path('run/media/boot')], { encoding: 'utf8' }).stdout.trim()
  }

  import(): void {
    const env = {
      PATH: `${this.path('bin')}:${process.env['PATH']}`,
      NTM_LIB: LIB,
      NTM_DATA: this.path('data'),
      NTM_RUN: this.path('run'),
      NTM_CONSOLES: this.path('console'),
    }
    const done = spawnSync('busybox', ['sh', join(LIB, 'import')], { env, encoding: 'utf8' })
    expect(done.status, done.stderr).toBe(0)
  }
}
