import { afterAll, beforeAll, expect, test } from 'vitest'
import type { SiteKind } from '#lab/internet.ts'
import { until } from '#lab/process.ts'
import { type NodesScene, nodes } from '#lab/scenes/nodes.ts'
import { bestRoute } from '#test/sim/grid.ts'
import { KINDS, type Kind } from '#test/sim/places.ts'
import { describeLab } from '#test/support/lab.ts'

// A third of docs/nat-grid.md on real kernels (route.optimise = "ice"; the seeds' rule is in movement.test.ts): a terminal of every kind
// of place on either side, every third pair of them, spread so that each kind meets three others from each side. Each pair is asked for
// once, by `ping NAME`, and its first packet must arrive.

const SITES: Readonly<Record<Kind, SiteKind>> = {
  none: 'none',
  'full cone': 'full-cone',
  'address-restricted': 'address-restricted',
  'port-restricted': 'port-restricted',
  symmetric: 'symmetric',
  'double NAT': 'double-nat',
  'v6 firewall': 'v6-firewall',
  'v4-only': 'v4-only',
  'v6-only': 'v6-only',
}
const PAIRS = KINDS.flatMap((from, i) => KINDS.map((to, j) => ({ from, to, i, j }))).filter(
  ({ i, j }) => (i + j) % 3 === 0,
)

describeLab('the NAT grid in namespaces', () => {
  let scene: NodesScene

  beforeAll(async () => {
    scene = await nodes()
    const rooms: string[] = []
    for (const [i, kind] of KINDS.entries()) {
      for (const side of ['a', 'b']) {
        scene.machine(`${side}${i}`, await scene.site(`s${side}${i}`, SITES[kind]))
        rooms.push(`${side}${i}`)
      }
    }
    // Two at a time: a terminal that starts is busy for half a second.
    for (let i = 0; i < rooms.length; i += 2) await Promise.all(rooms.slice(i, i + 2).map((room) => scene.node(room)))
  }, 180_000)
  afterAll(() => scene?.dispose())

  test.each(PAIRS)('$from to $to', async ({ from, to, i, j }) => {
    expect(await scene.reaches(`a${i}`, `b${j}`), 'connected').toBe(true)
    const expected = bestRoute(from, to)
    // Better ways are looked for in the background.
    const both = async (): Promise<true | null> => {
      const ways = await Promise.all([scene.way(`a${i}`, `b${j}`), scene.way(`b${j}`, `a${i}`)])
      return ways.every((way) => way === expected) ? true : null
    }
    await until(`the ${expected} way`, both, 10_000, 200)
  })
})
