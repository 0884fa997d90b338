import { LabError, runIn } from './ip.ts'
import { type WeatherLink, weatherLink } from './links.ts'
import { firewall6Ruleset, type NatKind, natRuleset, udpLifetime } from './nat.ts'
import type { Lab, Plug } from './netns.ts'
import type { Weather } from './weather.ts'

/**
 * How a site is joined to the Internet. `none`: global addresses of both families, nothing in between; the NATs are IPv4 only;
 * `double-nat`: a port-restricted NAT behind another one; `v6-firewall`: IPv6 only, behind a stateful firewall;
 * `v4-only` and `v6-only`: global addresses of one family.
 */
export type SiteKind = 'none' | NatKind | 'double-nat' | 'v6-firewall' | 'v4-only' | 'v6-only'

export type SiteOptions = {
  /** Of the site's uplink, from the site and to it; a plain cable unless told. */
  readonly weather?: Weather
  readonly hairpin?: boolean
  /** How long the NAT remembers idle UDP, in seconds; 30 unless told. */
  readonly udpSeconds?: number
}

export type Site = {
  readonly name: string
  readonly kind: SiteKind
  /** The router that hosts are plugged into; of a double NAT the inner one. */
  readonly router: string
  /** Prefixes of its LAN; null where it has none of that family. Private ones are the same at every site. */
  readonly lan4: string | null
  readonly lan6: string | null
  /** The address that the Internet sees behind a NAT; null without one. */
  readonly outside4: string | null
  /** Present with `weather`. */
  readonly link: WeatherLink | null
}

/** What a room got at a site. */
export type Seat = {
  readonly site: Site
  readonly link: string
  readonly ip4: string | null
  readonly ip6: string | null
}

export type SeatOptions = {
  /** Of its default routes; the lowest is used. 100 unless told. */
  readonly metric?: number
  /** Host number on the LAN; by itself the next free one. */
  readonly host?: number
}

/**
 * A small Internet of namespaces: public servers and sites around one core router, and rooms that are plugged into sites and out again, as a
 * person with a laptop does. Addresses look like anybody's (20.0.0.0/8), for documentation's own are refused by careful programs. They are set at once and without asking (no DHCP, no duplicate address detection), so that the moment
 * from which they can be used is known.
 */
export class Internet {
  readonly lab: Lab
  readonly sites = new Map<string, Site>()
  /** Uplinks that have weather, by the room of the public machine or the site's name. `there` is from it, `back` to it. */
  readonly links = new Map<string, WeatherLink>()
  #places = 0
  #ports = 0

  constructor(lab: Lab) {
    this.lab = lab
    lab.room('inet', { 'net.ipv4.ip_forward': 1, 'net.ipv6.conf.all.forwarding': 1 })
  }

  /** A public machine; `families` are those it has. Its addresses: .2 and ::2 of a network of its own. */
  async server(room: string, families: 4 | 6 | 46 = 46, weather?: Weather): Promise<{ ip4: string; ip6: string }> {
    this.lab.room(room)
    const { net4, net6, ip4, ip6 } = await this.#uplink(room, 'eth0', families, weather)
    this.lab.ip(room, ...defaults(families, net4(1), net6(1), 'eth0', 100))
    return { ip4, ip6 }
  }

  async site(name: string, kind: SiteKind, options: SiteOptions = {}): Promise<Site> {
    const { lab } = this
    if (this.sites.has(name)) throw new LabError(`there is a site ${name} already`)
    const forward = { 'net.ipv4.ip_forward': 1, 'net.ipv6.conf.all.forwarding': 1 }
    const lifetime = udpLifetime(options.udpSeconds ?? 30)
    const families = FAMILIES[kind]
    lab.room(name, { ...forward, ...lifetime })
    const { net4, net6, ip4, link, place } = await this.#uplink(name, 'wan', families, options.weather)
    lab.ip(name, ...defaults(families, net4(1), net6(1), 'wan', 100))
    lab.lanSwitch(name, 'lan0', [])
    const nat = natOf(kind)
    let router = name
    if (kind === 'double-nat') {
      router = `${name}in`
      lab.room(router, { ...forward, ...lifetime })
      lab.cable([router, 'wan'], [name, 'p0'])
      lab.ip(name, 'link set p0 master lan0', 'addr add 10.99.0.1/24 dev lan0')
      lab.ip(router, 'addr add 10.99.0.2/24 dev wan', 'route add default via 10.99.0.1')
      lab.lanSwitch(router, 'lan0', [])
      this.#nat(router, '10.99.0.2', 'port-restricted', options)
    }
    if (nat !== null) this.#nat(name, ip4, nat, options)
    if (kind === 'v6-firewall') lab.nft(name, firewall6Ruleset('wan'))
    // A site of global addresses has a second network, of which the core knows the way.
    const lan4 = families === 6 ? null : nat === null ? `20.1.${place}.0/24` : PRIVATE
    const lan6 = families === 4 ? null : `2001:db8:${place.toString(16)}:1::/64`
    if (nat === null && lan4 !== null) lab.ip('inet', `route add ${lan4} via ${ip4}`)
    if (lan6 !== null) lab.ip('inet', `route add ${lan6} via ${net6(2)}`)
    if (lan4 !== null) lab.ip(router, `addr add ${hostOf4(lan4, 1)} dev lan0`)
    if (lan6 !== null) lab.ip(router, `addr add ${hostOf6(lan6, 1)} dev lan0`)
    const site: Site = { name, kind, router, lan4, lan6, outside4: nat === null ? null : ip4, link }
    this.sites.set(name, site)
    return site
  }

  /** Plugs `room`'s interface `link` (made now) into a site and gives it addresses and default routes. */
  join(room: string, link: string, site: Site, options: SeatOptions = {}): Seat {
    const { lab } = this
    const port = `p${++this.#ports}`
    lab.cable([room, link], [site.router, port])
    lab.ip(site.router, `link set ${port} master lan0`)
    // The kernel lets frames through a little later; who gets an address by DHCP has seen that they pass.
    awaitWord(lab.netns(site.router), `${port}/brport/state`, '3')
    awaitWord(lab.netns(room), `${link}/operstate`, 'up')
    return this.address(room, link, site, { host: 10 + this.#ports, ...options })
  }

  /** Gives an interface that is on the site's LAN already its addresses and default routes. */
  address(room: string, link: string, site: Site, { metric = 100, host = 10 }: SeatOptions): Seat {
    const { lan4, lan6 } = site
    const ip4 = lan4 === null ? null : hostOf4(lan4, host)
    const ip6 = lan6 === null ? null : hostOf6(lan6, host)
    this.lab.ip(
      room,
      ...(ip4 === null || lan4 === null
        ? []
        : [
            `addr replace ${ip4} dev ${link}`,
            `route replace default via ${bare(hostOf4(lan4, 1))} dev ${link} metric ${metric}`,
          ]),
      ...(ip6 === null || lan6 === null
        ? []
        : [
            `addr replace ${ip6} dev ${link} nodad`,
            `route replace default via ${bare(hostOf6(lan6, 1))} dev ${link} metric ${metric}`,
          ]),
    )
    return { site, link, ip4: ip4 === null ? null : bare(ip4), ip6: ip6 === null ? null : bare(ip6) }
  }

  /** Pulls the plug: the interface, its addresses and routes are gone. */
  leave(room: string, seat: Seat): void {
    this.lab.ip(room, `link del ${seat.link}`)
  }

  /** Takes the addresses away and leaves the cable: what a site does that lets a lease end. */
  forget(room: string, seat: Seat): void {
    this.lab.ip(room, `addr flush dev ${seat.link} scope global`)
  }

  /** The NAT of a site loses its mappings, silently, as after a power cut. */
  async loseMappings(site: Site): Promise<void> {
    for (const room of new Set([site.name, site.router])) await this.lab.must(room, 'conntrack', ['-F'])
    if (site.outside4 !== null)
      this.lab.nft(site.name, 'flush map ip ntm-lab-nat cone\nflush set ip ntm-lab-nat seen\n')
  }

  #nat(room: string, outside: string, kind: NatKind, { hairpin = false, udpSeconds = 30 }: SiteOptions): void {
    this.lab.nft(room, natRuleset({ kind, uplink: 'wan', inside: 'lan0', outside, hairpin, udpSeconds }))
  }

  /** Both ends of an uplink know each other's link address, as they do wherever there is traffic: the first packet does not wait for a round trip of ARP. */
  #acquaint(...ends: readonly [one: Side, other: Side]): void {
    for (const [[room, link], [[there, theirs], addresses]] of [
      [ends[0][0], ends[1]],
      [ends[1][0], ends[0]],
    ] as const) {
      const linkAddr = runIn(this.lab.netns(there), 'cat', [`/sys/class/net/${theirs}/address`]).trim()
      const known = addresses.map((line) => bare(line.replace('addr add ', '')))
      this.lab.ip(room, ...known.map((ip) => `neigh replace ${ip} lladdr ${linkAddr} dev ${link} nud permanent`))
    }
  }

  /** A cable to the core, with a network of its own of each family; .1 and ::1 are the core's. */
  async #uplink(room: string, name: string, families: 4 | 6 | 46, weather?: Weather) {
    const place = ++this.#places
    if (place > 250) throw new LabError('this Internet has 250 places')
    const net4 = (host: number): string => `20.0.${place}.${host}`
    const net6 = (host: number): string => `2001:db8:${place.toString(16)}::${host}`
    const [a, b]: [Plug, Plug] = [
      [room, name],
      ['inet', `up${place}`],
    ]
    let link: WeatherLink | null = null
    if (weather === undefined) this.lab.cable(a, b)
    else {
      link = await weatherLink(this.lab, { a, b, there: weather })
      this.links.set(room, link)
    }
    const addresses = (host: number): string[] => [
      ...(families === 6 ? [] : [`addr add ${net4(host)}/24`]),
      ...(families === 4 ? [] : [`addr add ${net6(host)}/64`]),
    ]
    this.lab.ip('inet', ...addresses(1).map((line) => `${line} dev up${place}`))
    this.lab.ip(room, ...addresses(2).map((line) => `${line} dev ${name}`))
    if (link !== null) this.#acquaint([a, addresses(2)], [b, addresses(1)])
    return { net4, net6, ip4: net4(2), ip6: net6(2), link, place }
  }
}

/** Waits, a second at most, until a file of an interface says so. */
function awaitWord(netns: string, file: string, word: string): void {
  const look = `[ "$(cat /sys/class/net/${file})" = ${word} ]`
  runIn(netns, 'sh', ['-c', `i=0; until ${look} || [ $i -gt 300 ]; do i=$((i+1)); sleep 0.003; done`])
}

/** A plug, and the lines that gave it its addresses. */
type Side = readonly [Plug, readonly string[]]

function defaults(families: 4 | 6 | 46, via4: string, via6: string, link: string, metric: number): string[] {
  return [
    ...(families === 6 ? [] : [`route add default via ${via4} dev ${link} metric ${metric}`]),
    ...(families === 4 ? [] : [`route add default via ${via6} dev ${link} metric ${metric}`]),
  ]
}

function natOf(kind: SiteKind): NatKind | null {
  switch (kind) {
    case 'full-cone':
    case 'address-restricted':
    case 'port-restricted':
    case 'symmetric':
      return kind
    case 'double-nat':
      return 'port-restricted'
    default:
      return null
  }
}

/** `192.168.77.0/24`, 3 → `192.168.77.3/24`. */
const hostOf4 = (prefix: string, host: number): string => prefix.replace('.0/', `.${host}/`)
const hostOf6 = (prefix: string, host: number): string => prefix.replace('::/', `::${host}/`)
const bare = (address: string): string => address.replace(/\/.*$/, '')

const FAMILIES: Readonly<Record<SiteKind, 4 | 6 | 46>> = {
  none: 46,
  'full-cone': 4,
  'address-restricted': 4,
  'port-restricted': 4,
  symmetric: 4,
  'double-nat': 4,
  'v6-firewall': 6,
  'v4-only': 4,
  'v6-only': 6,
}
/** What home routers use; the same everywhere, so that private addresses overlap. */
const PRIVATE = '192.168.77.0/24'
