import { expect, test } from 'vitest'
import type { Disk } from '#lab/vm/disk.ts'
import { describeImage, lineForTest, pingThrough, SAYS, tell, wireUp } from '#test/support/image.ts'

// host 192.168.77.9 eth0 ── host0 [ box ] net0 ── lan0 192.168.77.1
// The slot that the loader would take is destroyed on the disk before power comes; the other one is whole.

const WAYS: readonly (readonly [what: string, damage: (disk: Disk) => void])[] = [
  ['the root file system is rubbish', (disk) => disk.damage('rootA')],
  ['the kernel’s partition is rubbish', (disk) => disk.damage('kernelA')],
  // The head of a squashfs is whole, so it is mounted; programs are missing later.
  ['the middle of the root file system is rubbish', (disk) => disk.damage('rootA', { from: 4 << 20, bytes: 40 << 20 })],
]

describeImage('a PC whose slot A is destroyed comes back in slot B', 'x86_64', () => {
  test.each(WAYS)('bios: %s', async (_, damage) => {
    const scene = await lineForTest({ machine: 'bios', watchdog: true })
    damage(scene.vm.disk)
    await scene.vm.start()
    const good = await scene.vm.until(SAYS.good('B'), { limitMs: 600_000 })
    tell(`in slot B ${(good.atMs / 1000).toFixed(1)} s after power came`)
    expect(scene.vm.console.find(SAYS.good('A'))).toBeNull()
    expect(await pingThrough(scene)).toBeGreaterThanOrEqual(9)
  })

  test('uefi: the root file system is rubbish', async () => {
    const scene = await lineForTest({ machine: 'uefi' })
    scene.vm.disk.damage('rootA')
    await scene.vm.start()
    await scene.vm.until(SAYS.good('B'), { limitMs: 600_000 })
    await wireUp(scene.vm)
    expect(await pingThrough(scene)).toBeGreaterThanOrEqual(9)
  })
})

describeImage('a Pi whose slot A is destroyed comes back in slot B', 'rpi-arm64', () => {
  test('through U-Boot on a Raspberry Pi 3B', async () => {
    const scene = await lineForTest({ board: 'rpi-arm64', machine: 'raspi3b', nics: [] })
    scene.vm.disk.damage('rootA')
    await scene.vm.start()
    const good = await scene.vm.until(SAYS.good('B'), { limitMs: 800_000 })
    tell(`in slot B ${(good.atMs / 1000).toFixed(1)} s after power came`)
  })
})
