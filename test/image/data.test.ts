import { expect, test } from 'vitest'
import { until } from '#lab/process.ts'
import type { InLine, InLineOptions } from '#lab/scenes/box-in-line.ts'
import { describeImage, LanNetwork, lineForTest, pingThrough, SAYS, tell, wireUp } from '#test/support/image.ts'

// host ── [ box ] ── lan: coordinator. What happens to the data partition, seen from inside the box.

describeImage('the data partition', 'x86_64', () => {
  test('grows to the end of a bigger disk at the first start, once, and what is on it stays', async () => {
    const { scene } = await bridgeOf({ disk: { mib: 4096 } })
    const before = scene.vm.disk.partition('data').bytes
    await scene.vm.start()
    await scene.vm.until(SAYS.ready('bridge'))
    await scene.vm.until(/ntm-data: grown to \d+ MiB/)
    const mib = await dataMib(scene)
    tell(`data: ${before / 2 ** 20} MiB in the image, ${mib} MiB on a disk of 4096 MiB`)
    expect(mib).toBeGreaterThan(3000)
    expect(await scene.shell.state('data')).toMatchObject({ medium: 'disk', version: '1' })
    await scene.shell.must('echo kept >/data/kept; sync')
    const since = await again(scene)
    expect(await scene.shell.must('cat /data/kept')).toBe('kept\n')
    expect(await dataMib(scene)).toBe(mib)
    await off(scene)
    expect(scene.vm.console.find(/ntm-data: grown/, since), 'a second time').toBeNull()
    expect(dumpe2fs(scene)).toMatch(/Filesystem state: +clean$/m)
    // Throws where e2fsck finds something to mend.
    scene.vm.disk.withPartition('data', 'e2fsck', (file) => ['-fn', file])
  })

  test('damaged beyond repair: the box bridges from RAM, says so, and takes its configuration from the boot partition at each start', async () => {
    const { scene, token } = await bridgeOf()
    scene.vm.disk.damage('data')
    await scene.vm.start()
    await wireUp(scene.vm)
    await scene.vm.until(/ntm-data: works from RAM, .*damaged/)
    await scene.vm.until(SAYS.ready('bridge'))
    expect(await scene.shell.state('data')).toMatchObject({ medium: 'ram', why: expect.stringMatching(/damaged/) })
    expect(await pingThrough(scene)).toBeGreaterThanOrEqual(9)
    await again(scene)
    expect(await scene.shell.state('data')).toMatchObject({ medium: 'ram' })
    await off(scene)
    // What RAM forgets stays where it came from.
    expect(scene.vm.disk.fat('boot').text('token')?.trim()).toBe(token)
    expect(scene.vm.disk.fat('boot').text('ntm-report.txt')).toMatch(/data partition cannot be used/)
  })

  test('damaged where it can be repaired: it is, and nothing is lost', async () => {
    const { scene } = await bridgeOf()
    await scene.vm.start()
    await scene.vm.until(SAYS.ready('bridge'))
    const box = await member(scene)
    await off(scene)
    // The first super block; e2fsck takes one of the copies.
    scene.vm.disk.damage('data', { from: 1024, bytes: 1024 })
    const since = scene.vm.mark()
    await scene.vm.start()
    await wireUp(scene.vm, since)
    await scene.vm.until(/ntm-data: repaired/, { since })
    await scene.vm.until(SAYS.ready('bridge'), { since })
    expect(await scene.shell.state('data')).toMatchObject({ medium: 'disk', why: '' })
    expect(await member(scene)).toBe(box)
  })

  test('its disk begins to fail while the box runs: said, then RAM takes its place; on a good disk all is as before', async () => {
    const { scene } = await bridgeOf()
    await scene.vm.start({}, { mortal: true })
    await scene.vm.until(SAYS.ready('bridge'))
    const box = await member(scene)
    await scene.shell.must('sync')
    let since = scene.vm.mark()
    // Somebody reads sectors in which nothing lies: not the ones that udev looks at, for the kernel remembers those.
    const sick = { offset: 44 * 2 ** 20, bytes: 2 ** 16 }
    scene.vm.partitionDies('data', 'all', sick)
    const read = await scene.shell.run(`dd if=/dev/ntm/data bs=4096 skip=${sick.offset / 4096} count=1 of=/dev/null`)
    expect(read.code).not.toBe(0)
    await scene.vm.until(/ntm-data: the disk reports errors/, { since })
    expect(await scene.shell.state('data')).toMatchObject({ medium: 'disk', why: 'its disk reports errors' })
    since = scene.vm.mark()
    scene.vm.partitionDies('data', 'writes')
    await scene.shell.run('echo lost >/data/lost; sync')
    await scene.vm.until(/ntm-data: works from RAM, .*(read-only|cannot be written)/, { since })
    await scene.vm.until(SAYS.ready('bridge'), { since })
    expect(await scene.shell.state('data')).toMatchObject({ medium: 'ram' })
    expect(await member(scene)).toBe(box)
    expect(await pingThrough(scene)).toBeGreaterThanOrEqual(9)
    await until('the report', async () => ((await reported(scene)) ? true : null), 60_000, 1000)
    await scene.vm.stop()
    expect(scene.vm.disk.fat('boot').text('ntm-report.txt')).toMatch(/in force.*TROUBLE: the box works from RAM/s)
    since = scene.vm.mark()
    await scene.vm.start()
    await scene.vm.until(SAYS.ready('bridge'), { since })
    expect(await scene.shell.state('data')).toMatchObject({ medium: 'disk', why: '' })
    expect(await member(scene)).toBe(box)
    expect(await reported(scene)).toBe(false)
  })

  test('full: the box starts, bridges, is in its network, says so, and can be reset', async () => {
    const { scene } = await bridgeOf()
    await scene.vm.start()
    await scene.vm.until(SAYS.ready('bridge'))
    const box = await member(scene)
    await scene.shell.run('dd if=/dev/zero of=/data/fill bs=1M; dd if=/dev/zero of=/data/fill2 bs=1k; sync')
    const since = await again(scene)
    await scene.vm.until(/ntm-data: works from RAM, .*full/, { since })
    expect(await pingThrough(scene)).toBeGreaterThanOrEqual(9)
    expect(await scene.shell.state('data')).toMatchObject({ medium: 'ram', why: expect.stringMatching(/full/) })
    expect(await member(scene)).toBe(box)
    expect(await reported(scene)).toBe(true)
    // The way out, where nothing on it is worth keeping.
    const end = scene.vm.mark()
    await scene.shell.run('ntm reset --yes')
    await scene.vm.until(/ntm-data: emptied, as .* asked/, { since: end })
  })
})

/** A box that is switched off, with what makes it a bridge of the network around it on its boot partition. */
async function bridgeOf(options: InLineOptions = {}): Promise<{ scene: InLine; token: string }> {
  const scene = await lineForTest(options)
  const network = await LanNetwork.start(scene)
  const files = await network.bridgeFiles(scene)
  scene.vm.disk.fat('boot').write(files)
  return { scene, token: String(files['token']).trim() }
}

/** Starts the box anew from inside. Returns where its console stood then. */
async function again(scene: InLine): Promise<number> {
  const since = scene.vm.mark()
  await scene.shell.run('reboot')
  await wireUp(scene.vm, since)
  await scene.vm.until(SAYS.ready('bridge'), { since })
  return since
}

/** In order, by the box itself. */
async function off(scene: InLine): Promise<void> {
  await scene.shell.run('poweroff')
  await until('the box is off', () => (scene.vm.running ? null : true), 120_000, 200)
  await scene.vm.stop()
}

/** Who the box is in its network; resolves when it is registered there. */
async function member({ shell }: InLine): Promise<string> {
  const status = 'ntm status --json --socket /run/ntm/bridge.sock'
  await shell.must(`${status} | grep -q '"state": *"registered"'`)
  return shell.must('sha256sum </data/ntm/box.json')
}

/** Whether the report on the boot partition tells of trouble with data. */
async function reported({ shell }: InLine): Promise<boolean> {
  const show = 'cat /run/look/ntm-report.txt; umount /run/look'
  const report = await shell.must(`mkdir -p /run/look; mount -o ro /dev/ntm/boot /run/look && { ${show}; }`)
  return report.includes('TROUBLE: ')
}

async function dataMib({ shell }: InLine): Promise<number> {
  return Number(await shell.must("df -Pm /data | awk 'NR==2 {print $2}'"))
}

const dumpe2fs = ({ vm }: InLine): string => vm.disk.withPartition('data', 'dumpe2fs', (file) => ['-h', file])
