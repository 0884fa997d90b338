import { execFileSync, spawnSync } from 'node:child_process'
import {
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { ROOT } from '#lab/netns.ts'
import { keyValues } from '#lab/vm/ssh.ts'
import { describeLab } from '#test/support/lab.ts'
import { standIns } from '#test/support/stand-ins.ts'

// The appliance's data tool with a real ext4 on a loop device, in a mount namespace of its own. The device's file lies on a tmpfs: cut short it
// cannot be read at its end, and when the tmpfs is full nothing more can be written to it. Both are input/output errors to the kernel.

const TOOLS = join(ROOT, 'board/common/overlay/usr/lib/ntm')
const MIB = 1 << 20

describeLab('usr/lib/ntm/data', () => {
  test('a healthy partition is mounted, and what lies on it is there', () => {
    const box = new Box()
    box.start('cat $NTM_DATA/config/ntm.toml')
    expect(box.state()).toMatchObject({ medium: 'disk', why: '' })
    expect(box.printed).toContain('role = "bridge"')
    expect(box.said()).toBe('')
  })

  test('without its first super block it is repaired, and nothing is lost', () => {
    const box = new Box()
    box.damage(1024, 1024)
    box.start('cat $NTM_DATA/config/ntm.toml')
    expect(box.state()).toMatchObject({ medium: 'disk', why: '', repaired: '1' })
    expect(box.printed).toContain('role = "bridge"')
    expect(box.said()).toBe('ntm-data: repaired\n')
  })

  test('rubbish all over: RAM, and the rubbish stays for whoever can make something of it; a factory reset makes it new', () => {
    const box = new Box()
    box.damage(0, 32 * MIB)
    box.start('echo new >$NTM_DATA/kept', '$DATA reset "the menu"')
    expect(box.state()).toMatchObject({ medium: 'ram', why: expect.stringMatching(/^it is damaged \(e2fsck: \d+\)$/) })
    expect(box.said()).toMatch(/^ntm-data: works from RAM, .*damaged/)
    box.start('ls $NTM_DATA')
    expect(box.state()).toMatchObject({ medium: 'disk', why: '' })
    expect(box.printed).not.toContain('kept')
  })

  test('full: RAM with what was on it; a factory reset finds its way to it', () => {
    const box = new Box()
    box.start(
      'dd if=/dev/zero of=$NTM_DATA/fill bs=64k',
      'dd if=/dev/zero of=$NTM_DATA/fill2 bs=1k',
      'mkdir -p $NTM_DATA/update',
      'sync',
    )
    box.start('cat $NTM_DATA/config/ntm.toml', '$DATA reset "the menu"')
    expect(box.state()).toMatchObject({ medium: 'ram', why: 'it is full' })
    expect(box.printed).toContain('role = "bridge"')
    box.start('[ ! -e $NTM_DATA/fill ] && [ ! -e $NTM_DATA/config/ntm.toml ] && echo emptied')
    expect(box.said()).toContain('ntm-data: emptied, as a wish asked')
    expect(box.printed).toContain('emptied')
    expect(box.state()).toMatchObject({ medium: 'disk' })
  })

  test('it fails at its end while it is in use: said, and used on', () => {
    const box = new Box()
    box.start(
      'truncate -s 31M $FILE',
      `dd if=$NTM_DEV/data of=/dev/null bs=4096 skip=${(31 * MIB) / 4096}`,
      '$DATA watch',
      'echo more >$NTM_DATA/more',
    )
    expect(box.state()).toMatchObject({ medium: 'disk', why: 'its disk reports errors' })
    expect(box.said()).toMatch(/^ntm-data: the disk reports errors in the data partition\. .*\n$/)
  })

  test('nothing can be written to it any more while it is in use: RAM within one look, with what is on it', () => {
    const box = new Box()
    box.start(
      // No room on the tmpfs for what the partition has not touched before.
      'dd if=/dev/zero of=$(dirname $FILE)/fill bs=64k',
      'dd if=/dev/urandom of=$NTM_DATA/lost bs=64k count=64',
      'sync',
      '$DATA watch',
      'cat $NTM_DATA/config/ntm.toml; echo more >$NTM_DATA/more && cat $NTM_DATA/more',
    )
    expect(box.state()).toMatchObject({ medium: 'ram', why: expect.stringMatching(/cannot be written|read-only/) })
    expect(box.said()).toMatch(/ntm-data: works from RAM, /)
    expect(box.printed).toContain('role = "bridge"\nmore')
    expect(box.asked()).toBe('--no-block try-restart ntm.service\n--no-block restart ntm-import.service\n')
  })
})

class Box {
  printed = ''
  readonly #dir = mkdtempSync(join(tmpdir(), 'ntm-data-'))
  readonly #file = join(this.#dir, 'medium/data.img')
  readonly #loop: string

  constructor() {
    onTestFinished(() => this.#end())
    for (const dir of ['medium', 'bin', 'run', 'dev', 'data', 'content/config', 'lib'])
      mkdirSync(this.#at(dir), { recursive: true })
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=40m', 'ntm-test', this.#at('medium')])
    writeFileSync(this.#at('content/config/ntm.toml'), 'role = "bridge"\n')
    writeFileSync(this.#file, '')
    truncateSync(this.#file, 32 * MIB)
    execFileSync('mke2fs', ['-q', '-t', 'ext4', '-L', 'NTMDATA', '-d', this.#at('content'), this.#file])
    this.#loop = execFileSync('losetup', ['-f', '--show', this.#file], { encoding: 'utf8' }).trim()
    const name = basename(this.#loop)
    for (const link of ['data', 'disk']) symlinkSync(this.#loop, this.#at(`dev/${link}`))
    mkdirSync(this.#at(`blocks/${name}`), { recursive: true })
    for (const [key, value] of [
      ['start', 0],
      ['size', (32 * MIB) / 512],
      ['ro', 0],
    ] as const)
      writeFileSync(this.#at(`blocks/${name}/${key}`), `${value}\n`)
    for (const tool of ['data', 'lib.sh']) symlinkSync(join(TOOLS, tool), this.#at(`lib/${tool}`))
    writeFileSync(this.#at('lib/image.json'), '{"data_version": 1}')
    const since = Number(readFileSync('/proc/uptime', 'utf8').split(' ')[0])
    standIns(this.#at('bin'), {
      // This device's numbers were others' before.
      dmesg: `/usr/bin/dmesg | awk -F '[][]' '$2 + 0 > ${since}'`,
      systemctl: `echo "$*" >>${this.#at('asked')}`,
      // The box's users are not this machine's.
      chown: ':',
    })
  }

  /** Overwrites a part of the partition. */
  damage(from: number, bytes: number): void {
    const fd = openSync(this.#file, 'r+')
    writeSync(fd, Buffer.alloc(bytes, 'not what was written here. '), 0, bytes, from)
    closeSync(fd)
  }

  /** One run of the box: looks, mounts, then the lines, whose failing is theirs. At its end everything is unmounted. */
  start(...lines: readonly string[]): void {
    for (const name of ['run', 'console', 'asked']) rmSync(this.#at(name), { recursive: true, force: true })
    mkdirSync(this.#at('run/peek'), { recursive: true })
    const script = [
      'mount --make-rprivate /',
      '$DATA peek',
      'why=; [ ! -e $NTM_RUN/peek/factory-reset ] || why="a wish"',
      '$DATA up "$why"',
      ...lines,
      'sync; umount $NTM_DATA; umount $NTM_DATA',
    ].join('\n')
    const env = {
      ...process.env,
      PATH: `${this.#at('bin')}:${process.env['PATH']}`,
      DATA: this.#at('lib/data'),
      FILE: this.#file,
      NTM_LIB: this.#at('lib'),
      NTM_RUN: this.#at('run'),
      NTM_DATA: this.#at('data'),
      NTM_CONSOLES: this.#at('console'),
      NTM_DEV: this.#at('dev'),
      NTM_BLOCKS: this.#at('blocks'),
    }
    const done = spawnSync('unshare', ['-m', 'sh', '-c', script], { env, encoding: 'utf8', timeout: 60_000 })
    expect(done.error).toBeUndefined()
    this.printed = done.stdout
  }

  state = (): Readonly<Record<string, string>> => keyValues(this.#read('run/data'))
  said = (): string => this.#read('console')
  asked = (): string => this.#read('asked')

  #read = (name: string): string => (existsSync(this.#at(name)) ? readFileSync(this.#at(name), 'utf8') : '')
  #at = (name: string): string => join(this.#dir, name)

  #end(): void {
    spawnSync('losetup', ['-d', this.#loop])
    spawnSync('umount', [this.#at('medium')])
    rmSync(this.#dir, { recursive: true, force: true })
  }
}
