import { expect, test } from 'vitest'
import { describeImage, LanNetwork, lineForTest, pingThrough, SAYS, tell } from '#test/support/image.ts'

// host ── [ box with the watchdog device i6300esb ] ── lan: coordinator

describeImage('watchdogs', 'x86_64', () => {
  test('systemd stands still: the hardware resets the box, and it comes back', async () => {
    const scene = await lineForTest({ watchdog: true })
    const network = await LanNetwork.start(scene)
    scene.vm.disk.fat('boot').write(await network.bridgeFiles(scene))
    await scene.vm.start()
    await scene.vm.until(SAYS.ready('bridge'))
    expect(scene.vm.events).not.toContain('WATCHDOG')
    const since = scene.vm.mark()
    const begun = performance.now()
    await scene.shell.must(HANG)
    await scene.vm.until(SAYS.ready('bridge'), { since, limitMs: 420_000 })
    tell(`ready again ${((performance.now() - begun) / 1000).toFixed(0)} s after systemd stood still`)
    expect(scene.vm.events).toContain('WATCHDOG')
    expect(await pingThrough(scene)).toBeGreaterThanOrEqual(9)
  })

  test('the program stands still: systemd starts it again, and the wire never stops', async () => {
    const scene = await lineForTest()
    const network = await LanNetwork.start(scene)
    scene.vm.disk.fat('boot').write(await network.bridgeFiles(scene))
    await scene.vm.start()
    await scene.vm.until(SAYS.ready('bridge'))
    const since = scene.vm.mark()
    await scene.shell.must('kill -STOP $(systemctl show -p MainPID --value ntm.service)')
    expect(await pingThrough(scene)).toBeGreaterThanOrEqual(9)
    await scene.vm.until(SAYS.ready('bridge'), { since })
    expect(scene.vm.events).not.toContain('RESET')
  })
})

/**
 * The kernel keeps SIGSTOP from process 1. What it cannot keep away is a crash: systemd then sleeps for ever and feeds nothing, as after a bug of
 * its own (`CrashReboot=no` is its default).
 */
const HANG = 'kill -SEGV 1'
