import { Internet, type Seat, type SeatOptions, type Site, type SiteKind, type SiteOptions } from '../internet.ts'
import { inNewLab, type Lab } from '../netns.ts'
import type { Program } from '../process.ts'
import { Programs, type Settings } from '../programs.ts'
import { authority, resolver, webServer, type Zone } from '../services.ts'
import type { Weather } from '../weather.ts'

/*
 *   room ── site (NAT, firewall, …) ──┐
 *   room ── site ─────────────────────┤
 *                                     inet ──┬── coordinator   both families
 *                                            ├── relay1, relay2, …
 *                                            ├── resolver      knows `web.example`, `web4.example`, `web6.example`
 *                                            ├── tt            when asked for
 *                                            └── web           an ordinary server, both families
 */

export type NodesOptions = {
  /** 1 unless told. */
  readonly relays?: number
  /** A terminator and an ordinary web server. */
  readonly servers?: boolean
  readonly zone?: string
  /** Of the machines on the open Internet, by room. */
  readonly weather?: Readonly<Record<string, Weather>>
  readonly coordinator?: Settings
  /** What the resolver knows besides. */
  readonly zones?: readonly Zone[]
}

/** NTM terminals wherever a test wants them. The coordinator and the relays run. */
export type NodesScene = {
  readonly lab: Lab
  readonly net: Internet
  readonly programs: Programs
  readonly zone: string
  /** Addresses of the public machines. */
  readonly at: Readonly<Record<string, { readonly ip4: string; readonly ip6: string }>>
  site(name: string, kind: SiteKind, options?: SiteOptions): Promise<Site>
  /** A machine with a seat at a site; nothing of the product runs on it. */
  machine(room: string, site: Site, options?: SeatOptions): Seat
  /** Starts a terminal on a machine: `ntm up`, enrolled as `name` (the room's unless told). */
  node(room: string, changes?: Settings, name?: string): Promise<Program>
  /** `ntm status --json` of a terminal. */
  status(room: string): Promise<NodeStatus>
  /** Whether `from` reaches the terminal `to` by its name, within `seconds`. */
  reaches(from: string, to: string, seconds?: number): Promise<boolean>
  /** How the path from a terminal to a peer goes; null when there is none. */
  way(from: string, to: string): Promise<string | null>
  dispose(): void
}

/** What tests read of a terminal's status. */
export type NodeStatus = {
  readonly virtual: readonly string[]
  readonly coordinator: { readonly state: string }
  readonly paths: readonly {
    readonly peer: string
    readonly state: string
    readonly way: string
    readonly at: string | null
    readonly ageSeconds: number | null
  }[]
  /** What went wrong lately, and with whom. */
  readonly troubles: readonly { readonly about: string; readonly what: string }[]
}

export const nodes = (options: NodesOptions = {}): Promise<NodesScene> => inNewLab((lab) => build(lab, options))

async function build(lab: Lab, options: NodesOptions): Promise<NodesScene> {
  const { zone = 'ntm.example', weather = {} } = options
  const net = new Internet(lab)
  const programs = new Programs(lab)
  const relays = Array.from({ length: options.relays ?? 1 }, (_, i) => `relay${i + 1}`)
  const at: Record<string, { ip4: string; ip6: string }> = {}
  for (const room of ['coordinator', 'resolver', ...relays, ...(options.servers === true ? ['tt', 'web'] : [])])
    at[room] = await net.server(room, 46, weather[room])
  const place = (room: string) => at[room] ?? { ip4: '', ip6: '' }
  const records = [`web A ${place('web').ip4}`, `web AAAA ${place('web').ip6}`]
  const families = [`web4 A ${place('web').ip4}`, `web6 AAAA ${place('web').ip6}`]
  const origin = { origin: 'example', records: options.servers === true ? [...records, ...families] : [] }
  await resolver(lab, 'resolver', [origin, ...(options.zones ?? [])])
  const { ip4, ip6 } = place('coordinator')
  await programs.initNetwork('coordinator', { zone, endpoints: [`${ip4}:4330`, `[${ip6}]:4330`] })
  await programs.coordinator('coordinator', options.coordinator)
  await Promise.all(relays.map((room) => programs.box(room, 'relay', room)))
  if (options.servers === true) await servers(lab, programs, place('resolver').ip4)
  const status = async (room: string): Promise<NodeStatus> =>
    JSON.parse(await programs.ntm(room, ['status', '--json', '--socket', `${lab.dir}/${room}.sock`])) as NodeStatus
  return {
    ...{ lab, net, programs, zone, at, status },
    reaches: async (from, to, seconds = 3) => {
      const name = to.includes('.') ? to : `${to}.${zone}`
      return (await lab.run(from, 'ping', ['-c', '1', '-W', `${seconds}`, name])).code === 0
    },
    way: async (from, to) => {
      const path = (await status(from)).paths.find((p) => p.peer === `${to}.${zone}` && p.state === 'open')
      return path?.way ?? null
    },
    site: (name, kind, more) => net.site(name, kind, more),
    machine: (room, site, more) => {
      lab.room(room)
      // Several uplinks: what comes in by one may be answered by the other.
      lab.sysctl(room, { 'net.ipv4.conf.all.rp_filter': 0, 'net.ipv4.conf.default.rp_filter': 0 })
      const lines = [place('resolver').ip4, place('resolver').ip6].map((ip) => `nameserver ${ip}\n`)
      lab.etc(room, 'resolv.conf', `${lines.join('')}options timeout:2\n`)
      return net.join(room, 'eth0', site, more)
    },
    node: (room, changes = {}, name = room) => {
      const socket = `${lab.dir}/${room}.sock`
      return programs.box(room, 'node', name, { 'control.socket': socket, ...changes })
    },
    dispose: () => lab.dispose(),
  }
}

/** The terminator, and an ordinary web server behind it. */
async function servers(lab: Lab, programs: Programs, resolverAt: string): Promise<void> {
  const names = ['web.example', 'web4.example', 'web6.example']
  await webServer(lab, 'web', {
    name: 'web.example',
    listen: ['[::]', '0.0.0.0'],
    tls: authority(lab).issue(names),
  })
  await programs.box('tt', 'tt', 'tt1', {
    'tt.uplink': 'eth0',
    'tt.resolvers': [resolverAt],
    'tt.allow': ['2001:db8::/32', '20.0.0.0/8'],
  })
}
