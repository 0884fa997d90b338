import { join } from 'node:path'
import { expect, test } from 'vitest'
import type { InLine } from '#lab/scenes/box-in-line.ts'
import { makeStick } from '#lab/vm/fat.ts'
import { describeImage, LanNetwork, lineForTest, pingThrough, SAYS, wireUp } from '#test/support/image.ts'

// host ── [ box, a member of a network ] ── lan: coordinator

describeImage('factory reset', 'x86_64', () => {
  test('by command: configuration and keys are gone, the slots are not, the box bridges as flashed', async () => {
    const { scene } = await member()
    const since = scene.vm.mark()
    await scene.shell.run('ntm reset --yes')
    const after = await emptied(scene, since)
    await wireUp(scene.vm, after)
    await scene.vm.until(SAYS.good('A'), { since: after })
    expect(await pingThrough(scene)).toBeGreaterThanOrEqual(9)
    await scene.vm.stop()
    expect(dataFiles(scene, '/ntm')).not.toContain('box.json')
    expect(dataFiles(scene, '/config')).not.toContain('ntm.toml')
    expect(dataFiles(scene, '/')).not.toMatch(/factory-reset|forget/)
    expect(bootFiles(scene)).toEqual(['ntm.toml.before-reset'])
  })

  test('by a file on a stick, which brings the next configuration as well', async () => {
    const { scene, network } = await member()
    await scene.shell.must('sync')
    await scene.vm.stop()
    const since = scene.vm.mark()
    const stick = join(scene.lab.dir, 'reset.img')
    const fat = makeStick(stick, { 'factory-reset': '', ...(await network.bridgeFiles(scene, { name: 'bridge2' })) })
    await scene.vm.start({ stick })
    const after = await emptied(scene, since)
    await scene.vm.until(SAYS.ready('bridge'), { since: after })
    expect(await status(scene)).toContain('bridge2.ntm.example')
    expect(await pingThrough(scene)).toBeGreaterThanOrEqual(9)
    await scene.shell.must('sync')
    await scene.vm.stop()
    // Otherwise it would begin again at every start.
    expect(fat.list()).not.toContain('factory-reset')
    expect(fat.text('ntm-report.txt')).toMatch(/GOOD: in force/)
    expect(bootFiles(scene)).toEqual(['ntm.toml.before-reset'])
  })
})

/** A box that is configured and enrolled. */
async function member(): Promise<{ scene: InLine; network: LanNetwork }> {
  const scene = await lineForTest()
  const network = await LanNetwork.start(scene)
  scene.vm.disk.fat('boot').write(await network.bridgeFiles(scene))
  await scene.vm.start()
  await scene.vm.until(SAYS.ready('bridge'))
  expect(await status(scene)).toContain('bridge1.ntm.example')
  return { scene, network }
}

/** Where the console stands when the data partition has been emptied, once. */
async function emptied(scene: InLine, since: number): Promise<number> {
  const told = /ntm-data: emptied, as .* asked; this box is as new/
  const line = await scene.vm.until(told, { since })
  return scene.vm.console.lines.indexOf(line)
}

const status = ({ shell }: InLine): Promise<string> => shell.must('ntm status --json --socket /run/ntm/bridge.sock')

const dataFiles = ({ vm }: InLine, folder: string): string =>
  vm.disk.withPartition('data', 'debugfs', (file) => ['-R', `ls -p ${folder}`, file])

/** What is on NTMBOOT of what a person laid there, or the box for them. */
const bootFiles = ({ vm }: InLine): string[] =>
  vm.disk
    .fat('boot')
    .list()
    .filter((name) => /^(ntm|token|network)/.test(name))
