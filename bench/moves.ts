import { type Counted, Flow, firstAfter, firstLeftAfter, longestGap, lost, type Stream } from '#lab/flow.ts'
import type { Seat, Site, SiteKind } from '#lab/internet.ts'
import { LabError } from '#lab/ip.ts'
import { pause, until } from '#lab/process.ts'
import type { Settings } from '#lab/programs.ts'
import { type NodesScene, nodes } from '#lab/scenes/nodes.ts'
import { type Party, setRoundTrips, TABLE_3 } from './round-trips.ts'
import { RouteWatch } from './route-watch.ts'
import type { Row } from './row.ts'
import { median, stats } from './stats.ts'

/*
 *   laptop ── one site, or two, or one after the other ──┐          ┌── coordinator, relay
 *     10 ms each way on every site's uplink              ├── inet ──┼── work: desk (global)     works: plant (symmetric NAT)
 *                                                        │          └── terminator, web server
 *
 * What a move costs programs that talk by UDP, counted at both ends: datagrams lost, and the time from the moment the new address can be
 * used (the kernel's own word) to the first datagram that comes through, each way. `3G`, `Wi-Fi` and `cn` have the round trips of SEED 003 table 3.
 */
type Case = {
  readonly what: string
  readonly from: SiteName
  readonly to: SiteName
  readonly peer: string
  readonly way: string | null
  readonly planned?: true
}

export const CASES: readonly Case[] = [
  { what: 'planned, direct, IPv4 to IPv4', from: 'g1', to: 'g2', peer: 'desk', way: 'direct', planned: true },
  {
    what: 'planned, direct, IPv4 NAT to IPv6 alone',
    from: 'home',
    to: 'six',
    peer: 'desk',
    way: 'direct',
    planned: true,
  },
  { what: 'planned, relayed, NAT to NAT', from: 'sym1', to: 'sym2', peer: 'plant', way: 'relay', planned: true },
  {
    what: 'planned, terminator, IPv4 NAT to IPv6 alone',
    from: 'home',
    to: 'six',
    peer: 'web',
    way: null,
    planned: true,
  },
  { what: 'direct, IPv4 to IPv4', from: 'g1', to: 'g2', peer: 'desk', way: 'direct' },
  { what: 'direct, NAT to NAT', from: 'home', to: 'cafe', peer: 'desk', way: 'direct' },
  { what: 'direct, IPv4 NAT to IPv6 alone', from: 'home', to: 'six', peer: 'desk', way: 'direct' },
  { what: 'relayed, NAT to NAT', from: 'sym1', to: 'sym2', peer: 'plant', way: 'relay' },
  { what: 'terminator, IPv4 NAT to IPv6 alone', from: 'home', to: 'six', peer: 'web', way: null },
  { what: 'SEED 003 case 2-1, 3G (IPv4) to Wi-Fi (IPv6)', from: 'threeg', to: 'wifi', peer: 'cn', way: 'relay' },
  { what: 'SEED 003 case 2-2, Wi-Fi (IPv6) to 3G (IPv4)', from: 'wifi', to: 'threeg', peer: 'cn', way: 'direct' },
]

/** SEED 003, mean of ten hand-overs in seconds: building the tunnel, and the whole gap of a TCP transfer (link, address, retransmission). */
const PAPER: Readonly<Record<string, string>> = {
  'SEED 003 case 2-1, 3G (IPv4) to Wi-Fi (IPv6)': 'theirs: tunnel building 420 ms',
  'SEED 003 case 2-2, Wi-Fi (IPv6) to 3G (IPv4)': 'theirs: tunnel building 270 ms',
}

export async function measureMoves(quick: boolean, say: (text: string) => void): Promise<Row[]> {
  const bench = await Bench.build(say)
  const rows: Row[] = []
  try {
    for (const one of CASES) {
      const samples: Sample[] = []
      for (let i = 0; i < (quick ? 2 : 7); i++) samples.push(await bench.sample(one, i % 2 === 1))
      const mine = rowsOf(one, samples)
      rows.push(...mine)
      say(`${one.what}: ${mine.map((r) => `${r.name.split(': ')[1]} ${r.stats.median.toFixed(1)}`).join(', ')}`)
    }
    return rows
  } catch (fault) {
    say(`the lab's logs: ${bench.scene.lab.keepLogs('failed-bench')}`)
    throw fault
  } finally {
    bench.scene.dispose()
  }
}

/** One move. Times in milliseconds after the new address could be used. */
type Sample = {
  readonly up: number
  readonly down: number
  readonly roundTrip: number
  /** Of those that left after the address could be used, or, planned, of all. */
  readonly lost: number
  readonly sent: number
  readonly gap: number
}

/** The scene, and single moves in it. */
export class Bench {
  readonly scene: NodesScene
  readonly #sites: ReadonlyMap<SiteName, Site>
  readonly #routes: RouteWatch
  #seats: readonly Seat[]
  #plugs = 0

  private constructor(scene: NodesScene, sites: ReadonlyMap<SiteName, Site>, routes: RouteWatch, seat: Seat) {
    this.scene = scene
    this.#sites = sites
    this.#routes = routes
    this.#seats = [seat]
  }

  static async build(say: (text: string) => void, level: Settings = {}): Promise<Bench> {
    const scene = await nodes({ servers: true, weather: { coordinator: {}, relay1: {} } })
    const sites = new Map<SiteName, Site>()
    for (const [name, kind, delayMs] of SITES) sites.set(name, await scene.site(name, kind, { weather: { delayMs } }))
    const at = (name: SiteName): Site => {
      const site = sites.get(name)
      if (site === undefined) throw new LabError(`no site ${name}`)
      return site
    }
    const places = { desk: 'none', plant: 'symmetric' } as const
    for (const [room, kind] of Object.entries(places)) scene.machine(room, await scene.site(`s${room}`, kind))
    scene.machine('cn', at('house'))
    await seedRoundTrips(scene, at)
    const seat = scene.machine('laptop', at('g1'), { host: LAPTOP })
    const routes = await RouteWatch.start(scene.lab, 'laptop')
    for (const room of ['desk', 'plant', 'cn']) await scene.node(room, level)
    await scene.node('laptop', { 'node.servers': 'tt', ...level })
    say('moves: everybody is up')
    return new Bench(scene, sites, routes, seat)
  }

  /** One move in the given way; `onlyDown`: the laptop says nothing meanwhile, as in a download. */
  async sample(one: Case, onlyDown: boolean): Promise<Sample> {
    const { from, to, peer, way, planned } = one
    for (const seat of this.#seats) this.scene.net.leave('laptop', seat)
    this.#seats = []
    const old = this.#plug(from, 100)
    const next = planned ? this.#plug(to, 200) : null
    const name = peer === 'web' ? 'web.example' : `${peer}.${this.scene.zone}`
    await until(
      `${name} from ${from}`,
      async () => ((await this.scene.reaches('laptop', name, 1)) ? true : null),
      20_000,
    )
    // What is on the way to a better way, and what a new path does by itself, is over.
    await pause(1500)
    const flow = await Flow.open(this.scene.lab, 'laptop', peer, name, { periodMs: PERIOD_MS, onlyDown })
    await pause(800)
    let usable = Number.NaN
    if (next !== null) {
      usable = performance.timeOrigin + performance.now()
      await this.scene.programs.ntm('laptop', [...UPLINK, `${this.scene.lab.dir}/laptop.sock`, '--prefer', next.link])
      await pause(600)
      this.#leave(old)
    } else {
      this.#leave(old)
      await pause(300)
      const plugged = this.#plug(to, 100)
      usable = await this.#routes.added(plugged.link)
    }
    await pause(1800)
    const counted = await flow.close()
    if (next !== null)
      await this.scene.programs.ntm('laptop', [...UPLINK, `${this.scene.lab.dir}/laptop.sock`, '--prefer', 'auto'])
    const now = peer === 'web' ? null : await this.scene.way('laptop', peer)
    if (way !== null && now !== way) throw new LabError(`${one.what}: ${now}`)
    return judge(counted, usable, planned === true)
  }

  #plug(site: SiteName, metric: number): Seat {
    const at = this.#sites.get(site)
    if (at === undefined) throw new LabError(`no site ${site}`)
    const seat = this.scene.net.join('laptop', `eth${++this.#plugs}`, at, { metric, host: LAPTOP })
    this.#seats = [...this.#seats, seat]
    return seat
  }

  #leave(seat: Seat): void {
    this.#seats = this.#seats.filter((s) => s !== seat)
    this.scene.net.leave('laptop', seat)
  }
}

/** Table 3, on the uplinks of the two access networks and the correspondent's. The others have their 10 ms for everybody. */
async function seedRoundTrips(scene: NodesScene, at: (name: SiteName) => Site): Promise<void> {
  const public_ = (room: string): Party => ({
    link: room,
    addresses: [scene.at[room]?.ip4 ?? null, scene.at[room]?.ip6 ?? null],
  })
  const [dc, rs] = [public_('coordinator'), public_('relay1')]
  const mn4: Party = { link: 'threeg', addresses: [at('threeg').lan4?.replace('.0/24', `.${LAPTOP}`) ?? null] }
  const mn6: Party = { link: 'wifi', addresses: [at('wifi').lan6?.replace('::/64', `::${LAPTOP}`) ?? null] }
  const cn: Party = { link: 'house', addresses: [at('house').outside4] }
  await setRoundTrips(scene.net, [
    [mn4, dc, TABLE_3['mn4-dc']],
    [mn4, cn, TABLE_3['mn4-cn']],
    [mn4, rs, TABLE_3['mn4-dc'] + TABLE_3['dc-rs']],
    [mn6, dc, TABLE_3['mn6-dc']],
    [mn6, rs, TABLE_3['mn6-rs']],
    [cn, dc, TABLE_3['cn-dc'] + TABLE_3['dc-dc']],
    [cn, rs, TABLE_3['cn-rs']],
    [dc, rs, TABLE_3['dc-rs']],
  ])
}

function judge({ up, down }: Counted, usable: number, planned: boolean): Sample {
  const streams = [up, down].filter((stream) => stream.sent.length > 0)
  const late = (stream: Stream, numbers: number[]): number[] =>
    planned ? numbers : numbers.filter((n) => (stream.sent[n] ?? 0) > usable)
  const oneWay = ({ got }: Stream): number => median(got.slice(-100).map(([, left, came]) => came - left))
  const roundTrip = up.sent.length === 0 ? 2 * oneWay(down) : oneWay(up) + oneWay(down)
  return {
    up: up.sent.length === 0 ? Number.NaN : firstLeftAfter(up, usable) - usable,
    down: firstAfter(down, usable) - usable,
    roundTrip,
    lost: streams.reduce((sum, stream) => sum + late(stream, lost(stream)).length, 0),
    sent: streams.reduce((sum, stream) => sum + stream.sent.length, 0),
    gap: longestGap(down),
  }
}

function rowsOf({ what, planned }: Case, samples: readonly Sample[]): Row[] {
  const numbers = (of: (s: Sample) => number): number[] => samples.map(of).filter((n) => !Number.isNaN(n))
  const line = (name: string, unit: Row['unit'], values: readonly number[], goal?: string, note?: string): Row => ({
    ...{ group: 'moves', name: `${what}: ${name}`, peer: null, unit, stats: stats(values), values },
    ...(goal === undefined ? {} : { goal }),
    ...(note === undefined ? {} : { note }),
  })
  const trip = median(numbers((s) => s.roundTrip))
  const sent = samples.reduce((sum, s) => sum + s.sent, 0)
  const total = samples.reduce((sum, s) => sum + s.lost, 0)
  if (planned === true)
    return [
      line(
        'lost',
        'packets',
        numbers((s) => s.lost),
        '0',
        `${total} of ${sent} in all`,
      ),
      line(
        'longest silence',
        'ms',
        numbers((s) => s.gap),
        undefined,
        `one every ${PERIOD_MS} ms`,
      ),
    ]
  return [
    line(
      'round trip of the new way',
      'ms',
      numbers((s) => s.roundTrip),
    ),
    line(
      'download goes on',
      'ms',
      numbers((s) => s.down),
      `<= ${(trip + 10).toFixed(1)}`,
      PAPER[what],
    ),
    line(
      'upload goes on',
      'ms',
      numbers((s) => s.up),
    ),
    line(
      'more than one round trip',
      'ms',
      numbers((s) => s.down - s.roundTrip),
      '<= 10',
    ),
    line(
      'lost after that moment',
      'packets',
      numbers((s) => s.lost),
      undefined,
      `one every ${PERIOD_MS} ms`,
    ),
  ]
}

type SiteName = (typeof SITES)[number][0]
const SITES: readonly (readonly [
  'g1' | 'g2' | 'home' | 'cafe' | 'six' | 'sym1' | 'sym2' | 'threeg' | 'wifi' | 'house',
  SiteKind,
  number,
])[] = [
  ['g1', 'v4-only', 10],
  ['g2', 'v4-only', 10],
  ['home', 'port-restricted', 10],
  ['cafe', 'port-restricted', 10],
  ['six', 'v6-only', 10],
  ['sym1', 'symmetric', 10],
  ['sym2', 'symmetric', 10],
  ['threeg', 'v4-only', 0],
  ['wifi', 'v6-only', 0],
  ['house', 'port-restricted', 0],
]
const LAPTOP = 200
const PERIOD_MS = 5
const UPLINK = ['uplink', '--socket'] as const
