import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { BIG_SHA256, sha256 } from '#lab/content.ts'
import { PLACE } from '#lab/scenes/v4-host-to-v6-server.ts'
import { dhcpClient, pageOf } from '#lab/services.ts'
import { describeLab } from '#test/support/lab.ts'
import { pause, Rig } from './rig.ts'

// A second machine behind the same bridge: the pair of boxes gets a new contract that allows both, and nobody's
// connections may notice.

describeLab('a second host behind the bridge', () => {
  let rig: Rig
  beforeAll(async () => {
    rig = await Rig.up()
    await rig.warm()
  })
  afterAll(() => rig?.dispose())

  test("it reaches the server, and the first host's download goes on to its end", async () => {
    const { lab } = rig.scene
    const file = join(lab.dir, 'download')
    const args = ['-sS', '--fail', '--max-time', '60', '--limit-rate', '6M', '-o', file]
    // Longer than a superseded path is kept.
    const download = lab.run('host', 'curl', [...args, `http://${PLACE.web6.name}/100m.bin`], { limitMs: 70_000 })
    await pause(1000)
    lab.room('guest')
    lab.ip('host', `link add guest0 link ${PLACE.host.link} type macvlan mode bridge`)
    lab.ip('host', `link set guest0 netns ${lab.netns('guest')}`)
    lab.ip('guest', 'link set guest0 up')
    await dhcpClient(lab, 'guest', 'guest0')
    const page = await lab.run('guest', 'curl', ['-sS', '--fail', '--max-time', '10', `http://${PLACE.web6.name}/`])
    expect([page.code, page.stdout]).toEqual([0, pageOf(PLACE.web6.name)])
    expect(rig.lines('coordinator').filter((l) => l['how'] === 'new').length).toBe(2)
    const done = await download
    expect([done.code, done.stderr]).toEqual([0, ''])
    expect(await sha256(file)).toBe(BIG_SHA256)
    expect(await rig.page()).toBe(true)
    expect(await rig.counters('tt')).toMatchObject({ 'table.paths': 1, 'table.customers': 1 })
  })
})
