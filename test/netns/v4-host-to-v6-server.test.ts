import { afterAll, beforeAll, expect, test } from 'vitest'
import { CHECKS, hostState, PAGE } from '#lab/checks.ts'
import { Product } from '#lab/product.ts'
import { type Scene, v4HostToV6Server } from '#lab/scenes/v4-host-to-v6-server.ts'
import { describeLab } from '#test/support/lab.ts'

// The scene as drawn in lab/scenes/v4-host-to-v6-server.ts, with the product running: what the demo tells, as tests.
// Each check throws with what was seen instead.

describeLab('an unmodified IPv4-only host reaches an IPv6-only server by its name', () => {
  let scene: Scene
  let untouched: string
  let product: Product
  beforeAll(async () => {
    scene = await v4HostToV6Server()
    untouched = await hostState(scene)
    product = new Product(scene)
    await product.initNetwork()
    await product.coordinator()
    await product.tt()
    await product.bridge()
  })
  afterAll(() => scene?.dispose())

  for (const check of [PAGE, ...CHECKS]) {
    test(check.title, async () => {
      expect(await check.run(scene)).not.toBe('')
    })
  }

  test('the status of the terminator tells who uses it', async () => {
    const said = await product.status('tt')
    expect(said).toMatchObject({ role: 'tt', edge: { families: [4, 6] }, tables: { customers: 1 } })
    expect(said['paths']).toMatchObject([{ state: 'open', way: 'direct', why: null }])
    expect(Number((said['tables'] as { servers: number }).servers)).toBeGreaterThan(0)
  })

  test('the host is as it was', async () => {
    expect(await hostState(scene)).toBe(untouched)
  })
})
