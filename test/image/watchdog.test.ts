import { expect, test } from 'vitest'
import type { InLine } from '#lab/scenes/box-in-line.ts'
import { describeImage, LanNetwork, lineForTest, pingThrough, SAYS, tell } from '#test/support/image.ts'

// host ── [ box with the watchdog device i6300esb ] ── lan: coordinator

describeImage('watchdogs', 'x86_64', () => {
  test.each([
    ['the watchdog of the hardware', true],
    ['the kernel’s own, where the machine has none,', false],
  ])('systemd stands still: %s resets the box, and it comes back', async (_, watchdog) => {
    const scene = await member({ watchdog })
    const { vm } = scene
    // The kernel's is taken a little after the box is ready, when none of the hardware's has shown up.
    await scene.shell.must('ls -l /proc/1/fd | grep -q /dev/watchdog')
    expect(vm.events).not.toContain('RESET')
    const since = vm.mark()
    const begun = performance.now()
    // The session that does it may not come to its end.
    await scene.shell.run(FREEZE, 20_000)
    await vm.until(SAYS.ready('bridge'), { since })
    tell(`ready again ${((performance.now() - begun) / 1000).toFixed(0)} s after systemd stood still`)
    expect(vm.events.includes('WATCHDOG')).toBe(watchdog)
    expect(vm.events).toContain('RESET')
    expect(await pingThrough(scene)).toBeGreaterThanOrEqual(9)
  })

  test('systemd crashes: the box restarts', async () => {
    const scene = await member()
    const since = scene.vm.mark()
    await scene.shell.run('kill -SEGV 1', 20_000)
    await scene.vm.until(SAYS.wire, { since })
    expect(scene.vm.events).toContain('RESET')
    expect(await pingThrough(scene)).toBeGreaterThanOrEqual(9)
  })

  test('the program stands still: systemd starts it again, and the wire never stops', async () => {
    const scene = await member()
    const since = scene.vm.mark()
    await scene.shell.must('kill -STOP $(systemctl show -p MainPID --value ntm.service)')
    expect(await pingThrough(scene)).toBeGreaterThanOrEqual(9)
    await scene.vm.until(SAYS.ready('bridge'), { since })
    expect(scene.vm.events).not.toContain('RESET')
  })
})

/** A box that is a bridge of a network, ready. */
async function member(options: { readonly watchdog?: boolean } = {}): Promise<InLine> {
  const scene = await lineForTest(options)
  const network = await LanNetwork.start(scene)
  scene.vm.disk.fat('boot').write(await network.bridgeFiles(scene))
  await scene.vm.start()
  await scene.vm.until(SAYS.ready('bridge'))
  return scene
}

/** The kernel keeps SIGSTOP from process 1; its control group can stand still all the same. */
const FREEZE = 'echo 1 >/sys/fs/cgroup/init.scope/cgroup.freeze'
