import { expect, test } from 'vitest'
import type { InLine } from '#lab/scenes/box-in-line.ts'
import type { VmPlan } from '#lab/vm/plan.ts'
import { describeImage, LanNetwork, lineForTest, pingThrough, SAYS, tell } from '#test/support/image.ts'

// host ── [ box ] ── lan: coordinator

describeImage('watchdogs', 'x86_64', () => {
  test.each([
    ['a watchdog card', { watchdog: true }],
    ['the watchdog of the chipset', { watchdog: 'chipset' }],
    // Its driver is kept away, so that there is none.
    ['the kernel’s own, where the machine has none,', { extra: 'initcall_blacklist=iTCO_wdt_driver_init' }],
  ] as const)('systemd stands still: %s resets the box, and it comes back', async (_, box) => {
    const scene = await member(box)
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
    expect(vm.events.includes('WATCHDOG')).toBe('watchdog' in box)
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

  test('something does not end: a restart that was asked for comes all the same', async () => {
    const scene = await member()
    await scene.shell.must(`echo '${NEVER_ENDS}' >/run/systemd/system/stays.service && systemctl start stays`)
    const since = scene.vm.mark()
    await scene.shell.run('reboot', 20_000)
    await scene.vm.until(SAYS.ready('bridge'), { since })
    expect(await scene.shell.state('data')).toMatchObject({ medium: 'disk', repaired: '0' })
  })
})

/** A box that is a bridge of a network, ready; `extra`: arguments for its kernel. */
async function member({ watchdog, extra }: Pick<VmPlan, 'watchdog'> & { extra?: string } = {}): Promise<InLine> {
  const scene = await lineForTest(watchdog === undefined ? {} : { watchdog })
  const network = await LanNetwork.start(scene)
  const boot = scene.vm.disk.fat('boot')
  boot.write(await network.bridgeFiles(scene))
  if (extra !== undefined) boot.write({ 'grub/local.cfg': `set extra="${extra}"\n` })
  await scene.vm.start()
  await scene.vm.until(SAYS.ready('bridge'))
  // SSH comes after the role.
  await scene.shell.must('true')
  return scene
}

/** The kernel keeps SIGSTOP from process 1; its control group can stand still all the same. */
const FREEZE = 'echo 1 >/sys/fs/cgroup/init.scope/cgroup.freeze'

const NEVER_ENDS = ['[Service]', 'ExecStart=sleep infinity', 'ExecStop=sleep infinity', 'TimeoutStopSec=infinity'].join(
  '\n',
)
