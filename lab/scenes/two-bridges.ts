import { join } from 'node:path'
import { Internet, type Seat, type Site, type SiteKind } from '../internet.ts'
import { LabError } from '../ip.ts'
import { inNewLab, type Lab, ROOT } from '../netns.ts'
import { type Program, until } from '../process.ts'
import { Programs, type Settings } from '../programs.ts'
import { dhcpClient, lanServices, resolver, type Zone } from '../services.ts'

/*
 *   LAN of site a (192.168.77.0/24 behind a NAT)                                 LAN of site b: the same prefix
 *   hosta ─eth0── host0─[ bridgea ]─net0 ── lan0 [ sitea ] wan ── inet ── wan [ siteb ] lan0 ── net0─[ bridgeb ]─host0 ──eth0─ hostb
 *   stock tools only       br0, DHCP            NAT, DHCP,         │
 *                                               DNS, RA (ULA)      ├─ coordinator, resolver, relay1, relay2
 *                                                                  └─ wan [ sitec ] lan0 ── eth0 laptop
 */

export type Side = 'a' | 'b'

/** How an unmodified host gets its IPv4 address: from the LAN, or set by hand. `off`: it is switched on later, with `boot`. */
export type HostSetup = 'dhcp' | 'static' | 'static-no-gateway' | 'off'

export type TwoBridgesOptions = {
  /** How the sites are joined to the Internet; `port-restricted` unless told. IPv6-only sites have no DHCP: not for bridges here. */
  readonly kinds?: Readonly<Partial<Record<Side, SiteKind>>>
  readonly hosts?: Readonly<Partial<Record<Side, HostSetup>>>
  /** Site of the laptop; there is none unless told. */
  readonly laptop?: SiteKind
  /** Rooms `relay1`, `relay2`, …; none unless told. */
  readonly relays?: number
  /** Router advertisements with a ULA prefix, the same one at both sites. True unless told. */
  readonly ip6?: boolean
  /** What the resolver knows besides; it knows nothing of the network's own zone. */
  readonly zones?: readonly Zone[]
}

export type BridgeSite = {
  readonly side: Side
  readonly site: Site
  /** Rooms. */
  readonly host: string
  readonly bridge: string
  readonly router: string
  /** Address of the LAN's router, its DHCP server and DNS forwarder. */
  readonly gateway: string
}

/** Two sites with a bridge each, built and answering. No program of the product runs yet. */
export type TwoBridges = {
  readonly lab: Lab
  readonly net: Internet
  readonly programs: Programs
  readonly sites: Readonly<Record<Side, BridgeSite>>
  readonly coordinator: { readonly ip4: string; readonly ip6: string }
  readonly relays: readonly { readonly room: string; readonly ip4: string; readonly ip6: string }[]
  /** Where the laptop sits now. */
  readonly laptop: Seat | null
  /** `ntm network init` and `ntm coordinator`. */
  startCoordinator(changes?: Settings): Promise<Program>
  /** `ntm bridge` of a site, enrolled as `bridge-a` or `bridge-b` unless told. */
  startBridge(side: Side, changes?: Settings, name?: string): Promise<Program>
  /** `ntm relay` in room `relay1`, … */
  startRelay(number: number, changes?: Settings): Promise<Program>
  /** `ntm up` on the laptop, enrolled as `laptop`. */
  startNode(changes?: Settings): Promise<Program>
  /** Switches on a host that is `off`: link up, DHCP, and nothing more. */
  boot(side: Side): Promise<Program>
  /** One more unmodified machine behind a site's bridge, in a new room, with DHCP. */
  guest(side: Side, room: string): Promise<Program>
  /** Addresses of a room's interface; link-local ones left out. */
  addresses(room: string, link: string, family: 4 | 6): Promise<string[]>
  dispose(): void
}

/** The zone of the network, and names in it. */
export const ZONE = 'ntm.example'

/** Builds the scene. Takes about three seconds. */
export const twoBridges = (options: TwoBridgesOptions = {}): Promise<TwoBridges> =>
  inNewLab((lab) => build(lab, options))

async function build(lab: Lab, options: TwoBridgesOptions): Promise<TwoBridges> {
  const net = new Internet(lab)
  const programs = new Programs(lab)
  const coordinator = await net.server('coordinator')
  const dns = await net.server('resolver')
  const relays: { room: string; ip4: string; ip6: string }[] = []
  for (let n = 1; n <= (options.relays ?? 0); n++)
    relays.push({ room: `relay${n}`, ...(await net.server(`relay${n}`)) })
  const ready = resolver(lab, 'resolver', [{ origin: 'example', records: [] }, ...(options.zones ?? [])])
  const [a, b] = [await bridgeSite(net, 'a', options, dns.ip4), await bridgeSite(net, 'b', options, dns.ip4)]
  let laptop: Seat | null = null
  if (options.laptop !== undefined) {
    lab.room('laptop')
    laptop = net.join('laptop', 'eth0', await net.site('sitec', options.laptop))
    lab.etc('laptop', 'resolv.conf', `nameserver ${laptop.ip4 === null ? dns.ip6 : dns.ip4}\n`)
  }
  await ready
  const sites = { a, b }
  return {
    ...{ lab, net, programs, sites, coordinator, relays, laptop },
    startCoordinator: async (changes) => {
      const endpoints = [`${coordinator.ip4}:4330`, `[${coordinator.ip6}]:4330`]
      await programs.initNetwork('coordinator', { zone: ZONE, endpoints })
      return programs.coordinator('coordinator', changes)
    },
    startBridge: (side, changes = {}, name = `bridge-${side}`) => {
      const ports = { 'bridge.host': PORTS.host, 'bridge.net': PORTS.net, 'bridge.bridge': PORTS.bridge }
      return programs.box(sites[side].bridge, 'bridge', name, { ...ports, ...changes })
    },
    startRelay: (number, changes) => programs.box(`relay${number}`, 'relay', `relay${number}`, changes),
    startNode: (changes) => programs.box('laptop', 'node', 'laptop', changes),
    boot: async (side) => {
      const { host } = sites[side]
      lab.ip(host, 'link set eth0 up')
      const lease = await dhcpClient(lab, host, 'eth0')
      if (options.ip6 ?? true) await hasIp6(lab, host)
      return lease
    },
    guest: (side, room) => guest(lab, sites[side], room),
    addresses: (room, link, family) => addresses(lab, room, link, family),
    dispose: () => lab.dispose(),
  }
}

async function bridgeSite(
  net: Internet,
  side: Side,
  { kinds = {}, hosts = {}, ip6 = true }: TwoBridgesOptions,
  upstream: string,
): Promise<BridgeSite> {
  const { lab } = net
  const site = await net.site(`site${side}`, kinds[side] ?? 'port-restricted')
  const { router, lan4 } = site
  if (lan4 === null) throw new LabError(`site ${side} has no IPv4 on its LAN`)
  const rooms = { host: `host${side}`, bridge: `bridge${side}` }
  // A real host asks whether its addresses are free: often the only word of its IPv6 for hours.
  lab.room(rooms.host, { 'net.ipv6.conf.all.accept_dad': 1, 'net.ipv6.conf.default.accept_dad': 1 })
  lab.room(rooms.bridge)
  lab.cable([rooms.bridge, PORTS.net], [router, 'lanb'], { leaveDown: [rooms.bridge] })
  lab.ip(router, 'link set lanb master lan0')
  lab.cable([rooms.host, 'eth0'], [rooms.bridge, PORTS.host], { leaveDown: [rooms.bridge] })
  if (ip6) lab.ip(router, `addr add ${LAN6}1/64 dev lan0 nodad`)
  const ports = [PORTS.host, PORTS.net, PORTS.bridge]
  await lab.must(rooms.bridge, 'sh', [join(ROOT, 'board/common/bridge-up.sh'), ...ports])
  const at = (host: number): string => lan4.replace(/(\d+)\/\d+$/, (_, base: string) => `${Number(base) + host}`)
  await lanServices(lab, router, {
    link: 'lan0',
    address: at(1),
    from: at(100),
    to: at(199),
    upstream,
    ...(ip6 ? { advertise: LAN6 } : {}),
  })
  await dhcpClient(lab, rooms.bridge, PORTS.bridge)
  const setup = hosts[side] ?? 'dhcp'
  if (setup === 'off') {
    lab.ip(rooms.host, 'link set eth0 down')
    return { side, site, ...rooms, router, gateway: at(1) }
  }
  if (setup === 'dhcp') await dhcpClient(lab, rooms.host, 'eth0')
  else {
    lab.etc(rooms.host, 'resolv.conf', `nameserver ${at(1)}\n`)
    // Without a gateway everything is on the link, and is asked for there.
    const route = setup === 'static' ? `via ${at(1)}` : 'dev eth0'
    lab.ip(rooms.host, `addr add ${at(3)}/24 dev eth0`, `route add default ${route}`)
  }
  if (ip6) await hasIp6(lab, rooms.host)
  return { side, site, ...rooms, router, gateway: at(1) }
}

const hasIp6 = (lab: Lab, room: string): Promise<true> =>
  until(
    `${room} has its IPv6 address`,
    async () => ((await addresses(lab, room, 'eth0', 6)).length > 0 ? true : null),
    10_000,
  )

function guest(lab: Lab, { host }: BridgeSite, room: string): Promise<Program> {
  lab.room(room)
  lab.ip(host, `link add ${room} link eth0 type macvlan mode bridge`)
  lab.ip(host, `link set ${room} netns ${lab.netns(room)}`)
  lab.ip(room, `link set ${room} up`)
  return dhcpClient(lab, room, room)
}

async function addresses(lab: Lab, room: string, link: string, family: 4 | 6): Promise<string[]> {
  const shown = await lab.must(room, 'ip', ['-j', `-${family}`, 'address', 'show', 'dev', link, 'scope', 'global'])
  type Shown = { addr_info?: { local?: string; tentative?: boolean }[] }
  const all = (JSON.parse(shown) as Shown[]).flatMap((one) => one.addr_info ?? [])
  return all.flatMap((one) => (one.local === undefined || one.tentative === true ? [] : [one.local]))
}

const PORTS = { host: 'host0', net: 'net0', bridge: 'br0' } as const
/** The same at both sites, as private prefixes are. */
const LAN6 = 'fd77:7:7::'
