import { join } from 'node:path'
import { expect, test } from 'vitest'
import { until } from '#lab/process.ts'
import type { InLine } from '#lab/scenes/box-in-line.ts'
import { type Files, makeStick } from '#lab/vm/fat.ts'
import { describeImage, LanNetwork, lineForAll, pingThrough, SAYS, wireUp } from '#test/support/image.ts'

// host 192.168.77.9 eth0 ── host0 [ box ] net0 ── lan0 192.168.77.1: a coordinator, and the only one who asks inside
// The box gets what it is by files: on its boot partition, then on sticks. One box, in the order of the tests.

describeImage('configuration without a keyboard', 'x86_64', () => {
  const line = lineForAll()
  let token = ''

  test('a good one on the boot partition is in force, and its secrets are gone from there', async () => {
    const { scene } = line
    const network = await LanNetwork.start(scene)
    const files = await network.bridgeFiles(scene, { appliance: { hostname: 'plc-7' } })
    token = String(files['token']).trim()
    scene.vm.disk.fat('boot').write(files)
    expect(scene.vm.disk.readRaw('boot').includes(token), 'this is how a secret would be seen').toBe(true)
    await scene.vm.start()
    await wireUp(scene.vm)
    await scene.vm.until(SAYS.ready('bridge'))
    expect(await scene.shell.state('config')).toMatchObject({ state: 'ok', role: 'bridge' })
    expect((await scene.shell.must('hostname')).trim()).toBe('plc-7')
    await scene.shell.must('sync')
    await scene.vm.stop()
    const boot = scene.vm.disk.fat('boot')
    expect(boot.text('ntm-report.txt')).toMatch(/in force since .*role bridge/s)
    expect(boot.list()).not.toContain('token')
    // Not only its name: what it said must not be found by reading the medium itself.
    expect(scene.vm.disk.readRaw('boot').includes(token)).toBe(false)
  })

  test('a mistake on a stick: the report says what and where, the last good one stays, the wire bridges', async () => {
    const { scene } = line
    const since = scene.vm.mark()
    const toml = 'role = "bridge"\n[bridge]\nhost = "host0"\nnett = "net0"\n'
    const stick = join(scene.lab.dir, 'bad.img')
    const fat = makeStick(stick, { 'ntm.toml': toml })
    await scene.vm.start({ stick })
    await wireUp(scene.vm, since)
    await scene.vm.until(SAYS.ready('bridge'), { since })
    const state = await judged(scene, 'refused')
    expect(state['role']).toBe('bridge')
    expect(state['why']).toMatch(/nett/)
    expect((await scene.shell.must('hostname')).trim()).toBe('plc-7')
    expect(await pingThrough(scene)).toBeGreaterThanOrEqual(9)
    await scene.vm.stop()
    const report = fat.text('ntm-report.txt') ?? ''
    expect(report).toMatch(/nett/)
    expect(report).toMatch(/in force stays \(role bridge\)/)
  })

  test('a text that is not TOML is refused as well, with its line', async () => {
    await refused(line.scene, 'junk.img', { 'ntm.toml': 'role = "bridge"\nthis is no TOML\n' }, /line 2/i)
  })

  test('a good stick wins over the boot partition', async () => {
    const { scene } = line
    const since = scene.vm.mark()
    const network = LanNetwork.join(scene)
    const files = await network.bridgeFiles(scene, { appliance: { hostname: 'plc-8' }, name: 'bridge2' })
    const stick = join(scene.lab.dir, 'good.img')
    const fat = makeStick(stick, files)
    await scene.vm.start({ stick })
    await scene.vm.until(SAYS.ready('bridge'), { since })
    await named(scene, 'plc-8')
    expect(await scene.shell.state('config')).toMatchObject({ state: 'ok', role: 'bridge' })
    await scene.vm.until(/ntm-import: configuration ok/, { since })
    await scene.vm.stop()
    expect(fat.text('ntm-report.txt')).toMatch(/in force since/)
    expect(fat.list()).not.toContain('token')
  })

  test('a stick that comes while the box runs is read', async () => {
    const { scene } = line
    const since = scene.vm.mark()
    await scene.vm.start({ stick: null })
    await scene.vm.until(SAYS.ready('bridge'), { since })
    const network = LanNetwork.join(scene)
    const { token: _, ...files } = await network.bridgeFiles(scene, {
      appliance: { hostname: 'plc-9' },
      name: 'bridge3',
    })
    const stick = join(scene.lab.dir, 'late.img')
    // One without a partition table, as some are.
    const fat = makeStick(stick, files, { bare: true })
    await scene.vm.plugStick(stick)
    await named(scene, 'plc-9')
    await scene.vm.until(/ntm-import: configuration ok/, { since })
    await scene.vm.until(/box +plc-9 /, { since })
    expect(await pingThrough(scene)).toBeGreaterThanOrEqual(9)
    await scene.vm.stop()
    expect(fat.text('ntm-report.txt')).toMatch(/in force since/)
  })
})

/** What the box says of its configuration once it is so. A stick that is there when power comes may be found before the role starts or after that. */
function judged({ shell }: InLine, state: string): Promise<Readonly<Record<string, string>>> {
  const look = async () => {
    const said = await shell.state('config')
    return said['state'] === state ? said : null
  }
  return until(`configuration: ${state}`, look, 180_000, 2000)
}

/** The box has taken that name. */
function named({ shell }: InLine, name: string): Promise<true> {
  const look = async () => ((await shell.must('hostname')).trim() === name ? true : null)
  return until(`the name ${name}`, look, 180_000, 2000)
}

async function refused(scene: InLine, name: string, files: Files, why: RegExp): Promise<void> {
  const since = scene.vm.mark()
  const stick = join(scene.lab.dir, name)
  const fat = makeStick(stick, files)
  await scene.vm.start({ stick })
  await scene.vm.until(SAYS.ready('bridge'), { since })
  expect((await judged(scene, 'refused'))['role']).toBe('bridge')
  expect(await pingThrough(scene)).toBeGreaterThanOrEqual(9)
  await scene.vm.stop()
  expect(fat.text('ntm-report.txt')).toMatch(why)
}

describeImage('a box whose first configuration is bad', 'x86_64', () => {
  const line = lineForAll()

  test('bridges all the same, and says what is wrong on the console and beside the file', async () => {
    const { scene } = line
    scene.vm.disk.fat('boot').write({ 'ntm.toml': 'role = "brigde"\n' })
    await scene.vm.start()
    await wireUp(scene.vm)
    await scene.vm.until(/ntm-import: configuration refused: .*role/, { unless: SAYS.ready('bridge') })
    expect(await pingThrough(scene)).toBeGreaterThanOrEqual(9)
    await scene.vm.until(SAYS.good('A'))
    await scene.vm.stop()
    const report = scene.vm.disk.fat('boot').text('ntm-report.txt') ?? ''
    expect(report).toMatch(/role/)
    expect(report).toMatch(/ntm\.toml/)
  })
})
