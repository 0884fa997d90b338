import { afterAll, afterEach, beforeAll } from 'vitest'
import { BIG_SHA256, sha256 } from '#lab/content.ts'
import { Flow, type FlowOptions } from '#lab/flow.ts'
import type { Seat, Site } from '#lab/internet.ts'
import { LabError } from '#lab/ip.ts'
import { type Outcome, pause, until } from '#lab/process.ts'
import { type NodesScene, nodes } from '#lab/scenes/nodes.ts'
import { authority, webServer } from '#lab/services.ts'

/*
 * A laptop that moves. Sites: g1, g2 with global IPv4 addresses; home, cafe, flat, hotel behind NATs that let in only whom they sent to; six with IPv6
 * alone; far4 and far6 like home and six, but 10 ms away; sym1, sym2, sym3 behind symmetric NATs. Peers: desk (both families, global), plant (symmetric NAT). Servers: web.example, through the terminator.
 */
export class Moving {
  readonly scene: NodesScene
  readonly sites: Readonly<Record<SiteName, Site>>
  /** The laptop's uplinks, best first. */
  seats: readonly Seat[]
  #plugs = 0
  #friend: Seat | null = null

  private constructor(scene: NodesScene, sites: Moving['sites'], first: Seat) {
    this.scene = scene
    this.sites = sites
    this.seats = [first]
  }

  static async build(): Promise<Moving> {
    const scene = await nodes({ servers: true })
    const sites: Partial<Record<SiteName, Site>> = {}
    for (const [name, kind] of SITES)
      sites[name] = await scene.site(name, kind, name.startsWith('far') ? { weather: { delayMs: 10 } } : {})
    const all = sites as Record<SiteName, Site>
    scene.machine('desk', await scene.site('work', 'none'))
    scene.machine('plant', await scene.site('works', 'symmetric'))
    const moving = new Moving(scene, all, scene.machine('laptop', all.g1))
    for (const room of ['desk', 'plant']) await scene.node(room, { 'log.level': 'debug' })
    await scene.node('laptop', { 'node.servers': 'tt', 'log.level': 'debug' })
    const name = `desk.${scene.zone}`
    await webServer(scene.lab, 'desk', { name, listen: ['[::]', '0.0.0.0'], tls: authority(scene.lab).issue([name]) })
    return moving
  }

  /** One more terminal, `friend`, behind a NAT of its own, which can be made to move too. */
  async addFriend(): Promise<void> {
    this.#friend = this.scene.machine('friend', this.sites.flat)
    await this.scene.node('friend', { 'log.level': 'debug' })
  }

  /** The friend's one uplink is pulled out and another plugged in elsewhere. */
  moveFriend(to: SiteName): void {
    if (this.#friend !== null) this.scene.net.leave('friend', this.#friend)
    this.#friend = this.scene.net.join('friend', `eth${++this.#plugs}`, this.sites[to])
  }

  plug(site: SiteName, metric = 100): Seat {
    const seat = this.scene.net.join('laptop', `eth${++this.#plugs}`, this.sites[site], { metric })
    this.seats = [...this.seats, seat]
    return seat
  }

  unplug(seat: Seat): void {
    this.seats = this.seats.filter((s) => s !== seat)
    this.scene.net.leave('laptop', seat)
  }

  /** Pulls what is plugged and plugs these in, the first the best; resolves when `peer` is reached, that way if told. */
  async begin(plugs: readonly SiteName[], peer: string, way?: string): Promise<readonly Seat[]> {
    for (const seat of this.seats) this.unplug(seat)
    const seats = plugs.map((name, i) => this.plug(name, 100 * (i + 1)))
    const reached = async (): Promise<true | null> => ((await this.scene.reaches('laptop', peer, 1)) ? true : null)
    await until(`${peer} from ${plugs.join(' and ')}`, reached, 20_000)
    if (way !== undefined) await this.comes(way, peer)
    return seats
  }

  async comes(way: string, peer: string): Promise<void> {
    const there = async (): Promise<true | null> => ((await this.scene.way('laptop', peer)) === way ? true : null)
    await until(`${peer}: ${way}`, there, 15_000, 100)
  }

  /** The uplink by which most packets leave and the one by which most come, within half a second. */
  async busiest(): Promise<string> {
    const before = await this.#packets()
    await pause(500)
    const after = await this.#packets()
    const most = (of: 'out' | 'in'): string =>
      [...after]
        .map(([link, n]) => [n[of] - (before.get(link)?.[of] ?? 0), link] as const)
        .sort((x, y) => y[0] - x[0])[0]?.[1] ?? ''
    return `${most('out')} ${most('in')}`
  }

  async #packets(): Promise<Map<string, { out: number; in: number }>> {
    const text = await this.scene.lab.must('laptop', 'ip', ['-j', '-s', 'link'])
    const links = JSON.parse(text) as {
      ifname: string
      stats64: { rx: { packets: number }; tx: { packets: number } }
    }[]
    const uplinks = links.filter(({ ifname }) => this.seats.some((seat) => seat.link === ifname))
    return new Map(uplinks.map(({ ifname, stats64: s }) => [ifname, { out: s.tx.packets, in: s.rx.packets }]))
  }

  flowTo(peer: string, options?: FlowOptions): Promise<Flow> {
    return Flow.open(this.scene.lab, 'laptop', peer, `${peer}.${this.scene.zone}`, options)
  }

  /** 100 MB over one connection, slowly enough (3 s or more) for something to happen meanwhile. */
  download(name: string): Promise<Outcome> {
    const file = `${this.scene.lab.dir}/got.bin`
    const slowly = ['--limit-rate', '25M', '--retry', '0', '-o', file]
    return this.scene.lab.run('laptop', 'curl', ['-4', '-sS', '--fail', ...slowly, `http://${name}/100m.bin`], {
      limitMs: 60_000,
    })
  }

  /** Throws LabError unless the download ended well and every byte is right. */
  async intact(download: Promise<Outcome>): Promise<void> {
    const done = await download
    if (done.code !== 0) throw new LabError(`curl: exit ${done.code} ${done.stderr}`)
    const sum = await sha256(`${this.scene.lab.dir}/got.bin`)
    if (sum !== BIG_SHA256) throw new LabError(`SHA-256 is ${sum}`)
  }

  /** `ntm uplink --prefer` on the laptop. */
  async prefer(uplink: string): Promise<void> {
    await this.scene.programs.ntm('laptop', [
      'uplink',
      '--socket',
      `${this.scene.lab.dir}/laptop.sock`,
      '--prefer',
      uplink,
    ])
  }

  /** Another metric for an uplink's default routes; there is one at every moment. */
  metric({ link, site }: Seat, from: number, to: number): void {
    const { lab } = this.scene
    const gateways = [site.lan4?.replace('.0/24', '.1'), site.lan6?.replace('::/64', '::1')]
    for (const via of gateways.filter((gateway) => gateway !== undefined)) {
      lab.ip('laptop', `route add default via ${via} dev ${link} metric ${to}`)
      lab.ip('laptop', `route del default via ${via} dev ${link} metric ${from}`)
    }
  }

  /** In the core of the Internet, where no end sees it: nothing passes any more between `here` and `there`, IPv4 prefixes, until `mend`. */
  cut(here: string, there: string): void {
    const one = (from: string, to: string): string => `ip saddr ${from} ip daddr ${to} drop`
    const rules = [one(here, there), one(there, here)].join('\n')
    const chain = `chain forward {\ntype filter hook forward priority 0\n${rules}\n}`
    this.scene.lab.nft('inet', `table inet ntm-lab-cut {\n${chain}\n}\n`)
  }

  mend(): void {
    this.scene.lab.nft('inet', 'table inet ntm-lab-cut\ndelete table inet ntm-lab-cut\n')
  }
}

export type SiteName = (typeof SITES)[number][0]
const SITES = [
  ['g1', 'v4-only'],
  ['g2', 'v4-only'],
  ['home', 'port-restricted'],
  ['cafe', 'port-restricted'],
  ['flat', 'port-restricted'],
  ['hotel', 'port-restricted'],
  ['six', 'v6-only'],
  ['far4', 'port-restricted'],
  ['far6', 'v6-only'],
  ['sym1', 'symmetric'],
  ['sym2', 'symmetric'],
  ['sym3', 'symmetric'],
] as const

/** Builds a scene for the tests of this suite and takes it down after them; its logs are kept as `.run/<logs>` when one of them failed. */
export function withMoving(logs: string, take: (moving: Moving) => void): void {
  let moving: Moving | undefined
  let failed = false
  beforeAll(async () => {
    moving = await Moving.build()
    take(moving)
  })
  afterEach(({ task }) => {
    failed ||= task.result?.state === 'fail'
  })
  afterAll(() => {
    if (failed) process.stderr.write(`the lab's logs: ${moving?.scene.lab.keepLogs(logs)}\n`)
    moving?.scene.dispose()
  })
}
