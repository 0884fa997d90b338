import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { keyValues } from '#lab/vm/ssh.ts'
import { standIns } from '#test/support/stand-ins.ts'

// /usr/lib/ntm/data, its look at a partition in use: what the kernel says of disk and mounts is given in files, mounting puts a directory in
// place of another. Real partitions that are damaged, full or failing: test/image/data.test.ts.

const ROOT = join(import.meta.dirname, '../..')
const TOOLS = join(ROOT, 'board/common/overlay/usr/lib/ntm')

test('nothing is wrong: nothing is written, said or started', () => {
  const box = new Box()
  box.kernel(
    '[    1.0] EXT4-fs (vda8): mounted filesystem',
    '[ 9.9] I/O error, dev vda, sector 999 op 0x0:(READ) flags 0x0',
  )
  expect(box.watch()).toEqual({ medium: 'disk', why: '' })
  expect([box.said(), box.asked()]).toEqual(['', ''])
})

test.each([
  '[ 61.0] I/O error, dev vda, sector 1000 op 0x0:(READ) flags 0x80700 phys_seg 1 prio class 2',
  '[ 61.0] blk_update_request: I/O error, dev vda, sector 1999 op 0x1:(WRITE) flags 0x0',
  '[ 61.0] Buffer I/O error on dev vda8, logical block 3, async page read',
  '[ 61.0] EXT4-fs error (device vda8): ext4_find_entry:1612: inode #2: comm cat: reading directory lblock 0',
])('its disk fails in places (%s): said once, for the report too; the program is not disturbed', (line) => {
  const box = new Box()
  box.kernel('[ 9.9] I/O error, dev vda, sector 2000 op 0x0:(READ)', line)
  expect(box.watch()).toEqual({ medium: 'disk', why: 'its disk reports errors' })
  expect(box.said()).toBe(
    'ntm-data: the disk reports errors in the data partition. It still works; replace it before it does not\n',
  )
  expect(box.asked()).toBe('--no-block restart ntm-import.service\n')
  box.kernel(line, line)
  expect(box.watch()).toEqual({ medium: 'disk', why: 'its disk reports errors' })
  expect(box.said().split('\n')).toHaveLength(2)
})

test('other disks and partitions are somebody else’s', () => {
  const box = new Box()
  box.kernel(
    '[ 61.0] I/O error, dev vdaa, sector 1000 op 0x0:(READ)',
    '[ 61.0] I/O error, dev sda, sector 1000 op 0x0:(READ)',
    '[ 61.0] Buffer I/O error on dev vda80, logical block 3, async page read',
    '[ 61.0] EXT4-fs error (device vda80): x',
  )
  expect(box.watch()).toEqual({ medium: 'disk', why: '' })
})

test('it fails and cannot be written any more: RAM, with what can be read, and what runs is told', () => {
  const box = new Box()
  box.kernel('[ 61.0] Buffer I/O error on dev vda8, logical block 3, lost async page write')
  mkdirSync(join(box.data, '.try'))
  expect(box.watch()).toEqual({ medium: 'ram', why: 'it cannot be written' })
  expect(box.said()).toMatch(/^ntm-data: works from RAM, .*: it cannot be written\. /)
  expect(box.asked()).toBe('--no-block try-restart ntm.service\n--no-block restart ntm-import.service\n')
  const kept = ['config/ntm.toml', 'looked', 'update/pending']
  expect(kept.map((name) => readFileSync(join(box.data, name), 'utf8'))).toEqual(kept)
  expect(['update/big.raucb', 'log'].map((name) => existsSync(join(box.data, name)))).toEqual([false, false])
  // RAM is not looked after.
  expect(box.watch()).toEqual({ medium: 'ram', why: 'it cannot be written' })
})

test('the kernel has made it read-only: RAM', () => {
  const box = new Box()
  box.mounted('ro,nosuid')
  expect(box.watch()).toEqual({ medium: 'ram', why: 'it has become read-only (errors)' })
})

test('a factory reset of a box in RAM: the wish is kept on its partition, where that takes it; else a new file system is made', () => {
  const box = new Box()
  writeFileSync(box.at('run/data'), 'medium=ram\nwhy=it is full\n')
  box.run('reset', 'ntm reset')
  expect(existsSync(box.at('run/reset-data/factory-reset'))).toBe(true)
  expect(existsSync(join(box.data, 'factory-reset'))).toBe(false)
  expect(box.asked()).toBe('')
  box.refusesMounts()
  box.run('reset', 'ntm reset')
  expect(box.asked()).toBe(`mke2fs -q -F -F -t ext4 -L NTMDATA ${box.at('dev/ntm/data')}\n`)
})

class Box {
  readonly data: string
  readonly #dir = mkdtempSync(join(tmpdir(), 'ntm-data-'))

  constructor() {
    onTestFinished(() => rmSync(this.#dir, { recursive: true, force: true }))
    this.data = join(this.#dir, 'data')
    for (const dir of ['bin', 'run', 'dev/ntm', 'blocks/vda8', 'data/config', 'data/update', 'data/log'])
      mkdirSync(this.at(dir), { recursive: true })
    for (const name of ['config/ntm.toml', 'looked', 'update/pending', 'update/big.raucb', 'version'])
      writeFileSync(join(this.data, name), name)
    for (const [link, to] of [
      ['data', '../vda8'],
      ['disk', '../vda'],
    ] as const)
      symlinkSync(to, this.at(`dev/ntm/${link}`))
    writeFileSync(this.at('blocks/vda8/start'), '1000\n')
    writeFileSync(this.at('blocks/vda8/size'), '1000\n')
    writeFileSync(this.at('run/data'), 'medium=disk\nwhy=\n')
    this.kernel()
    this.mounted('rw,noatime')
    standIns(this.at('bin'), {
      dmesg: `cat ${this.at('kmsg')}`,
      systemctl: `echo "$*" >>${this.at('asked')}`,
      // A tmpfs is a directory; a copy of it is what is seen then.
      mount: `case "$2" in ext4) [ ! -e ${this.at('no-mounts')} ] ;; bind) rm -rf "$4"; cp -a "$3" "$4" ;; esac`,
      mountpoint: 'exit 0',
      umount: ':',
      chown: ':',
      mke2fs: `echo mke2fs "$*" >>${this.at('asked')}`,
    })
  }

  /** The kernel's log. */
  kernel(...lines: readonly string[]): void {
    writeFileSync(this.at('kmsg'), lines.map((line) => `${line}\n`).join(''))
  }

  mounted(options: string): void {
    writeFileSync(this.at('mounts'), `/dev/vda8 ${this.data} ext4 ${options} 0 0\n`)
  }

  /** What the kernel does with a partition that is no file system. */
  refusesMounts = (): void => writeFileSync(this.at('no-mounts'), '')

  /** Looks once. Says what is so then. */
  watch(): Record<string, string> {
    this.run('watch')
    const { medium = '', why = '' } = keyValues(readFileSync(this.at('run/data'), 'utf8'))
    return { medium, why }
  }

  run(...args: readonly string[]): void {
    const env = {
      ...process.env,
      PATH: `${this.at('bin')}:${process.env['PATH']}`,
      NTM_LIB: TOOLS,
      NTM_RUN: this.at('run'),
      NTM_DATA: this.data,
      NTM_CONSOLES: this.at('console'),
      NTM_DEV: this.at('dev/ntm'),
      NTM_BLOCKS: this.at('blocks'),
      NTM_MOUNTS: this.at('mounts'),
    }
    const { status, stderr } = spawnSync('sh', [join(TOOLS, 'data'), ...args], {
      env,
      encoding: 'utf8',
      timeout: 60_000,
    })
    expect(status, stderr).toBe(0)
  }

  said = (): string => this.#read('console')
  asked = (): string => this.#read('asked')

  #read = (name: string): string => (existsSync(this.at(name)) ? readFileSync(this.at(name), 'utf8') : '')
  at = (name: string): string => join(this.#dir, name)
}
