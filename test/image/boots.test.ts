import { expect, test } from 'vitest'
import type { DiskBus, Machine } from '#lab/vm/plan.ts'
import { describeImage, lineForTest, pingThrough, SAYS, tell, wireUp } from '#test/support/image.ts'

// host 192.168.77.9 eth0 ── host0 [ box, as flashed ] net0 ── lan0 192.168.77.1
// Nobody configures anything: the only way from host to lan is through the box, so an answer proves that the box bridges.

const PCS: readonly (readonly [Machine, DiskBus])[] = [
  ['bios', 'virtio'],
  ['uefi', 'virtio'],
  ['bios', 'ahci'],
  ['uefi', 'nvme'],
  ['uefi', 'usb'],
]

describeImage('a flashed PC boots and bridges', 'x86_64', () => {
  test.each(PCS)('%s, disk on %s', async (machine, bus) => {
    const scene = await lineForTest({ machine, bus })
    expect(await pingThrough(scene, 2), 'the box is off, and yet there is a way').toBe(0)
    await scene.vm.start()
    await wireUp(scene.vm)
    expect(await pingThrough(scene)).toBeGreaterThanOrEqual(9)
    const good = await scene.vm.until(SAYS.good('A'), { unless: SAYS.panic })
    tell(`${machine}, ${bus}: ${(good.atMs / 1000).toFixed(1)} s from power to a good slot`)
  })
})

describeImage('a flashed card boots', 'rpi-arm64', () => {
  test('its kernel and root on an arm64 machine with network ports: it bridges', async () => {
    const scene = await lineForTest({ board: 'rpi-arm64', machine: 'virt' })
    await scene.vm.start()
    await wireUp(scene.vm)
    expect(await pingThrough(scene)).toBeGreaterThanOrEqual(9)
    await scene.vm.until(SAYS.good('A'), { unless: SAYS.panic })
  })

  // QEMU's Raspberry Pi has no network port: U-Boot, the slot and the system are what can be seen.
  test('the card as it is in a Raspberry Pi 3B, through U-Boot', async () => {
    const scene = await lineForTest({ board: 'rpi-arm64', machine: 'raspi3b', nics: [] })
    await scene.vm.start()
    await scene.vm.until(/U-Boot 20/)
    const good = await scene.vm.until(SAYS.good('A'), { unless: SAYS.panic, limitMs: 420_000 })
    tell(`raspi3b: ${(good.atMs / 1000).toFixed(1)} s from power to a good slot`)
  })
})
