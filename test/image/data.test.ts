import { expect, test } from 'vitest'
import { describeImage, LanNetwork, lineForTest, pingThrough, SAYS, tell, wireUp } from '#test/support/image.ts'

// host ── [ box ] ── lan: coordinator. What happens to the data partition, seen from inside the box.

describeImage('the data partition', 'x86_64', () => {
  test('grows to the end of a bigger disk at the first start, once, and what is on it stays', async () => {
    const scene = await lineForTest({ disk: { mib: 4096 } })
    const network = await LanNetwork.start(scene)
    scene.vm.disk.fat('boot').write(await network.bridgeFiles(scene))
    const before = scene.vm.disk.partition('data').bytes
    await scene.vm.start()
    await scene.vm.until(SAYS.ready('bridge'))
    const mib = Number(await scene.shell.must("df -Pm /data | awk 'NR==2 {print $2}'"))
    tell(`data: ${before / 2 ** 20} MiB in the image, ${mib} MiB on a disk of 4096 MiB`)
    expect(mib).toBeGreaterThan(3000)
    expect(await scene.shell.state('data')).toMatchObject({ medium: 'disk', version: '1' })
    await scene.shell.must('echo kept >/data/kept; sync')
    const since = scene.vm.mark()
    await scene.shell.run('reboot')
    await scene.vm.until(SAYS.ready('bridge'), { since })
    expect(await scene.shell.must('cat /data/kept')).toBe('kept\n')
    expect(Number(await scene.shell.must("df -Pm /data | awk 'NR==2 {print $2}'"))).toBe(mib)
    await scene.vm.stop()
    const check = scene.vm.disk.withPartition('data', 'e2fsck', (file) => ['-fn', file])
    expect(check).not.toMatch(/WARNING|Fix\?/)
  })

  test('damaged beyond repair: the box bridges from RAM, says so, and takes its configuration from the stick', async () => {
    const scene = await lineForTest()
    scene.vm.disk.damage('data')
    const network = await LanNetwork.start(scene)
    scene.vm.disk.fat('boot').write(await network.bridgeFiles(scene))
    await scene.vm.start()
    await wireUp(scene.vm)
    await scene.vm.until(/ntm-data: .*RAM/i)
    await scene.vm.until(SAYS.ready('bridge'))
    expect(await scene.shell.state('data')).toMatchObject({ medium: 'ram' })
    expect((await scene.shell.state('data'))['why']).not.toBe('')
    expect(await pingThrough(scene)).toBeGreaterThanOrEqual(9)
  })

  test('damaged where it can be repaired: it is, and nothing is lost', async () => {
    const scene = await lineForTest()
    const network = await LanNetwork.start(scene)
    scene.vm.disk.fat('boot').write(await network.bridgeFiles(scene))
    await scene.vm.start()
    await scene.vm.until(SAYS.ready('bridge'))
    await scene.shell.must('sync')
    await scene.vm.stop()
    // The first super block; e2fsck takes one of the copies.
    scene.vm.disk.damage('data', { from: 1024, bytes: 1024 })
    const since = scene.vm.mark()
    await scene.vm.start()
    await wireUp(scene.vm, since)
    await scene.vm.until(SAYS.ready('bridge'), { since })
    expect(await scene.shell.state('data')).toMatchObject({ medium: 'disk' })
  })

  test('full: the box starts, bridges and tunnels, and says so', async () => {
    const scene = await lineForTest()
    const network = await LanNetwork.start(scene)
    scene.vm.disk.fat('boot').write(await network.bridgeFiles(scene))
    await scene.vm.start()
    await scene.vm.until(SAYS.ready('bridge'))
    await scene.shell.run('dd if=/dev/zero of=/data/fill bs=1M; dd if=/dev/zero of=/data/fill2 bs=1k; sync')
    const since = scene.vm.mark()
    await scene.shell.run('reboot')
    await wireUp(scene.vm, since)
    await scene.vm.until(SAYS.ready('bridge'), { since })
    expect(await pingThrough(scene)).toBeGreaterThanOrEqual(9)
    expect((await scene.shell.state('data'))['why']).toMatch(/full/)
  })
})
