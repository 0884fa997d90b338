import type { Ip } from '#ntm-lib/addr/ip.ts'
import type { LinkAddr } from '#ntm-lib/addr/link.ts'
import * as arp from '#ntm-lib/packet/arp.ts'
import { TYPE_ARP, TYPE_IP6 } from '#ntm-lib/packet/ether.ts'
import * as ip6 from '#ntm-lib/packet/ip6.ts'
import * as ndp from '#ntm-lib/packet/ndp.ts'
import { ICMP6 } from '#ntm-lib/packet/protocol.ts'
import { newFrameFor, type Way } from './frame.ts'

/** The virtual address an ARP request or neighbour solicitation asks for; null when it is neither. */
export function askedFor(v: DataView, at: number, room: number, type: number): Ip | null {
  if (type === TYPE_ARP) {
    return arp.isArp(v, at, room) && arp.operation(v, at) === arp.REQUEST ? arp.targetIp(v, at) : null
  }
  if (type !== TYPE_IP6 || room < ip6.IP6_BYTES + ndp.NEIGHBOUR_BYTES) return null
  // RFC 4861 §7.1.1: with another hop limit it came through a router, and so not from a neighbour.
  if (ip6.nextHeader(v, at) !== ICMP6 || ip6.hopLimit(v, at) !== 255) return null
  const icmp = at + ip6.IP6_BYTES
  return v.getUint8(icmp) === ndp.NEIGHBOUR_SOLICITATION ? ndp.target(v, icmp) : null
}

/**
 * The frame that answers the ARP request at `at`: the asked address is at `link`. Null for probes and announcements
 * (RFC 5227): answering one would tell the host that somebody else has the address it wants.
 */
export function answerArp(v: DataView, at: number, way: Way, link: LinkAddr): Uint8Array | null {
  const senderIp = arp.senderIp(v, at)
  if (senderIp === 0 || senderIp === arp.targetIp(v, at)) return null
  const f = newFrameFor(way, TYPE_ARP, arp.ARP_BYTES)
  arp.write(f.view, f.at, {
    operation: arp.REPLY,
    senderLink: link,
    senderIp: arp.targetIp(v, at),
    targetLink: arp.senderLink(v, at),
    targetIp: senderIp,
  })
  return f.bytes
}

/** The frame that answers the neighbour solicitation whose IPv6 header is at `at`; null for duplicate address detection. */
export function answerSolicitation(v: DataView, at: number, way: Way, link: LinkAddr): Uint8Array | null {
  const asker = ip6.source(v, at)
  if (asker.every((b) => b === 0)) return null
  const target = ndp.target(v, at + ip6.IP6_BYTES)
  const f = newFrameFor(way, TYPE_IP6, ndp.ADVERTISEMENT_PACKET_BYTES)
  ndp.writeAdvertisement(f.view, f.at, {
    source: target,
    destination: asker,
    target,
    targetLink: link,
    solicited: true,
  })
  return f.bytes
}
