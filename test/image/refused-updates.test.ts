import { chmodSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, expect, test } from 'vitest'
import { describeImage, LanNetwork, lineForAll, pingThrough, SAYS, tell } from '#test/support/image.ts'
import { BundleServer, bundleOf, update } from '#test/support/image-update.ts'

// host ── [ box ] ── lan: coordinator, bundles; one box in the order of the tests

describeImage('updates that are refused, and one that is not good', 'x86_64', () => {
  const line = lineForAll(() => ({ disk: { mib: 2048 } }))
  let server: BundleServer

  beforeAll(async () => {
    const { scene } = line
    server = await BundleServer.start(scene)
    const network = await LanNetwork.start(scene)
    scene.vm.disk.fat('boot').write(await network.bridgeFiles(scene))
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

  // The program is there and says that it runs, but nothing passes its tunnels: what the health gate is for.
  test('a version that starts and whose program does not work goes back by itself', async () => {
    const { scene } = line
    const sick = bundleOf('x86_64', '0.4.0', { name: 'sick', change: withSickProgram })
    const outcome = await update(scene, server.url(sick))
    expect(outcome.code, outcome.stderr).toBe(0)
    const since = scene.vm.mark()
    const begun = performance.now()
    await scene.shell.run('reboot')
    await scene.vm.until(SAYS.good('B'), { since, limitMs: 840_000 })
    tell(`the old version is back ${((performance.now() - begun) / 1000).toFixed(0)} s after the restart`)
    expect(await pingThrough(scene)).toBeGreaterThanOrEqual(9)
  }, 1_500_000)
})

/** `ntm` ends at once, whatever it is asked. */
function withSickProgram(root: string): void {
  const file = join(root, 'usr/bin/ntm')
  writeFileSync(file, '#!/bin/sh\nexit 1\n')
  chmodSync(file, 0o755)
}
