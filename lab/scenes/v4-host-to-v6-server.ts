import { join } from 'node:path'
import { weatherLink } from '../links.ts'
import { type NatKind, natRuleset, udpLifetime } from '../nat.ts'
import { inNewLab, type Lab, type Plug, ROOT } from '../netns.ts'
import type { Program } from '../process.ts'
import { authority, dhcpClient, iperf, lanServices, resolver, udpEcho, webServer, type Zone } from '../services.ts'
import type { Weather } from '../weather.ts'

/*
 *                                LAN 192.168.77.0/24, IPv4 only                Internet, documentation addresses
 *  host ─eth0── host0─[ bridge ]─net0 ── lan1─[ router ]─up0 203.0.113.2 ── inet ─┬─ coordinator  198.51.100.10   2001:db8:10::10
 *   DHCP             br0, DHCP          lan2    NAT, DHCP,                        ├─ tt           198.51.100.20   2001:db8:20::20
 *                                        │      DNS forwarder                     ├─ resolver     198.51.100.53   2001:db8:53::53
 *                                    neighbour                                    ├─ web6                         2001:db8:6::80
 *                                                                                 ├─ dual         192.0.2.82      2001:db8:d::82
 *                                                                                 └─ web4         192.0.2.44
 */

/** Addresses and interface names of the scene, the same in every run. */
export const PLACE = {
  lan: { net: '192.168.77.0/24', router: '192.168.77.1', routerLink: 'lan0' },
  host: { link: 'eth0' },
  bridge: { hostPort: 'host0', netPort: 'net0', bridge: 'br0' },
  neighbour: { link: 'eth0', ip4: '192.168.77.9' },
  router: { uplink: 'up0', ip4: '203.0.113.2' },
  coordinator: { link: 'eth0', ip4: '198.51.100.10', ip6: '2001:db8:10::10' },
  tt: { link: 'eth0', ip4: '198.51.100.20', ip6: '2001:db8:20::20' },
  resolver: { link: 'eth0', ip4: '198.51.100.53', ip6: '2001:db8:53::53' },
  web6: { link: 'eth0', ip6: '2001:db8:6::80', name: 'v6only.example' },
  dual: { link: 'eth0', ip4: '192.0.2.82', ip6: '2001:db8:d::82', name: 'dual.example' },
  web4: { link: 'eth0', ip4: '192.0.2.44', name: 'v4only.example' },
  /** Two addresses of the Internet router where the NAT probe's servers listen. */
  probe: { ip4: ['192.0.2.1', '192.0.2.2'], ports: [3478, 3479] },
  udpPort: 7777,
} as const

export type Room =
  | 'host'
  | 'bridge'
  | 'router'
  | 'neighbour'
  | 'inet'
  | 'coordinator'
  | 'tt'
  | 'resolver'
  | 'web6'
  | 'dual'
  | 'web4'

export type SceneOptions = {
  readonly nat?: NatKind
  readonly hairpin?: boolean
  readonly udpLifetimeSeconds?: number
  /** More lines for the zone `example.`, and more zones. */
  readonly records?: readonly string[]
  readonly zones?: readonly Zone[]
  /** Uplinks that are no plain cables but have a delay, losses, … (`weatherLink`: through userland, in both directions). */
  readonly weather?: Readonly<Partial<Record<Room, Weather>>>
  /** Rooms in which a machine of its own will stand: their cables are laid, and nothing else is there. */
  readonly machines?: readonly Room[]
  /** The host's DHCP client is left to the caller (`hostDhcp`); it starts by itself unless told. */
  readonly withoutHostDhcp?: boolean
}

/** The scene, built and answering. The product's programs are not started. */
export type Scene = {
  readonly lab: Lab
  readonly place: typeof PLACE
  /** Path of the lab authority's certificate, for `curl --cacert`. */
  readonly ca: string
  /** Where PUT /upload/NAME of the IPv6-only server lands. */
  readonly uploads: string
  /** Access log of each web server: who came, from which address. */
  readonly webLogs: Readonly<Record<'web6' | 'dual' | 'web4', string>>
  hostDhcp(): Promise<Program>
  /** IPv4 address a room has now on `link`; null when none. */
  address4(room: Room, link: string): Promise<string | null>
  dispose(): void
}

/** Builds the scene: namespaces, links, routes, NAT, DHCP, DNS, web servers. Takes about two seconds. */
export const v4HostToV6Server = (options: SceneOptions = {}): Promise<Scene> => inNewLab((lab) => build(lab, options))

async function build(lab: Lab, options: SceneOptions): Promise<Scene> {
  rooms(lab)
  await internet(lab, options)
  lan(lab)
  const udpSeconds = options.udpLifetimeSeconds ?? 30
  lab.sysctl('router', udpLifetime(udpSeconds))
  lab.nft(
    'router',
    natRuleset({
      kind: options.nat ?? 'port-restricted',
      uplink: PLACE.router.uplink,
      inside: PLACE.lan.routerLink,
      outside: PLACE.router.ip4,
      hairpin: options.hairpin ?? false,
      udpSeconds,
    }),
  )
  const bridged = options.machines?.includes('bridge') !== true
  const { hostPort, netPort, bridge } = PLACE.bridge
  if (bridged) {
    await lab.must('bridge', 'sh', [join(ROOT, 'board/common/bridge-up.sh'), hostPort, netPort, bridge])
  }

  const ca = authority(lab)
  const web = (room: 'web6' | 'dual' | 'web4', listen: readonly string[]) =>
    webServer(lab, room, { name: PLACE[room].name, listen, tls: ca.issue([PLACE[room].name]) })
  const [web6, dual, web4] = await Promise.all([
    web('web6', ['[::]']),
    web('dual', ['[::]', '0.0.0.0']),
    web('web4', ['0.0.0.0']),
    udpEcho(lab, 'web6', '::', PLACE.udpPort),
    iperf(lab, 'web6'),
    resolver(lab, 'resolver', [
      { origin: 'example', records: [...ZONE, ...(options.records ?? [])] },
      ...(options.zones ?? []),
    ]),
    lanServices(lab, 'router', {
      link: PLACE.lan.routerLink,
      address: PLACE.lan.router,
      from: '192.168.77.100',
      to: '192.168.77.199',
      upstream: PLACE.resolver.ip4,
    }),
  ])
  if (bridged) await dhcpClient(lab, 'bridge', bridge)
  const hostDhcp = () => dhcpClient(lab, 'host', PLACE.host.link)
  if (bridged && options.withoutHostDhcp !== true) await hostDhcp()

  return {
    lab,
    place: PLACE,
    ca: ca.ca,
    uploads: web6.uploads,
    webLogs: { web6: web6.log, dual: dual.log, web4: web4.log },
    hostDhcp,
    address4: async (room, link) => {
      const text = await lab.must(room, 'ip', ['-j', '-4', 'address', 'show', 'dev', link])
      const links = JSON.parse(text) as { addr_info?: { local: string }[] }[]
      return links[0]?.addr_info?.[0]?.local ?? null
    },
    dispose: () => lab.dispose(),
  }
}

function rooms(lab: Lab): void {
  const off = { 'net.ipv6.conf.all.disable_ipv6': 1, 'net.ipv6.conf.default.disable_ipv6': 1 }
  lab.room('host')
  lab.room('bridge')
  lab.room('router', { 'net.ipv4.ip_forward': 1, ...off })
  lab.room('neighbour')
  lab.room('inet', { 'net.ipv4.ip_forward': 1, 'net.ipv6.conf.all.forwarding': 1 })
  for (const box of BOXES) lab.room(box)
}

/** One cable per box to the Internet router, which routes between them; IPv4 in /28s, IPv6 in /64s. */
async function internet(lab: Lab, { weather = {}, machines = [] }: SceneOptions): Promise<void> {
  const uplink = async (room: Room, link: string): Promise<void> => {
    const [a, b]: [Plug, Plug] = [
      [room, link],
      ['inet', room],
    ]
    const there = weather[room]
    if (there === undefined) lab.cable(a, b)
    else await weatherLink(lab, { a, b, there })
  }
  lab.ip('inet', ...PLACE.probe.ip4.map((address) => `addr add ${address}/32 dev lo`))
  for (const box of BOXES) {
    const plug: Readonly<{ link: string; ip4?: string; ip6?: string }> = PLACE[box]
    await uplink(box, plug.link)
    if (plug.ip4 !== undefined) {
      const gateway = firstOf28(plug.ip4)
      lab.ip('inet', `addr add ${gateway}/28 dev ${box}`)
      if (!machines.includes(box)) {
        lab.ip(box, `addr add ${plug.ip4}/28 dev ${plug.link}`, `route add default via ${gateway}`)
      }
    }
    if (plug.ip6 !== undefined) {
      const gateway = plug.ip6.replace(/::.*$/, '::1')
      lab.ip('inet', `addr add ${gateway}/64 dev ${box}`)
      if (!machines.includes(box)) {
        lab.ip(box, `addr add ${plug.ip6}/64 dev ${plug.link}`, `route add default via ${gateway}`)
      }
    }
  }
  await uplink('router', PLACE.router.uplink)
  lab.ip('inet', `addr add ${firstOf28(PLACE.router.ip4)}/28 dev router`)
  lab.ip(
    'router',
    `addr add ${PLACE.router.ip4}/28 dev ${PLACE.router.uplink}`,
    `route add default via ${firstOf28(PLACE.router.ip4)}`,
  )
}

/** The router's LAN ports are a switch (`lan0`), so that a neighbour can sit beside the bridge. */
function lan(lab: Lab): void {
  lab.cable(['bridge', PLACE.bridge.netPort], ['router', 'lan1'], { leaveDown: ['bridge'] })
  lab.cable(['neighbour', PLACE.neighbour.link], ['router', 'lan2'])
  lab.lanSwitch('router', PLACE.lan.routerLink, ['lan1', 'lan2'])
  lab.ip('router', `addr add ${PLACE.lan.router}/24 dev ${PLACE.lan.routerLink}`)
  lab.ip(
    'neighbour',
    `addr add ${PLACE.neighbour.ip4}/24 dev ${PLACE.neighbour.link}`,
    `route add default via ${PLACE.lan.router}`,
  )
  lab.cable(['host', PLACE.host.link], ['bridge', PLACE.bridge.hostPort], { leaveDown: ['bridge'] })
}

/** First address of the /28 that `ip4` lies in: the gateway's. */
export function firstOf28(ip4: string): string {
  const bytes = ip4.split('.').map(Number)
  return [...bytes.slice(0, 3), ((bytes[3] ?? 0) & 0xf0) + 1].join('.')
}

const BOXES = ['coordinator', 'tt', 'resolver', 'web6', 'dual', 'web4'] as const

const ZONE = [
  `ns A ${PLACE.resolver.ip4}`,
  `${label(PLACE.web6.name)} AAAA ${PLACE.web6.ip6}`,
  `${label(PLACE.dual.name)} A ${PLACE.dual.ip4}`,
  `${label(PLACE.dual.name)} AAAA ${PLACE.dual.ip6}`,
  `${label(PLACE.web4.name)} A ${PLACE.web4.ip4}`,
]

function label(name: string): string {
  return name.replace(/\.example$/, '')
}
