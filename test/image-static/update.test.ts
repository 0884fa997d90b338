import { execFileSync, spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { updateFromStick } from '#cli/appliance/stick.ts'
import { installUpdate, type UpdateSettings } from '#cli/appliance/update.ts'
import { keyValues } from '#lab/vm/ssh.ts'

// `ntm update` up to the moment where RAUC's service would write to the disk: bundles are made, signed and checked by the real RAUC with the box's
// own configuration. Only `rauc install` (it needs the box's partitions) is a script; test/image/ has that.

const ROOT = join(import.meta.dirname, '../..')
const RUNNING = { compatible: 'ntm-x86_64', version: '0.2.0+20261121T000000.gabcdef12' }
const NEWER = '0.3.0+20261122T000000.gabcdef12'
const OLDER = '0.1.0+20261120T000000.gabcdef12'
const rauc = spawnSync('rauc', ['--version']).status === 0
const must = (process.env['NTM_MUST_RUN'] ?? '').split(',').includes('image')
const suite = rauc || must ? describe : describe.skip

suite(`ntm update${rauc ? '' : ' (skipped: no rauc: make setup-image)'}`, () => {
  let made = ''
  beforeAll(() => {
    made = mkdtempSync(join(tmpdir(), 'ntm-bundles-'))
    for (const who of ['ours', 'stranger']) {
      const subject = [
        '-subj',
        `/CN=${who}`,
        '-days',
        '3650',
        '-keyout',
        `${made}/${who}.key`,
        '-out',
        `${made}/${who}.pem`,
      ]
      execFileSync(
        'openssl',
        ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', ...subject],
        { stdio: 'pipe' },
      )
    }
    bundle('newer', NEWER)
    bundle('older', OLDER)
    bundle('pi', NEWER, { compatible: 'ntm-rpi-arm64' })
    bundle('stranger', NEWER, { key: 'stranger' })
  })
  afterAll(() => rmSync(made, { recursive: true, force: true }))

  function bundle(name: string, version: string, { compatible = 'ntm-x86_64', key = 'ours' } = {}): void {
    const dir = join(made, `${name}.d`)
    mkdirSync(dir)
    for (const image of ['rootfs', 'kernel']) writeFileSync(join(dir, `${image}.img`), randomBytes(65_536))
    const images = '[image.rootfs]\nfilename=rootfs.img\n[image.kernel]\nfilename=kernel.img\n'
    writeFileSync(
      join(dir, 'manifest.raucm'),
      `[update]\ncompatible=${compatible}\nversion=${version}\n[bundle]\nformat=verity\n${images}`,
    )
    execFileSync(
      'rauc',
      [`--cert=${made}/${key}.pem`, `--key=${made}/${key}.key`, 'bundle', dir, join(made, `${name}.raucb`)],
      { stdio: 'pipe' },
    )
  }

  test('a good bundle: what worked is noted before RAUC begins, and that it came to its end', async () => {
    const box = boxOf(made)
    expect(await installUpdate(join(made, 'newer.raucb'), box.settings)).toEqual({
      ok: true,
      version: NEWER,
      slot: 'B',
    })
    expect(box.duringInstall()).toMatchObject({
      slot: 'B',
      from: 'A',
      version: NEWER,
      before: RUNNING.version,
      wire: 'forwarding',
      tunnel: 'no',
      installed: 'no',
    })
    expect(box.pending()).toMatchObject({ slot: 'B', installed: 'yes' })
    expect(box.told.join('\n')).toMatch(/signature good; installing to slot B/)
    expect(box.told).toContain('100% Installing done.')
  })

  test.each([
    ['stranger', 'not-trusted', /its signature is not by the key this box trusts/],
    ['pi', 'wrong-board', /it is made for ntm-rpi-arm64, and this box is ntm-x86_64/],
    ['older', 'older', /is older than .* --allow-downgrade/],
    ['nothing', 'no-file', /there is no file/],
  ])('%s: refused with a reason, and RAUC is not asked to write', async (name, what, why) => {
    const box = boxOf(made)
    const done = await installUpdate(join(made, `${name}.raucb`), box.settings)
    expect(done).toMatchObject({ ok: false, what })
    expect(done.ok ? '' : done.why).toMatch(why)
    expect(box.installed()).toBe(false)
    expect(box.pending()).toEqual({})
  })

  test('a damaged file is no bundle', async () => {
    const box = boxOf(made)
    const file = join(box.dir, 'cut.raucb')
    writeFileSync(file, readFileSync(join(made, 'newer.raucb')).subarray(0, 50_000))
    expect(await installUpdate(file, box.settings)).toMatchObject({ ok: false, what: 'not-trusted' })
    expect(box.installed()).toBe(false)
  })

  test('who insists gets the older one', async () => {
    const box = boxOf(made)
    expect(await installUpdate(join(made, 'older.raucb'), { ...box.settings, allowDowngrade: true })).toMatchObject({
      ok: true,
    })
  })

  test('RAUC fails in the middle: its reason is told, and no trial is left behind', async () => {
    const box = boxOf(made, 'echo "LastError: Installation error: No space left"; exit 1')
    await expect(installUpdate(join(made, 'newer.raucb'), box.settings)).rejects.toThrow(/No space left/)
    expect(box.pending()).toEqual({})
  })

  test('while a slot is on trial the other one is not touched', async () => {
    const box = boxOf(made)
    writeFileSync(join(box.run, 'slot'), 'slot=B\nstate=trial\nversion=0.2.0\n')
    const done = await installUpdate(join(made, 'newer.raucb'), box.settings)
    expect(done).toMatchObject({ ok: false, what: 'on-trial' })
    expect(box.installed()).toBe(false)
  })

  test('from a stick: the newest for this box, once; each bundle gets its line', async () => {
    const box = boxOf(made)
    const stick = join(box.dir, 'stick')
    mkdirSync(stick)
    for (const name of ['newer', 'older', 'pi', 'stranger'])
      copyFileSync(join(made, `${name}.raucb`), join(stick, `${name}.raucb`))
    const { installed, lines } = await updateFromStick(stick, box.settings)
    expect(installed).toBe(true)
    expect(lines[0]).toMatch(/^newer.raucb: version 0.3.0\S+ is installed/)
    expect(lines.slice(1).map((line) => line.replace(/\+\S+/g, ''))).toEqual([
      'older.raucb: version 0.1.0 is not newer than 0.2.0 which runs.',
      'pi.raucb: not for this box (ntm-x86_64): it is for ntm-rpi-arm64.',
      expect.stringMatching(/^stranger.raucb: not installed: its signature/),
    ])
    // It was tried, and came back: not again by itself.
    const back = boxOf(made)
    writeFileSync(join(back.data, 'update/last'), `result=rolled-back\nversion=${NEWER}\nwhy=the tunnel\n`)
    const again = await updateFromStick(stick, back.settings)
    expect(again.installed).toBe(false)
    expect(again.lines[0]).toMatch(/was tried and did not hold: the tunnel/)
  })
})

function boxOf(
  made: string,
  install = 'cp "$PENDING" "$SEEN"; echo " 20% Checking bundle"; echo "100% Installing done."',
) {
  const dir = mkdtempSync(join(tmpdir(), 'ntm-update-'))
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }))
  const [data, run] = [join(dir, 'data'), join(dir, 'run')]
  mkdirSync(join(data, 'update'), { recursive: true })
  mkdirSync(run)
  writeFileSync(join(run, 'wire'), 'state=forwarding\n')
  const conf = readFileSync(join(ROOT, 'board/common/rauc/system.conf.in'), 'utf8')
  const ours = conf.replaceAll('@COMPATIBLE@', RUNNING.compatible).replace('/etc/rauc/keyring.pem', `${made}/ours.pem`)
  writeFileSync(join(dir, 'system.conf'), ours.replace('/data/update', `${data}/update`))
  const [pending, seen] = [join(data, 'update/pending'), join(dir, 'seen')]
  const script = join(dir, 'rauc')
  writeFileSync(
    script,
    `#!/bin/sh\nPENDING=${pending} SEEN=${seen}\ncase $1 in\ninstall) touch ${dir}/installed; ${install} ;;\n*) exec rauc -c ${dir}/system.conf "$@" ;;\nesac\n`,
  )
  chmodSync(script, 0o755)
  const told: string[] = []
  const settings: UpdateSettings = {
    places: { run, data, sys: join(dir, 'sys'), sockets: join(dir, 'sockets') },
    running: RUNNING,
    allowDowngrade: false,
    tell: (line) => told.push(line),
    rauc: [script],
    bootState: ['sh', '-c', 'echo A'],
  }
  const facts = (file: string): Readonly<Record<string, string>> =>
    existsSync(file) ? keyValues(readFileSync(file, 'utf8')) : {}
  return {
    dir,
    data,
    run,
    told,
    settings,
    pending: () => facts(pending),
    duringInstall: () => facts(seen),
    installed: () => existsSync(join(dir, 'installed')),
  }
}
