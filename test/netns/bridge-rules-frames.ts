import { ipFrame, newFrameFor, udpFrame, type Way } from '#bridge/frame.ts'
import type { DivertPlan } from '#bridge/ruleset.ts'
import { buildQuery } from '#dnsfn/message.ts'
import { type Ip, parseIp } from '#ntm-lib/addr/ip.ts'
import type { Ip4 } from '#ntm-lib/addr/ip4.ts'
import type { Ip6 } from '#ntm-lib/addr/ip6.ts'
import { type LinkAddr, parseLink } from '#ntm-lib/addr/link.ts'
import { parsePrefix } from '#ntm-lib/addr/prefix.ts'
import { concat } from '#ntm-lib/base/bytes.ts'
import { unhex } from '#ntm-lib/base/hex.ts'
import * as arp from '#ntm-lib/packet/arp.ts'
import { icmp, packet4, packet6, tcp, udp } from '#ntm-lib/packet/build.ts'
import * as ether from '#ntm-lib/packet/ether.ts'

const link = (text: string): LinkAddr => parseLink(text) as LinkAddr
const a4 = (text: string): Ip4 => parseIp(text) as Ip4
const a6 = (text: string): Ip6 => parseIp(text) as Ip6

export const PLAN: DivertPlan = {
  host: 'host0',
  net: 'net0',
  tap: 'ntmx0',
  box: link('02:00:00:00:00:bb'),
  virtual: ['198.18.0.0/16', '198.19.0.0/16', 'fd12:3456:789a::/48', 'fd12:3456:789b:1::/64'].flatMap(
    (p) => parsePrefix(p) ?? [],
  ),
}

/** `virtual`: the guard stops it. `taken`: the diversion does, always or while armed. `learnt`: the filter wants a copy. */
export type FrameCase = {
  readonly title: string
  readonly from: 'host' | 'net'
  readonly frame: Uint8Array
  readonly virtual: boolean
  readonly taken: 'always' | 'armed' | 'never'
  readonly learnt: boolean
}

const HOST = link('02:00:00:00:00:11')
const GATEWAY = link('02:00:00:00:00:01')
const ALL = link('ff:ff:ff:ff:ff:ff')
const up: Way = { to: GATEWAY, from: HOST, tag: 0 }
const down: Way = { to: HOST, from: GATEWAY, tag: 0 }
const VLAN = 0x81000005
const PRIORITY = 0x8100a000
const SERVICE = 0x88a80005
const [host4, dns4, server4] = [a4('10.0.0.5'), a4('10.0.0.1'), a4('198.19.3.4')]
const [host6, dns6, server6] = [a6('2001:db8::5'), a6('2001:db8::1'), a6('fd12:3456:789b:1::7')]
const bytes = new Uint8Array(60).fill(7)

const datagram = (way: Way, source: Ip, sourcePort: number, to: Ip, toPort: number): Uint8Array =>
  udpFrame(way, { source, sourcePort, to, toPort }, bytes)
const raw = (to: string, type: number, body = bytes): Uint8Array => {
  const f = newFrameFor({ ...up, to: link(to) }, type, body.length)
  f.bytes.set(body, f.at)
  return f.bytes
}
const whoHas = (target: Ip4, way: Way): Uint8Array => {
  const f = newFrameFor({ ...way, to: ALL }, ether.TYPE_ARP, 46)
  const none = link('00:00:00:00:00:00')
  arp.write(f.view, f.at, { operation: 1, senderLink: HOST, senderIp: host4, targetLink: none, targetIp: target })
  return f.bytes
}
const solicit = (target: Ip6, way: Way): Uint8Array => {
  const payload = icmp(135, 0, 0, target)
  const p = { source: host6, destination: a6('ff02::1:ff00:7'), protocol: 58, payload, hopLimit: 255 }
  return ipFrame({ ...way, to: link('33:33:ff:00:00:07') }, packet6(p))
}
/** Two tags on a frame that had one. */
const doubled = (frame: Uint8Array, outer: number): Uint8Array =>
  concat(frame.subarray(0, 12), Uint8Array.of(outer >> 8, outer & 255, 0, 9), frame.subarray(12))
const query4 = packet4({ source: host4, destination: dns4, protocol: 17, payload: udp(4000, 53, bytes) })
const toVirtual = { source: host4, destination: server4, protocol: 17, payload: udp(4000, 80, bytes) }

export const CASES: readonly FrameCase[] = [
  taken('query over IPv4', 'armed', ipFrame(up, query4)),
  taken('query over IPv4 in a VLAN', 'armed', ipFrame({ ...up, tag: VLAN }, query4)),
  taken('query over IPv4 with a priority tag', 'armed', ipFrame({ ...up, tag: PRIORITY }, query4)),
  taken('query over IPv4 in a service VLAN', 'armed', ipFrame({ ...up, tag: SERVICE }, query4)),
  taken('query over IPv6', 'armed', datagram(up, host6, 4000, dns6, 53)),
  taken('query over IPv6 in a VLAN', 'armed', datagram({ ...up, tag: VLAN }, host6, 4000, dns6, 53)),
  passes('query in QinQ', doubled(ipFrame({ ...up, tag: VLAN }, query4), 0x88a8)),
  passes('query in two 802.1Q tags', doubled(ipFrame({ ...up, tag: VLAN }, query4), 0x8100)),
  passes(
    'first fragment of a query',
    ipFrame(
      up,
      packet4({
        source: host4,
        destination: dns4,
        protocol: 17,
        payload: udp(4000, 53, new Uint8Array(64)),
        moreFragments: true,
      }),
    ),
  ),
  passes('port 53 to port 53', datagram(up, host4, 53, dns4, 53)),
  passes(
    'DNS over TCP',
    ipFrame(up, packet4({ source: host4, destination: dns4, protocol: 6, payload: tcp(4000, 53, 2) })),
  ),
  passes('multicast DNS', datagram({ ...up, to: link('01:00:5e:00:00:fb') }, host4, 5353, a4('224.0.0.251'), 5353)),
  { ...taken('reply over IPv4', 'armed', datagram(down, dns4, 53, host4, 4000)), from: 'net' },
  {
    ...taken('reply over IPv4 in a VLAN', 'armed', datagram({ ...down, tag: VLAN }, dns4, 53, host4, 4000)),
    from: 'net',
  },
  { ...taken('reply over IPv6', 'armed', datagram(down, dns6, 53, host6, 4000)), from: 'net' },
  { ...passes('query from the LAN to a host', datagram(down, dns4, 4000, host4, 53)), from: 'net' },
  passes('answer of a host that serves DNS', datagram(up, host4, 53, dns4, 4000)),
  virtual('packet to a virtual IPv4 address', ipFrame(up, packet4(toVirtual))),
  virtual('packet to a virtual IPv4 address in a VLAN', ipFrame({ ...up, tag: VLAN }, packet4(toVirtual))),
  virtual(
    'fragment to a virtual IPv4 address',
    ipFrame(up, packet4({ ...toVirtual, offset: 100, moreFragments: true })),
  ),
  virtual('packet to a virtual IPv6 address', datagram(up, host6, 4000, server6, 80)),
  virtual('packet to a virtual IPv6 address in a VLAN', datagram({ ...up, tag: VLAN }, host6, 4000, server6, 80)),
  virtual('query to a virtual address', datagram(up, host4, 4000, server4, 53)),
  { ...stopped('packet to a virtual address from the LAN', datagram(down, dns4, 4000, server4, 80)), from: 'net' },
  {
    ...stopped('packet from the LAN as a virtual IPv4 address', datagram(down, server4, 80, host4, 4000)),
    from: 'net',
  },
  {
    ...stopped('packet from the LAN as a virtual IPv6 address', datagram(down, server6, 80, host6, 4000)),
    from: 'net',
  },
  { ...stopped('DNS reply from the LAN as a virtual address', datagram(down, server4, 53, host4, 4000)), from: 'net' },
  { ...stopped('DNS reply from the LAN to a virtual address', datagram(down, dns6, 53, server6, 4000)), from: 'net' },
  { ...taken('ARP for a virtual address', 'armed', whoHas(server4, up)), learnt: true },
  { ...taken('ARP for a virtual address in a VLAN', 'armed', whoHas(server4, { ...up, tag: VLAN })), learnt: true },
  { ...passes('ARP for another address', whoHas(dns4, up)), learnt: true },
  { ...taken('solicitation for a virtual address', 'armed', solicit(server6, up)), learnt: true },
  {
    ...taken('solicitation for a virtual address in a VLAN', 'armed', solicit(server6, { ...up, tag: VLAN })),
    learnt: true,
  },
  { ...passes('solicitation for another address', solicit(dns6, up)), learnt: true },
  { ...passes('DHCP', datagram({ ...up, to: ALL }, a4('0.0.0.0'), 68, a4('255.255.255.255'), 67)), learnt: true },
  {
    ...passes('DHCP in a VLAN', datagram({ ...up, to: ALL, tag: VLAN }, a4('0.0.0.0'), 68, a4('255.255.255.255'), 67)),
    learnt: true,
  },
  passes('LLDP', raw('01:80:c2:00:00:0e', 0x88cc)),
  passes('EAPOL', raw('01:80:c2:00:00:03', 0x888e)),
  passes('BPDU', concat(unhex('0180c2000000 020000000011 0026 424203') ?? bytes, new Uint8Array(43))),
  passes('PPPoE', raw('02:00:00:00:00:01', 0x8864)),
  passes('an unknown EtherType', raw('02:00:00:00:00:01', 0x1234)),
  passes(
    'a jumbo frame',
    ipFrame(up, packet4({ source: host4, destination: dns4, protocol: 99, payload: new Uint8Array(8000) })),
  ),
  passes(
    'ordinary TCP',
    ipFrame(up, packet4({ source: host4, destination: dns4, protocol: 6, payload: tcp(4000, 80, 2) })),
  ),
]

/** A real DNS query of the host's for the A of `name`. */
export function queryFor(name: string): Uint8Array {
  const payload = buildQuery({ id: 7, name, type: 1, recursionDesired: true }) ?? bytes
  return udpFrame(up, { source: host4, sourcePort: 4000, to: dns4, toPort: 53 }, payload)
}

function taken(title: string, when: 'always' | 'armed', frame: Uint8Array): FrameCase {
  return { title, from: 'host', frame, virtual: false, taken: when, learnt: false }
}

function passes(title: string, frame: Uint8Array): FrameCase {
  return { title, from: 'host', frame, virtual: false, taken: 'never', learnt: false }
}

function virtual(title: string, frame: Uint8Array): FrameCase {
  return { title, from: 'host', frame, virtual: true, taken: 'always', learnt: false }
}

function stopped(title: string, frame: Uint8Array): FrameCase {
  return { title, from: 'host', frame, virtual: true, taken: 'never', learnt: false }
}
