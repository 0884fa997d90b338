import { afterAll, beforeAll, expect, test } from 'vitest'
import { PAGE } from '#lab/checks.ts'
import { Product } from '#lab/product.ts'
import { PLACE, type Scene, v4HostToV6Server } from '#lab/scenes/v4-host-to-v6-server.ts'
import { describeLab } from '#test/support/lab.ts'

// The scene of lab/scenes/v4-host-to-v6-server.ts; the bridge's own address on the LAN changes under it.

describeLab('a bridge whose own address changes', () => {
  let scene: Scene
  let product: Product
  beforeAll(async () => {
    scene = await v4HostToV6Server()
    product = new Product(scene)
    await product.initNetwork()
    await product.coordinator({ 'log.level': 'debug' })
    await product.tt()
    await product.bridge()
    await PAGE.run(scene)
  })
  afterAll(() => scene?.dispose())

  test('tells its coordinator and goes on carrying packets', async () => {
    const { bridge } = PLACE.bridge
    const old = await scene.address4('bridge', bridge)
    // Deleted first: the kernel takes an interface's secondary addresses away with the primary one.
    const route = `route replace default via ${PLACE.lan.router} dev ${bridge}`
    scene.lab.ip('bridge', `addr del ${old}/24 dev ${bridge}`, `addr add 192.168.77.250/24 dev ${bridge}`, route)
    await product.programs.bridge?.line(/"event":"box\.moved"/)
    expect(await PAGE.run(scene)).not.toBe('')
  })
})
