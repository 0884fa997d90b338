import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, expect, test } from 'vitest'
import { Pings } from '#lab/pings.ts'
import { pause } from '#lab/process.ts'
import { IN_LINE } from '#lab/scenes/box-in-line.ts'
import { describeImage, LanNetwork, lineForAll, pingThrough, SAYS, tell, wireUp } from '#test/support/image.ts'
import { BundleServer, bundleOf, type TestBundle, update } from '#test/support/image-update.ts'

// host 192.168.77.9 eth0 ── host0 [ box ] net0 ── lan0 192.168.77.1: coordinator, bundles
// The host knows nothing of the box, and its only way to the LAN is through it. This is the part of the image's tests that `make test` runs: one box,
// flashed, configured, updated twice, the second time to an image that cannot start.

describeImage('a box in line and its updates', 'x86_64', () => {
  const line = lineForAll(() => ({ machine: 'bios', disk: { mib: 2048 } }))
  let bundles: { good: TestBundle; broken: TestBundle; strangers: TestBundle }
  let server: BundleServer

  beforeAll(async () => {
    bundles = {
      good: bundleOf('x86_64', '0.2.0'),
      broken: bundleOf('x86_64', '0.3.0', { name: 'broken', change: withoutInit }),
      strangers: bundleOf('x86_64', '0.2.0', { name: 'strangers', stranger: true }),
    }
    server = await BundleServer.start(line.scene)
  })

  test('bridges as flashed, then as configured, for a host that is not touched', async () => {
    const { scene } = line
    const before = await scene.lab.must('host', 'ip', ['-o', 'address'])
    const network = await LanNetwork.start(scene)
    scene.vm.disk.fat('boot').write(await network.bridgeFiles(scene))
    expect(await pingThrough(scene, 2), 'the box is off, and yet there is a way').toBe(0)
    await scene.vm.start()
    await wireUp(scene.vm)
    expect(await pingThrough(scene)).toBeGreaterThanOrEqual(9)
    await scene.vm.until(SAYS.ready('bridge'))
    await scene.vm.until(SAYS.good('A'))
    expect(await scene.shell.state('wire')).toMatchObject({ state: 'forwarding' })
    expect(await scene.lab.must('host', 'ip', ['-o', 'address'])).toBe(before)
  })

  test('an update signed by somebody else is refused, and changes nothing', async () => {
    const { scene } = line
    const outcome = await update(scene, server.url(bundles.strangers))
    expect(outcome.code).not.toBe(0)
    expect(outcome.stderr + outcome.stdout).toMatch(/signature|signed|verif/i)
    expect(await scene.shell.must('/usr/lib/ntm/boot-state get-primary')).toMatch(/A/)
  })

  test('an update is installed while the wire carries traffic, none of which is lost', async () => {
    const { scene } = line
    const pings = await Pings.start(scene.lab, 'host', IN_LINE.lan.ip4, 20)
    const outcome = await update(scene, server.url(bundles.good))
    const { sent, lost, gapMs } = await pings.stop()
    tell(
      `installed in ${(outcome.ms / 1000).toFixed(0)} s; ${lost} of ${sent} packets lost meanwhile, longest gap ${Math.round(gapMs)} ms`,
    )
    expect(outcome.code, outcome.stderr).toBe(0)
    expect(sent).toBeGreaterThan(100)
    expect(lost).toBe(0)
  })

  test('after the restart it is the new version, on trial, then good', async () => {
    const { scene } = line
    const since = scene.vm.mark()
    await restart()
    await wireUp(scene.vm, since)
    await scene.vm.until(SAYS.good('B'), { since, limitMs: 600_000 })
    expect(await scene.shell.state('slot')).toMatchObject({ slot: 'B', version: bundles.good.version, state: 'good' })
    expect(await scene.shell.must('cat /data/config/ntm.toml')).toContain('role = "bridge"')
    expect(await pingThrough(scene)).toBeGreaterThanOrEqual(9)
  })

  test('an update that cannot start: the old version is back by itself', async () => {
    const { scene } = line
    const outcome = await update(scene, server.url(bundles.broken))
    expect(outcome.code, outcome.stderr).toBe(0)
    const since = scene.vm.mark()
    const begun = performance.now()
    await restart()
    await scene.vm.until(SAYS.good('B'), { since, limitMs: 600_000 })
    tell(`back in the old version ${((performance.now() - begun) / 1000).toFixed(0)} s after the restart`)
    expect(await scene.shell.state('slot')).toMatchObject({ slot: 'B', version: bundles.good.version })
    expect(await pingThrough(scene)).toBeGreaterThanOrEqual(9)
  })

  /** The box goes down by itself, as after `ntm update`; the connection may end before the command's answer. */
  async function restart(): Promise<void> {
    await line.scene.shell.run('reboot')
    await pause(1000)
  }
})

/** A root file system that mounts and then has nothing to run: the kernel panics. */
function withoutInit(root: string): void {
  for (const name of ['usr/lib/systemd/systemd', 'usr/lib/ntm/early']) rmSync(join(root, name), { force: true })
}
