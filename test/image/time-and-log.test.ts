import { join } from 'node:path'
import { expect, test } from 'vitest'
import { ROOT } from '#lab/netns.ts'
import { IN_LINE, type InLine } from '#lab/scenes/box-in-line.ts'
import { describeImage, LanNetwork, lineForTest, SAYS, tell } from '#test/support/image.ts'

// host ── [ box without a clock of its own ] ── lan: coordinator, a time server that is an hour ahead of everybody

describeImage('what the time is, and what was told', 'x86_64', () => {
  test('a time server counts for more than the coordinator; time goes on after a restart without both, and so does the log', async () => {
    const scene = await lineForTest({ clock: '2020-01-01T00:00:00' })
    const args = [join(ROOT, 'lab/ntp.ts'), IN_LINE.lan.ip4, `${AHEAD_SECONDS}`]
    const server = scene.lab.spawn('lan', 'time-server', process.execPath, args)
    await server.line(/ntp\.ready/)
    const network = await LanNetwork.start(scene)
    const appliance = { ntp: [IN_LINE.lan.ip4], log: 'data' }
    scene.vm.disk.fat('boot').write(await network.bridgeFiles(scene, { appliance }))
    await scene.vm.start()
    await scene.vm.until(SAYS.good('A'))
    await scene.shell.must('test -e /run/systemd/timesync/synchronized')
    expect(await aheadSeconds(scene)).toBeGreaterThan(AHEAD_SECONDS - 30)
    expect(await aheadSeconds(scene)).toBeLessThan(AHEAD_SECONDS + 30)
    // Kept each six hours and at the end. systemd-timesyncd asks each minute in the beginning, and writes each time, but in RAM.
    const saved = await scene.shell.must(SAVED)
    await new Promise((done) => setTimeout(done, 75_000))
    expect(await scene.shell.must(SAVED)).toBe(saved)

    server.kill('SIGKILL')
    network.programs.running.get('lan')?.kill('SIGKILL')
    const since = scene.vm.mark()
    const before = Date.now()
    await scene.shell.run('reboot')
    await scene.vm.until(SAYS.good('A'), { since })
    const ahead = await aheadSeconds(scene)
    tell(
      `${((Date.now() - before) / 1000).toFixed(0)} s after it went down, the box is ${(AHEAD_SECONDS - ahead).toFixed(0)} s behind`,
    )
    expect(ahead).toBeGreaterThan(AHEAD_SECONDS - (Date.now() - before) / 1000)
    expect(ahead).toBeLessThan(AHEAD_SECONDS + 30)
    expect(await scene.shell.must('journalctl -b -1 -u ntm.service --no-pager')).toMatch(/box\.registered/)
  })
})

const AHEAD_SECONDS = 3600
const SAVED = 'stat -c %Y /data/clock/clock || echo never'

/** How far the box's clock is ahead of this machine's. */
async function aheadSeconds({ shell }: InLine): Promise<number> {
  return Number(await shell.must('date +%s')) - Date.now() / 1000
}
