import { spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { keyValues } from '#lab/vm/ssh.ts'
import { standIns } from '#test/support/stand-ins.ts'

// /usr/lib/ntm/slot on real files, with the real boot-state beside it. Only what would start the machine anew is a note in a file; `ntm` and
// systemctl are programs that the test writes.

const ROOT = join(import.meta.dirname, '../..')
const TOOLS = join(ROOT, 'board/common/overlay/usr/lib/ntm')
const PENDING = {
  slot: 'B',
  from: 'A',
  version: '0.2.0',
  before: '0.1.0',
  wire: 'forwarding',
  tunnel: 'yes',
  installed: 'yes',
}

test('an ordinary start: a good slot, full again as soon as wire and program work', () => {
  const box = boxOf('A')
  box.loader({ A_LEFT: 2 })
  box.run('begin')
  expect(box.slot()).toMatchObject({ slot: 'A', state: 'good', left: '2', why: '' })
  box.run('judge')
  expect(box.state()['A_LEFT']).toBe('3')
  expect(box.console()).toContain('ntm-slot: A is good')
})

test('the first start of a new slot is a trial; found good, the update is over and old copies go', () => {
  const box = boxOf('B', PENDING)
  box.ask('set-primary', 'B')
  mkdirSync(join(box.data, 'config.v1'))
  box.run('begin')
  expect(box.slot()).toMatchObject({ slot: 'B', state: 'trial' })
  expect(box.pending()).toMatchObject({ starts: '1', installed: 'yes' })
  box.program('ntm', 'echo fine')
  box.run('judge')
  expect(box.last()).toMatchObject({ result: 'good', version: '0.2.0', from: '0.1.0' })
  expect(box.pending()).toEqual({})
  expect(existsSync(join(box.data, 'config.v1'))).toBe(false)
  expect(box.slot()).toMatchObject({ state: 'good' })
  expect(box.rebooted()).toBe(false)
})

test('found bad, it goes back, and the old slot tells why', () => {
  const box = boxOf('B', PENDING)
  box.ask('set-primary', 'B')
  box.run('begin')
  box.program('ntm', 'echo first; echo "the tunnel worked before the update and does not now"; exit 1')
  box.run('judge')
  expect(box.rebooted()).toBe(true)
  expect(box.ask('get-primary')).toBe('A')
  const old = boxOf('A', undefined, box)
  old.run('begin')
  expect(old.last()).toMatchObject({
    result: 'rolled-back',
    why: 'the tunnel worked before the update and does not now',
  })
  expect(old.console()).toContain('back on A, version 0.1.0, for version 0.2.0 in slot B did not hold: the tunnel')
  expect(old.slot()).toMatchObject({ slot: 'A', state: 'good' })
})

test('a program that cannot even judge is a bad slot', () => {
  const box = boxOf('B', PENDING)
  box.ask('set-primary', 'B')
  box.run('begin')
  box.program('ntm', 'kill -SEGV $$')
  box.run('judge')
  expect(box.console()).toContain('B does not do its work: its program cannot be run. The box goes to slot A')
  expect(box.rebooted()).toBe(true)
  expect(box.ask('get-state', 'B')).toBe('bad')
})

test('it never came up: the loader went back by itself', () => {
  const box = boxOf('A', { ...PENDING, starts: '0' })
  box.loader({ ORDER: 'B A', B_LEFT: 0, A_LEFT: 2 })
  box.run('begin')
  expect(box.last()).toMatchObject({ result: 'rolled-back', why: 'none of its starts was found good' })
})

test('an installation cut off changes nothing', () => {
  const box = boxOf('A', { ...PENDING, installed: 'no' })
  box.ask('set-state', 'B', 'bad')
  box.run('begin')
  expect(box.last()).toMatchObject({ result: 'interrupted' })
  expect(box.slot()).toMatchObject({ state: 'good' })
})

test('an update that the data partition has forgotten is on trial all the same, goes back, and the old slot says so', () => {
  const before = boxOf('A')
  before.ask('set-primary', 'B')
  const box = boxOf('B', undefined, before)
  box.run('begin')
  expect(box.slot()).toMatchObject({ slot: 'B', state: 'trial' })
  expect(box.console()).toContain('ntm-slot: B is on trial for 600 s, version 0.2.0')
  box.program('ntm', 'echo "there is no wire"; exit 1')
  box.run('judge')
  expect(box.rebooted()).toBe(true)
  rmSync(join(box.data, 'update/pending'))
  const old = boxOf('A', undefined, box)
  old.run('begin')
  expect(old.console()).toContain('back on A, version 0.1.0, for the update in slot B did not hold')
  expect(old.last()).toMatchObject({ result: 'rolled-back', slot: 'B' })
  const next = boxOf('A', undefined, box)
  next.run('begin')
  expect(next.slot()['why']).toMatch(/^slot B does not start/)
})

test('forgotten while it waits for its first start, and found good then: an ordinary slot from there on', () => {
  const old = boxOf('A')
  old.ask('set-primary', 'B')
  old.run('begin')
  expect(old.slot()['why']).toBe('the update waits in slot B for a restart')
  rmSync(join(old.data, 'update/pending'))
  const box = boxOf('B', undefined, old)
  box.run('begin')
  box.run('judge')
  expect(box.last()).toMatchObject({ result: 'good', version: '0.2.0' })
  expect(box.state()).toMatchObject({ TRIAL: 'none', B_LEFT: '3' })
  box.run('begin')
  expect(box.slot()).toMatchObject({ state: 'good', why: '' })
})

test('a new installation that is cut off ends the trial of what was there before it', () => {
  const box = boxOf('A', { ...PENDING, installed: 'no' })
  box.ask('set-primary', 'B')
  box.ask('set-state', 'B', 'bad')
  box.run('begin')
  expect(box.last()).toMatchObject({ result: 'interrupted' })
})

test('nobody judges what was forgotten: the guard ends that trial too', async () => {
  const before = boxOf('A')
  before.ask('set-primary', 'B')
  const box = boxOf('B', undefined, before, 'ntm.trial=0')
  const guard = spawn('sh', [join(TOOLS, 'slot'), 'guard'], { env: { ...box.env, NTM_GRACE: '1' } })
  await new Promise((done) => guard.once('close', done))
  expect(box.rebooted()).toBe(true)
})

test('installed, and the old slot once more: the new one still waits', () => {
  const box = boxOf('A', PENDING)
  box.ask('set-primary', 'B')
  box.run('begin')
  expect(box.pending()).toMatchObject({ installed: 'yes' })
  expect(box.slot()['why']).toBe('version 0.2.0 waits in slot B for a restart')
})

test('a missing coordinator or a configuration with mistakes is no fault of a good slot', () => {
  const box = boxOf('A')
  writeFileSync(join(box.run_, 'config'), 'state=refused\n')
  box.program('systemctl', 'echo ActiveState=inactive')
  box.run('begin')
  box.run('judge')
  expect(box.console()).toContain('ntm-slot: A is good')
})

test('in place of a slot that does not start: said on the console, and what mends it', () => {
  const box = boxOf('B')
  box.ask('set-state', 'A', 'bad')
  box.run('begin')
  expect(box.slot()).toMatchObject({ slot: 'B', state: 'good', why: expect.stringMatching(/^slot A does not start/) })
  expect(box.console()).toMatch(/B runs, for slot A does not start.* The next update mends that/)
})

test('a slot whose program cannot be run leaves, but not into a slot that does not start', () => {
  const box = boxOf('A')
  box.program('ntm', 'exit 139')
  box.program('systemctl', 'echo ActiveState=failed')
  box.run('begin')
  box.run('judge')
  expect(box.rebooted()).toBe(true)
  expect(box.ask('get-state', 'A')).toBe('bad')
  const other = boxOf('B', undefined, box)
  other.run('begin')
  other.run('judge')
  expect(other.ask('get-state', 'B')).toBe('good')
  expect(other.console()).toContain('Slot A does not start, so this one stays')
})

test('nobody judges: the guard ends the trial', async () => {
  const box = boxOf('B', PENDING, undefined, 'ntm.trial=0')
  box.ask('set-primary', 'B')
  const guard = spawn('sh', [join(TOOLS, 'slot'), 'guard'], { env: { ...box.env, NTM_GRACE: '1' } })
  await new Promise((done) => guard.once('close', done))
  expect(box.rebooted()).toBe(true)
  expect(box.pending()['why']).toMatch(/nobody has judged it within/)
})

test('no trial, no guard', () => {
  const box = boxOf('A')
  expect(box.run('guard').status).toBe(0)
  expect(box.rebooted()).toBe(false)
})

function boxOf(slot: 'A' | 'B', pending?: Record<string, string>, before?: { dir: string }, more = '') {
  const dir = before?.dir ?? mkdtempSync(join(tmpdir(), 'ntm-slot-'))
  if (before === undefined) onTestFinished(() => rmSync(dir, { recursive: true, force: true }))
  const [data, run_, bin, file] = ['data', `run-${slot}`, 'bin', 'state'].map((name) => join(dir, name)) as [
    string,
    string,
    string,
    string,
  ]
  for (const made of [join(data, 'update'), run_, bin]) mkdirSync(made, { recursive: true })
  const image = join(dir, `image-${slot}.json`)
  writeFileSync(image, JSON.stringify({ board: 'x86_64', version: slot === 'A' ? '0.1.0' : '0.2.0' }, null, 2))
  const cmdline = join(dir, `cmdline-${slot}`)
  writeFileSync(cmdline, `quiet ntm.slot=${slot} ${more}\n`)
  writeFileSync(join(run_, 'wire'), 'state=forwarding\n')
  writeFileSync(join(run_, 'config'), 'state=ok\n')
  if (pending !== undefined)
    writeFileSync(
      join(data, 'update/pending'),
      Object.entries(pending)
        .map(([k, v]) => `${k}=${v}\n`)
        .join(''),
    )
  const env = {
    ...process.env,
    PATH: `${bin}:${process.env['PATH']}`,
    NTM_LIB: TOOLS,
    NTM_DATA: data,
    NTM_RUN: run_,
    NTM_IMAGE: image,
    NTM_STATE: file,
    NTM_BOARD: 'x86_64',
    NTM_CMDLINE: cmdline,
    NTM_CONSOLES: join(dir, `console-${slot}`),
    NTM_REBOOT: `touch ${join(dir, 'rebooted')}`,
    NTM_REBOOT_WAIT: '0',
    NTM_SYSRQ: join(dir, 'sysrq'),
  }
  if (before === undefined) spawnSync('sh', [join(ROOT, 'board/common/make-state.sh'), 'x86_64', file])
  const program = (name: string, body: string): void => standIns(bin, { [name]: body })
  if (before === undefined) {
    program('ntm', 'exit 0')
    program('systemctl', 'echo ActiveState=active')
    program('journalctl', 'echo the journal')
  }
  const read = (path: string): string => (existsSync(path) ? readFileSync(path, 'utf8') : '')
  const run = (...args: string[]) => {
    const done = spawnSync('sh', [join(TOOLS, 'slot'), ...args], { env, encoding: 'utf8', timeout: 20_000 })
    expect(done.status, done.stderr).toBe(0)
    return done
  }
  const ask = (...args: string[]): string =>
    spawnSync('sh', [join(TOOLS, 'boot-state'), ...args], { env, encoding: 'utf8' }).stdout.trim()
  return {
    dir,
    data,
    run_,
    env,
    program,
    run,
    ask,
    state: () => keyValues(ask('show')),
    slot: () => keyValues(read(join(run_, 'slot'))),
    pending: () => keyValues(read(join(data, 'update/pending'))),
    last: () => keyValues(read(join(data, 'update/last'))),
    console: () => read(join(dir, `console-${slot}`)),
    rebooted: () => existsSync(join(dir, 'rebooted')),
    /** What GRUB would have left. */
    loader(words: { ORDER?: string; A_LEFT?: number; B_LEFT?: number }): void {
      const { ORDER = 'A B', A_LEFT = 3, B_LEFT = 3 } = words
      const block = Buffer.alloc(512, '#')
      block.write(`# GRUB Environment Block\nORDER=${ORDER}\nA_LEFT=${A_LEFT}\nB_LEFT=${B_LEFT}\n`)
      const disk = readFileSync(file)
      for (const at of [65_536, 589_824]) block.copy(disk, at)
      writeFileSync(file, disk)
    },
  }
}
