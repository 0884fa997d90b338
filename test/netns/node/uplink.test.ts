import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { pause, until } from '#lab/process.ts'
import { type NodesScene, nodes } from '#lab/scenes/nodes.ts'
import { describeLab } from '#test/support/lab.ts'

// laptop ── eth0 (home, global addresses, the better metric) and eth1 (away, likewise)   ·   desk: at a third site
// The desk says from where it hears the laptop, so a move that did not happen cannot pass.
describeLab('a terminal with two uplinks', () => {
  let scene: NodesScene
  let failed = false
  const seats: Record<string, { ip4: string | null; ip6: string | null }> = {}

  beforeAll(async () => {
    scene = await nodes({ relays: 0 })
    const [home, away, work] = [
      await scene.site('home', 'v4-only'),
      await scene.site('away', 'v4-only'),
      await scene.site('work', 'v4-only'),
    ]
    seats['home'] = scene.machine('laptop', home)
    seats['away'] = scene.net.join('laptop', 'eth1', away, { metric: 200 })
    scene.machine('desk', work)
    await Promise.all([scene.node('laptop'), scene.node('desk')])
  })
  afterEach(({ task }) => {
    failed ||= task.result?.state === 'fail'
  })
  afterAll(() => {
    if (failed) process.stderr.write(`the lab's logs: ${scene?.lab.keepLogs('failed-uplink')}\n`)
    scene?.dispose()
  })

  const heardFrom = async (): Promise<string> => {
    const path = (await scene.status('desk')).paths.find((p) => p.peer === `laptop.${scene.zone}` && p.state === 'open')
    return path?.at?.split(':')[0] ?? 'nowhere'
  }
  const prefer = (name: string) =>
    scene.programs.ntm('laptop', ['uplink', '--socket', `${scene.lab.dir}/laptop.sock`, '--prefer', name])

  test('ntm uplink moves there and back while packets are under way, and none is lost', async () => {
    await until('a path', async () => ((await scene.reaches('laptop', 'desk', 1)) ? true : null))
    expect(await heardFrom()).toBe(seats['home']?.ip4)
    const ping = scene.lab.run('laptop', 'ping', ['-i0.02', '-c400', '-W2', `desk.${scene.zone}`])
    await pause(1500)
    await prefer('eth1')
    await pause(2500)
    expect(await heardFrom()).toBe(seats['away']?.ip4)
    await prefer('auto')
    const said = (await ping).stdout
    expect(said).toContain('400 packets transmitted, 400 received')
    expect(await heardFrom()).toBe(seats['home']?.ip4)
  })

  test('an interface that is no way out is kept in mind, and said so', async () => {
    await expect(prefer('eth9')).rejects.toThrow(/no way out now/)
    await prefer('auto')
  })
})
