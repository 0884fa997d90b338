import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Seat, Site } from '#lab/internet.ts'
import { ROOT } from '#lab/netns.ts'
import { type Program, until } from '#lab/process.ts'
import { type NodesScene, nodes } from '#lab/scenes/nodes.ts'
import { describeLab } from '#test/support/lab.ts'

// SEED 002 table 1 on real kernels: a laptop moves while a program on it talks over one TCP connection, to another terminal or to an ordinary
// server (through the terminator, where the seeds say RS). The connection must live on and the route become the table's.

type Spot = 'G' | 'A' | 'B' | 'C'
type Row = { nr: number; from: Spot; to: Spot; peer: 'G' | 'A' | 'general'; route: readonly string[] }

const DIRECT = ['direct']
const RELAY = ['relay']
const TABLE: readonly Row[] = [
  { nr: 1, from: 'G', to: 'G', peer: 'G', route: DIRECT },
  { nr: 2, from: 'G', to: 'G', peer: 'general', route: [] },
  { nr: 3, from: 'G', to: 'A', peer: 'G', route: DIRECT },
  { nr: 4, from: 'G', to: 'A', peer: 'general', route: [] },
  { nr: 5, from: 'A', to: 'G', peer: 'G', route: DIRECT },
  { nr: 6, from: 'A', to: 'G', peer: 'general', route: [] },
  { nr: 7, from: 'A', to: 'A', peer: 'G', route: DIRECT },
  { nr: 8, from: 'A', to: 'A', peer: 'general', route: [] },
  { nr: 9, from: 'A', to: 'B', peer: 'G', route: DIRECT },
  { nr: 10, from: 'A', to: 'B', peer: 'general', route: [] },
  { nr: 11, from: 'G', to: 'G', peer: 'A', route: DIRECT },
  // Both in A at the end: the table says RS here and "RS or E2E" for 15, which ends in the same place.
  { nr: 12, from: 'G', to: 'A', peer: 'A', route: [...RELAY, ...DIRECT] },
  { nr: 13, from: 'G', to: 'B', peer: 'A', route: RELAY },
  { nr: 14, from: 'B', to: 'G', peer: 'A', route: DIRECT },
  { nr: 15, from: 'B', to: 'A', peer: 'A', route: [...RELAY, ...DIRECT] },
  { nr: 16, from: 'A', to: 'B', peer: 'A', route: RELAY },
  { nr: 17, from: 'B', to: 'C', peer: 'A', route: RELAY },
]

describeLab('SEED 002 table 1 in namespaces, route.optimise = seed', () => {
  let scene: NodesScene
  let seat: Seat
  let plugs = 0
  const sites = {} as Record<Spot | 'G2', Site>

  /** Pulls one plug and puts another in, somewhere else or at the same place with another address. */
  const moveTo = (site: Site): void => {
    scene.net.leave('laptop', seat)
    seat = scene.net.join('laptop', `eth${++plugs}`, site)
  }
  const siteOf = (spot: Spot): Site =>
    spot === 'G' && seat.site === sites.G ? sites.G2 : sites[spot === 'G' ? 'G' : spot]

  beforeAll(async () => {
    scene = await nodes({ servers: true, coordinator: { 'route.optimise': 'seed' } })
    sites.G = await scene.site('g1', 'none')
    sites.G2 = await scene.site('g2', 'none')
    for (const spot of ['A', 'B', 'C'] as const)
      sites[spot] = await scene.site(`p${spot.toLowerCase()}`, 'port-restricted')
    scene.machine('peerg', await scene.site('gpeer', 'none'))
    scene.machine('peera', sites.A)
    seat = scene.machine('laptop', sites.G)
    for (const room of ['peerg', 'peera']) await scene.node(room)
    await scene.node('laptop', { 'node.servers': 'tt' })
    for (const room of ['peerg', 'peera', 'web']) {
      const echo = scene.lab.spawn(room, `${room}-echo`, process.execPath, [CONVERSE, 'echo', '7007'])
      await echo.line(/ready/)
    }
  }, 120_000)
  afterAll(() => scene?.dispose())

  test.each(TABLE)('$nr: $from to $to, peer $peer', async ({ nr, from, to, peer, route }) => {
    const peerRoom = peer === 'general' ? null : `peer${peer.toLowerCase()}`
    const name = peerRoom === null ? 'web.example' : `${peerRoom}.${scene.zone}`
    moveTo(sites[from])
    await until('the path before', async () => ((await scene.reaches('laptop', name)) ? true : null), 20_000)
    const talk = scene.lab.spawn('laptop', `talk${nr}`, process.execPath, [CONVERSE, 'call', name, '7007', '20'])
    await talk.line(/"open"/)
    await until('the conversation', () => (heardOf(talk) > 20 ? true : null))

    moveTo(siteOf(to))
    const before = heardOf(talk)
    await until('the conversation after the move', () => (heardOf(talk) > before + 50 ? true : null), 20_000)
    expect(talk.text()).not.toMatch(/wrong|closed/)
    if (peerRoom !== null) {
      const way = async (): Promise<true | null> =>
        route.includes((await scene.way('laptop', peerRoom)) ?? '') ? true : null
      await until(`the route ${route.join(' or ')}`, way, 10_000, 200)
    }
    await talk.stop()
  })
})

/** Lines that came back so far. */
function heardOf(talk: Program): number {
  const last = talk
    .text()
    .split('\n')
    .findLast((line) => line.includes('"heard"') && line.endsWith('}'))
  return last === undefined ? 0 : (JSON.parse(last) as { heard: number }).heard
}

const CONVERSE = join(ROOT, 'test/netns/programs/converse.ts')
