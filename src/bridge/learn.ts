import type { Ip4 } from '#ntm-lib/addr/ip4.ts'
import type { Instant } from '#ntm-lib/base/time.ts'
import * as arp from '#ntm-lib/packet/arp.ts'
import { destination, type Frame, outerType, source, TYPE_ARP, TYPE_IP4, TYPE_IP6 } from '#ntm-lib/packet/ether.ts'
import * as ip4 from '#ntm-lib/packet/ip4.ts'
import * as ip6 from '#ntm-lib/packet/ip6.ts'
import * as ndp from '#ntm-lib/packet/ndp.ts'
import { ICMP6, UDP } from '#ntm-lib/packet/protocol.ts'
import { UDP_BYTES } from '#ntm-lib/packet/udp.ts'
import { DHCP_ACK, parseDhcp } from './dhcp.ts'
import { type Host, noteAddress, noteGateway, noteLease, noteSource, noteTaking } from './host.ts'
import type { Hosts } from './hosts.ts'

/** The tag of a frame in the form hosts remember it: TPID ≪ 16 | TCI, 0 without. */
export const tagOf = (v: DataView, at: number, f: Frame): number =>
  f.tags === 0 ? 0 : ((outerType(v, at) << 16) | f.tci) >>> 0

/** A frame a host sent: ARP, neighbour discovery, DHCP, or any other from which only its addresses are taken. `f` was read from the `len` bytes at `at`. `askers`: addresses of ours that ask for all there are (`sweep.ts`). */
export function learnFromHost(
  hosts: Hosts,
  v: DataView,
  at: number,
  len: number,
  f: Frame,
  now: Instant,
  askers: ReadonlySet<Ip4> = NOBODY,
): void {
  const room = at + len - f.payloadAt
  const before = hosts.byLink(source(v, at))
  const addressed = before?.heard === true && before.ip4s.length > 0
  const h = hosts.meet(source(v, at), tagOf(v, at, f), now)
  if (h === null) return
  if (f.type === TYPE_ARP) {
    // A sender that speaks for another (proxy ARP) tells nothing about itself.
    if (!arp.isArp(v, f.payloadAt, room) || arp.senderLink(v, f.payloadAt) !== h.link) return
    // Who is asked for a whole subnet and answers for more than one address answers for others.
    const forUs = arp.operation(v, f.payloadAt) === arp.REPLY && askers.has(arp.targetIp(v, f.payloadAt))
    if (!forUs || !addressed) noteAddress(h, arp.senderIp(v, f.payloadAt), now)
  } else if (f.type === TYPE_IP6) learnNeighbour(h, v, f.payloadAt, room, now)
  else if (f.type === TYPE_IP4) {
    const lease = dhcpAt(v, f.payloadAt, room)
    if (lease === null && room >= ip4.IP4_BYTES) noteSource(h, ip4.source(v, f.payloadAt), now)
    if (lease === null || lease.client !== h.link) return
    if (lease.name !== null) hosts.rename(h, lease.name)
  }
}

/** A frame from the LAN tells only about hosts we know: a DHCP ACK, and the gateway's ARP reply to one of them. */
export function learnFromNet(hosts: Hosts, v: DataView, at: number, len: number, f: Frame, now: Instant): void {
  if (f.type === TYPE_ARP) {
    const h = hosts.byLink(destination(v, at))
    if (h === null || !arp.isArp(v, f.payloadAt, at + len - f.payloadAt)) return
    if (arp.senderIp(v, f.payloadAt) === h.gatewayIp) noteGateway(h, arp.senderLink(v, f.payloadAt))
    return
  }
  if (f.type !== TYPE_IP4) return
  const lease = dhcpAt(v, f.payloadAt, at + len - f.payloadAt)
  const h = lease === null || lease.kind !== DHCP_ACK ? null : hosts.byLink(lease.client)
  if (h === null || lease === null) return
  if (lease.ip !== null) noteLease(h, lease.ip, now)
  h.gatewayIp = lease.router ?? h.gatewayIp
  h.resolver = lease.resolver ?? h.resolver
}

const NOBODY: ReadonlySet<Ip4> = new Set()

function learnNeighbour(h: Host, v: DataView, at: number, room: number, now: Instant): void {
  const icmp = at + ip6.IP6_BYTES
  if (room < ip6.IP6_BYTES) return
  const from = ip6.source(v, at)
  if (room < ip6.IP6_BYTES + ndp.NEIGHBOUR_BYTES || ip6.nextHeader(v, at) !== ICMP6 || ip6.hopLimit(v, at) !== 255)
    return noteSource(h, from, now)
  const kind = v.getUint8(icmp)
  // A solicitation from :: is a question whether the address is free: not in use yet.
  if (kind === ndp.NEIGHBOUR_SOLICITATION)
    if (from.every((byte) => byte === 0)) noteTaking(h, ndp.target(v, icmp), now)
    else noteAddress(h, from, now)
  if (kind === ndp.NEIGHBOUR_ADVERTISEMENT) noteAddress(h, ndp.target(v, icmp), now)
}

function dhcpAt(v: DataView, at: number, room: number): ReturnType<typeof parseDhcp> {
  if (room < ip4.IP4_BYTES || ip4.protocol(v, at) !== UDP || ip4.isFragment(v, at)) return null
  const from = at + ip4.headerBytes(v, at) + UDP_BYTES
  const end = at + Math.min(room, ip4.totalLength(v, at))
  if (from >= end) return null
  return parseDhcp(new Uint8Array(v.buffer, v.byteOffset + from, end - from))
}
