import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { ROOT } from '#lab/netns.ts'
import { until } from '#lab/process.ts'
import { Product } from '#lab/product.ts'
import { PLACE, type Scene, v4HostToV6Server } from '#lab/scenes/v4-host-to-v6-server.ts'
import { describeLab } from '#test/support/lab.ts'
import { machineOf } from './machine.ts'

// The scene as drawn in lab/scenes/v4-host-to-v6-server.ts: what happens to a terminator's interfaces while it carries packets.

describeLab('a terminator whose interfaces change under load', () => {
  let scene: Scene
  let product: Product
  let before: string[]
  beforeAll(async () => {
    scene = await v4HostToV6Server()
    product = new Product(scene)
    await product.initNetwork()
    await product.coordinator()
    before = await machineOf(scene.lab, 'tt')
    await product.tt()
    await product.bridge()
  })
  afterAll(() => scene?.dispose())

  test('its uplink takes smaller packets all of a sudden: a transfer both ways goes on, and every byte is right', async () => {
    const program = join(ROOT, 'test/netns/super/tcp-bulk.ts')
    const bytes = '60000000'
    const server = scene.lab.spawn('web6', 'bulk', process.execPath, [program, 'serve', PLACE.web6.ip6, '5001', bytes])
    await server.line(/^bulk.ready/)
    const uplink = (mtu: number): void => {
      scene.lab.ip('tt', `link set ${PLACE.tt.link} mtu ${mtu}`)
      scene.lab.ip('inet', `link set tt mtu ${mtu}`)
    }
    const toWeb = async (): Promise<number> =>
      Number(await scene.lab.must('inet', 'cat', ['/sys/class/net/web6/statistics/tx_bytes']))
    // A shaped path, so that the change comes in the middle.
    await scene.lab.must('inet', 'tc', ['qdisc', 'add', 'dev', 'web6', 'root', 'tbf', 'rate', '200mbit', 'burst', '256k', 'latency', '50ms']) // biome-ignore format: one command
    const before = await toWeb()
    const call = scene.lab.must('host', process.execPath, [program, 'call', PLACE.web6.name, '5001', bytes], { limitMs: 100_000 }) // biome-ignore format: one command
    const carried = (least: number): Promise<true> =>
      until(`${least} bytes`, async () => ((await toWeb()) - before >= least ? true : null), 60_000)
    await carried(10_000_000)
    uplink(1300)
    await carried(25_000_000)
    uplink(1500)
    // In the middle it was, whatever the machine does besides.
    expect((await toWeb()) - before).toBeLessThan(55_000_000)
    await call
    await scene.lab.must('inet', 'tc', ['qdisc', 'del', 'dev', 'web6', 'root'])
    await server.stop()
  })

  test('its tun device is taken away: it says so once, ends with an error and leaves nothing', async () => {
    const tt = product.programs.tt
    scene.lab.ip('tt', 'link del ntm0')
    expect(await tt?.exited).toBe(1)
    const said = tt?.text().split('\n') ?? []
    expect(said.filter((line) => line.includes('"event":"role.failed"') && line.includes('ntm0'))).toHaveLength(1)
    expect(await machineOf(scene.lab, 'tt')).toEqual(before)
  })
})
