import { join } from 'node:path'
import { expect, test } from 'vitest'
import type { InLine } from '#lab/scenes/box-in-line.ts'
import { makeStick } from '#lab/vm/fat.ts'
import { describeImage, LanNetwork, lineForTest, pingThrough, SAYS, wireUp } from '#test/support/image.ts'

// host ── [ box, a member of a network ] ── lan: coordinator

describeImage('factory reset', 'x86_64', () => {
  test('by command: the keys are gone, the slots are not, the box bridges as flashed', async () => {
    const scene = await member()
    const since = scene.vm.mark()
    await scene.shell.run('ntm reset --yes')
    await wireUp(scene.vm, since)
    await forgotten(scene, since)
  })

  test('by a file on a stick', async () => {
    const scene = await member()
    await scene.shell.must('sync')
    await scene.vm.stop()
    const since = scene.vm.mark()
    const stick = join(scene.lab.dir, 'reset.img')
    const fat = makeStick(stick, { 'factory-reset': '' })
    await scene.vm.start({ stick })
    await forgotten(scene, since)
    // Otherwise it would begin again at every start.
    expect(fat.list()).not.toContain('factory-reset')
  })
})

/** A box that is configured and enrolled. */
async function member(): Promise<InLine> {
  const scene = await lineForTest()
  const network = await LanNetwork.start(scene)
  scene.vm.disk.fat('boot').write(await network.bridgeFiles(scene))
  await scene.vm.start()
  await scene.vm.until(SAYS.ready('bridge'))
  await scene.shell.must('test -s /data/ntm/box.json')
  return scene
}

/** After the reset: nothing of the configuration or the keys is in the data partition, and the wire is up. */
async function forgotten(scene: InLine, since: number): Promise<void> {
  await scene.vm.until(/ntm-data: emptied/, { since })
  const after = scene.vm.console.lines.findIndex((line, i) => i >= since && /ntm-data: emptied/.test(line.text))
  await scene.vm.until(SAYS.good('A'), { since: after })
  expect(await pingThrough(scene)).toBeGreaterThanOrEqual(9)
  await scene.vm.stop()
  const list = scene.vm.disk.withPartition('data', 'debugfs', (file) => ['-R', 'ls -p /ntm', file])
  expect(list).not.toContain('box.json')
}
