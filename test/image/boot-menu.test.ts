import { expect, test } from 'vitest'
import { pause } from '#lab/process.ts'
import type { Vm } from '#lab/vm.ts'
import { describeImage, lineForTest, pingThrough, SAYS, wireUp } from '#test/support/image.ts'

// host ── [ box, somebody at its serial port ] ── lan

describeImage('the menu of the boot loader', 'x86_64', () => {
  test('starts the other slot, once; and forgets the configuration', async () => {
    const scene = await lineForTest({ machine: 'bios' })
    const { vm } = scene
    await vm.start()
    await choose(vm, ENTRY.slotB)
    await vm.until(SAYS.good('B'))
    expect(vm.console.find(/ntm-boot: starting slot B/)).not.toBeNull()

    const again = vm.mark()
    await vm.reset()
    await choose(vm, ENTRY.reset, again)
    await vm.until(/ntm-data: emptied, as the boot menu or button asked/, { since: again })
    await wireUp(vm, again)
    await vm.until(SAYS.good('A'), { since: again })
    expect(vm.console.find(/ntm-boot: starting slot A \(starts left: A 2, B 3\)/, again)).not.toBeNull()
    expect(await pingThrough(scene)).toBeGreaterThanOrEqual(9)
  })

  test('no key, no command: neither an entry nor a prompt can be typed into', async () => {
    const scene = await lineForTest({ machine: 'bios' })
    const { vm } = scene
    await vm.start()
    await vm.until(ASKS)
    // c: GRUB's prompt, e: its editor. Both ask for a user who does not exist; Esc goes back.
    vm.console.write(`${ESC}c`)
    await vm.until(/username/i, { limitMs: 30_000 })
    vm.console.write('root\rroot\r')
    await vm.until(/Access denied|error/i, { limitMs: 30_000 })
    expect(vm.console.find(/grub>/)).toBeNull()
  })
})

/** Waits for the offer and takes an entry of the menu: Esc, some times to the next one (Ctrl-N), Enter. A person's pace: what comes in one go is lost. */
async function choose(vm: Vm, entry: number, since = 0): Promise<void> {
  await vm.until(ASKS, { since })
  vm.console.write(ESC)
  await vm.until(/Press enter to boot/, { since, limitMs: 30_000 })
  for (const key of `${'\x0e'.repeat(entry)}\r`) {
    await pause(700)
    vm.console.write(key)
  }
}

const ASKS = /ntm-boot: NTMobile\. Esc: menu/
const ESC = '\x1b'
const ENTRY = { slotB: 2, reset: 3 } as const
