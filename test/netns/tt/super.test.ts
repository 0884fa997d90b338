import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { ROOT } from '#lab/netns.ts'
import { Product } from '#lab/product.ts'
import { PLACE, type Room, type Scene, v4HostToV6Server } from '#lab/scenes/v4-host-to-v6-server.ts'
import { describeLab } from '#test/support/lab.ts'
import { judge, type Verdict } from '../super/scene.ts'

// The scene as drawn in lab/scenes/v4-host-to-v6-server.ts: an IPv4 host and an IPv6 server exchange super-packets through bridge, tunnel and
// terminator, and every frame that comes out at either end is judged in the form in which a real wire would carry it.

const BYTES = 20_000_000
/** The device finishes what it lets go, as the driver of a plain network card would. */
const WIRE_FORM = ['tx', 'off', 'tso', 'off', 'gso', 'off', 'tx-udp-segmentation', 'off']

describeLab('TCP and UDP between families, with offloads everywhere', () => {
  let scene: Scene
  let product: Product
  let servers = 0
  beforeAll(async () => {
    scene = await v4HostToV6Server()
    product = new Product(scene)
    await product.initNetwork()
    await product.coordinator()
    await product.tt()
    await product.bridge()
  })
  afterAll(() => scene?.dispose())

  /** Both ways at once, every byte compared at both ends. */
  const exchange = async (): Promise<void> => {
    const program = join(ROOT, 'test/netns/super/tcp-bulk.ts')
    const serve = [program, 'serve', PLACE.web6.ip6, '5001', `${BYTES}`]
    const server = scene.lab.spawn('web6', `bulk${servers++}`, process.execPath, serve)
    await server.line(/^bulk.ready/)
    await scene.lab.must('host', process.execPath, [program, 'call', PLACE.web6.name, '5001', `${BYTES}`])
    await server.stop()
  }
  /** Runs of equal datagrams there and back. */
  const datagrams = async (): Promise<void> => {
    const program = join(ROOT, 'test/netns/programs/udp-bulk.ts')
    const server = scene.lab.spawn('web6', `udp${servers++}`, process.execPath, [
      program,
      'serve',
      PLACE.web6.ip6,
      '5002',
    ])
    await server.line(/^udp.ready/)
    const [address = ''] = (await scene.lab.must('host', 'getent', ['ahostsv4', PLACE.web6.name])).split(' ')
    const told = await scene.lab.must('host', process.execPath, [program, 'call', address, '5002', '1200', '40'])
    expect(JSON.parse(told)).toEqual({ sent: 800, back: 800, wrong: 0 })
    await server.stop()
  }
  const judged = async (room: Room, from: readonly [Room, string], run: () => Promise<void>): Promise<Verdict> => {
    await scene.lab.must(from[0], 'ethtool', ['-K', from[1], ...WIRE_FORM])
    await scene.lab.must(room, 'ethtool', ['-K', 'eth0', 'gro', 'off'])
    const verdict = await judge({ lab: scene.lab, wires: [], judgedAt: [room, 'eth0'] })
    await run()
    const seen = await verdict()
    expect(seen.faults, seen.example).toEqual({})
    expect(seen.lost).toBe(0)
    return seen
  }

  const SERVER = ['web6', ['inet', 'web6']] as const
  const HOST = ['host', ['bridge', PLACE.bridge.hostPort]] as const

  test('every TCP frame at the server is a right IPv6 one', async () => {
    expect((await judged(...SERVER, exchange)).tcp6).toBeGreaterThan(BYTES / 1500)
  })

  test('every TCP frame at the host is a right IPv4 one', async () => {
    expect((await judged(...HOST, exchange)).tcp4).toBeGreaterThan(BYTES / 1500)
  })

  test('every datagram at the server is a right IPv6 one, and comes back', async () => {
    expect((await judged(...SERVER, datagrams)).udp6).toBeGreaterThanOrEqual(800)
  })

  test('every datagram at the host is a right IPv4 one', async () => {
    expect((await judged(...HOST, datagrams)).udp4).toBeGreaterThanOrEqual(800)
  })

  test('the terminator moved super-packets both ways and dropped nothing', async () => {
    const tt = product.programs.tt
    tt?.kill('SIGUSR1')
    const line = (await tt?.line(/"event":"role.counters"/)) ?? ''
    const counters = JSON.parse(line) as Record<string, number>
    // 80 MB crossed each way in two exchanges; a third of it in super-packets of 20 kB would be more than this.
    expect(counters['port.edge.superIn']).toBeGreaterThan(500)
    expect(counters['port.edge.superOut']).toBeGreaterThan(500)
    for (const name of ['port.edge.badIn', 'port.edge.gsoRefused', 'port.edge.oversizedIn']) {
      expect(counters[name] ?? 0, name).toBe(0)
    }
    const drops = Object.keys(counters).filter((name) => name.startsWith('tt.drop.') && name !== 'tt.drop.icmp-type')
    expect(drops).toEqual([])
  })
})
