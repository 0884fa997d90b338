import { expect, test } from 'vitest'
import type { Disk } from '#lab/vm/disk.ts'
import type { Vm } from '#lab/vm.ts'
import { describeImage, lineForTest, pingThrough, SAYS, tell } from '#test/support/image.ts'

// host 192.168.77.9 eth0 ── host0 [ box ] net0 ── lan0 192.168.77.1
// The slot that the loader would take is destroyed on the disk before power comes; the other one is whole.

type Way = {
  readonly what: string
  readonly damage: (disk: Disk) => void
  /** What is said of it on the console. */
  readonly says: RegExp
  /** Starts until slot B's. A kernel that the loader itself cannot read is not tried again. */
  readonly starts: RegExp
}

const ROOT_IS_RUBBISH: Way = {
  what: 'the root file system is rubbish',
  damage: (disk) => disk.damage('rootA'),
  says: /ntm-init: rootA \(\w+\) cannot be read: starting again/,
  starts: /^AAAB$/,
}

const WAYS: readonly Way[] = [
  ROOT_IS_RUBBISH,
  {
    what: 'the kernel’s partition is rubbish',
    damage: (disk) => disk.damage('kernelA'),
    says: /ntm-boot: the kernel of slot A cannot be read/,
    starts: /^AB$/,
  },
  // The head of a squashfs is whole, so it is mounted; programs are missing later.
  {
    what: 'the middle of the root file system is rubbish',
    damage: (disk) => disk.damage('rootA', { from: 4 << 20, bytes: 40 << 20 }),
    says: /SQUASHFS error/,
    // As soon as the verdict is that the program cannot be run; what does not come that far has three.
    starts: /^A{1,3}B$/,
  },
]

describeImage('a PC whose slot A is destroyed comes back in slot B', 'x86_64', () => {
  test.each(WAYS)('bios: $what', async (way) => {
    const scene = await lineForTest({ machine: 'bios', watchdog: true })
    way.damage(scene.vm.disk)
    await scene.vm.start()
    await inSlotB(scene.vm, way)
    expect(await pingThrough(scene)).toBeGreaterThanOrEqual(9)
  })

  test('uefi: the root file system is rubbish', async () => {
    const scene = await lineForTest({ machine: 'uefi' })
    ROOT_IS_RUBBISH.damage(scene.vm.disk)
    await scene.vm.start()
    await inSlotB(scene.vm, ROOT_IS_RUBBISH)
    expect(await pingThrough(scene)).toBeGreaterThanOrEqual(9)
  })
})

describeImage('a Pi whose slot A is destroyed comes back in slot B', 'rpi-arm64', () => {
  test('through U-Boot on a Raspberry Pi 3B', async () => {
    const scene = await lineForTest({ board: 'rpi-arm64', machine: 'raspi3b', nics: [] })
    ROOT_IS_RUBBISH.damage(scene.vm.disk)
    await scene.vm.start()
    await inSlotB(scene.vm, ROOT_IS_RUBBISH)
  })
})

/** Slot A has had its starts and nothing more, slot B is good, and whoever looked at the console knows what happened and what to do. */
async function inSlotB(vm: Vm, { says, starts }: Way): Promise<void> {
  const good = await vm.until(SAYS.good('B'), { limitMs: 800_000 })
  tell(`in slot B ${(good.atMs / 1000).toFixed(1)} s after power came`)
  const lines = vm.console.lines.map(({ text }) => text)
  const started = lines.flatMap((text) => /ntm-boot: starting slot ([AB])/.exec(text)?.[1] ?? [])
  expect(started.join('')).toMatch(starts)
  expect(lines.find((text) => says.test(text))).toBeDefined()
  expect(lines).toContain('ntm-boot: slot A has no starts left: it did not come up, or not do its work')
  expect(vm.console.find(/ntm-slot: B runs, for slot A does not start.* The next update mends that/)).not.toBeNull()
  expect(vm.console.find(SAYS.good('A'))).toBeNull()
}
