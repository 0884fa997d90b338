import { chmodSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, expect, test } from 'vitest'
import { keyValues } from '#lab/vm/ssh.ts'
import { describeImage, LanNetwork, lineForAll, pingThrough, SAYS, tell } from '#test/support/image.ts'
import { BundleServer, bundleOf, update } from '#test/support/image-update.ts'

// host ── [ box ] ── lan: coordinator, bundles; one box in the order of the tests

describeImage('updates that are refused, and one that is not good', 'x86_64', () => {
  const line = lineForAll(() => ({ disk: { mib: 2048 }, limitMs: 90 * 60_000 }))
  let server: BundleServer

  beforeAll(async () => {
    const { scene } = line
    server = await BundleServer.start(scene)
    const network = await LanNetwork.start(scene)
    const files = await network.bridgeFiles(scene)
    scene.vm.disk.fat('boot').write({ ...files, 'grub/local.cfg': `set extra="ntm.trial=${TRIAL_SECONDS}"\n` })
    await scene.vm.start()
    await scene.vm.until(SAYS.good('A'))
    await scene.vm.until(SAYS.ready('bridge'))
  })

  test('an image of another board', async () => {
    const { scene } = line
    const other = bundleOf('x86_64', '0.2.0', { name: 'other-board', compatible: 'ntm-rpi-arm64' })
    const outcome = await update(scene, server.url(other))
    expect(outcome.code).not.toBe(0)
    expect(outcome.stderr + outcome.stdout).toMatch(/ntm-rpi-arm64|board|compatible/i)
  })

  test('what is no bundle, and what is not there', async () => {
    const { scene } = line
    await scene.shell.must('echo nonsense >/tmp/x.raucb')
    expect((await update(scene, '/tmp/x.raucb')).code).not.toBe(0)
    expect((await update(scene, 'http://192.168.77.1:8080/missing.raucb')).code).not.toBe(0)
    expect(await scene.shell.must('/usr/lib/ntm/boot-state get-primary')).toMatch(/A/)
  })

  test('an older version, but for who insists', async () => {
    const { scene } = line
    const older = bundleOf('x86_64', '0.0.9', { name: 'older' })
    const refused = await update(scene, server.url(older))
    expect(refused.code).not.toBe(0)
    expect(refused.stderr + refused.stdout).toMatch(/older|downgrade/i)
    expect(await scene.shell.must('/usr/lib/ntm/boot-state get-primary')).toMatch(/A/)
    const insisted = await update(scene, server.url(older), '--allow-downgrade')
    expect(insisted.code, insisted.stderr).toBe(0)
    const since = scene.vm.mark()
    await scene.shell.run('reboot')
    await scene.vm.until(SAYS.good('B'), { since, limitMs: 600_000 })
    expect(await scene.shell.state('slot')).toMatchObject({ slot: 'B', version: older.version })
  })

  test('a version whose program does not run goes back at once', async () => {
    const { why, seconds } = await goesBack('0.4.0', { name: 'sick', change: withSickProgram })
    tell(`the old version is back ${seconds} s after the restart: ${why}`)
    expect(why).toBe('its program cannot be run')
  }, 1_500_000)

  test('a version whose wire works and whose tunnel does not goes back when its time is over', async () => {
    await registered()
    const { why, seconds } = await goesBack('0.5.0', { name: 'deaf', change: withDeadTunnel })
    tell(`the old version is back ${seconds} s after the restart: ${why}`)
    expect(why).toBe('the tunnel worked before the update and does not now')
  }, 1_500_000)

  test('a version whose kernel panics while it starts goes back after three starts', async () => {
    const since = line.scene.vm.mark()
    const { why, seconds } = await goesBack('0.6.0', { name: 'panics', change: withPanic })
    tell(`the old version is back ${seconds} s after the restart: ${why}`)
    expect(why).toBe('none of its starts was found good')
    const panics = line.scene.vm.console.lines.slice(since).filter(({ text }) => SAYS.panic.test(text))
    expect(panics.length).toBe(3)
  }, 1_500_000)

  /** Installs a version that is not good and starts it; what the old one, which is back, says of it, and after how long. */
  async function goesBack(release: string, more: BundleChanges): Promise<{ why: string; seconds: string }> {
    const { scene } = line
    const before = await scene.shell.state('slot')
    const bundle = bundleOf('x86_64', release, more)
    const outcome = await update(scene, server.url(bundle))
    expect(outcome.code, outcome.stderr).toBe(0)
    const since = scene.vm.mark()
    const begun = performance.now()
    await scene.shell.run('reboot')
    const other = before['slot'] === 'A' ? 'B' : 'A'
    await scene.vm.until(new RegExp(`ntm-slot: ${other} is on trial`), { since })
    const back = new RegExp(`ntm-slot: back on ${before['slot']}, .*did not hold`)
    const told = await scene.vm.until(back, { since, unless: SAYS.good(other), limitMs: 840_000 })
    const seconds = ((performance.now() - begun) / 1000).toFixed(0)
    await scene.vm.until(SAYS.good(before['slot'] ?? ''), { since })
    expect(await pingThrough(scene)).toBeGreaterThanOrEqual(9)
    expect(await scene.shell.state('slot')).toMatchObject({
      slot: before['slot'],
      version: before['version'],
      state: 'good',
    })
    const last = keyValues(await scene.shell.must('cat /data/update/last'))
    expect(last).toMatchObject({ result: 'rolled-back', version: bundle.version })
    expect(told.text).toContain(last['why'])
    return { why: last['why'] ?? '', seconds }
  }

  /** Until the coordinator has answered, a dead tunnel is nothing new. */
  async function registered(): Promise<void> {
    await line.scene.shell.must(`ntm status --json --socket /run/ntm/bridge.sock | grep -q '"state": *"registered"'`)
  }
})

/** Long enough for a start on a busy machine. */
const TRIAL_SECONDS = 300

type BundleChanges = { readonly name: string; readonly change: (root: string) => void }

/** `ntm` ends at once, whatever it is asked. */
function withSickProgram(root: string): void {
  const file = join(root, 'usr/bin/ntm')
  writeFileSync(file, '#!/bin/sh\nexit 1\n')
  chmodSync(file, 0o755)
}

/** The program runs and says so, and nobody hears it: what it sends to its coordinator goes nowhere. */
function withDeadTunnel(root: string): void {
  const rules =
    'add table inet deaf; add chain inet deaf out { type filter hook output priority 0; }; add rule inet deaf out udp dport 4330 drop'
  withUnit(root, 'deaf', `/usr/sbin/nft "${rules}"`)
}

/** The kernel panics at every start, as soon as it is written down and told that the slot is on trial. */
const withPanic = (root: string): void =>
  withUnit(
    root,
    'panics',
    `/bin/sh -c "until [ -e /run/ntm-box/slot ]; do sleep 1; done; sleep 5; echo c >/proc/sysrq-trigger"`,
  )

function withUnit(root: string, name: string, command: string): void {
  const dir = join(root, 'usr/lib/systemd/system')
  writeFileSync(join(dir, `${name}.service`), `[Unit]\nDefaultDependencies=no\n[Service]\nExecStart=${command}\n`)
  mkdirSync(join(dir, 'sysinit.target.wants'), { recursive: true })
  symlinkSync(`../${name}.service`, join(dir, 'sysinit.target.wants', `${name}.service`))
}
