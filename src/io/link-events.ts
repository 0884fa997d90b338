import type { Family, Ip } from '#ntm-lib/addr/ip.ts'
import { ip4FromBytes } from '#ntm-lib/addr/ip4.ts'
import { ip6FromBytes } from '#ntm-lib/addr/ip6.ts'
import { type LinkAddr, linkFromBytes } from '#ntm-lib/addr/link.ts'
import type { Prefix } from '#ntm-lib/addr/prefix.ts'
import { attributes, NETLINK_ROUTE, type NetlinkMessage, openNetlink, openNetlinkEvents } from './netlink.ts'

export type LinkState = {
  readonly ifindex: number
  readonly name: string
  readonly up: boolean
  /** The cable, the peer or the association is there (IFF_LOWER_UP). */
  readonly carrier: boolean
  readonly mtuBytes: number
  readonly linkAddr: LinkAddr | null
  /** Interface index of its bridge or bond. */
  readonly master: number | null
}

export type LinkEvent =
  /** Appeared (`isNew`), or changed name, flags, carrier, MTU, address or master. */
  | { readonly kind: 'link'; readonly isNew: boolean; readonly link: LinkState }
  | { readonly kind: 'link-gone'; readonly ifindex: number; readonly name: string }
  | {
      readonly kind: 'address-added' | 'address-removed'
      readonly ifindex: number
      readonly ip: Ip
      readonly bits: number
      /** IPv6 duplicate detection has not finished: another event follows when it has. */
      readonly tentative: boolean
    }
  | {
      readonly kind: 'route-added' | 'route-removed'
      readonly family: Family
      /** null: the default route. */
      readonly to: Prefix | null
      readonly via: Ip | null
      readonly ifindex: number
      readonly table: number
    }
  /** The kernel dropped events: read links, addresses and routes anew. */
  | { readonly kind: 'lost' }

/** Follows links, addresses and routes of our network namespace. IoFault when netlink cannot be opened. */
export function watchLinks(take: (event: LinkEvent) => void): { close(): void } {
  const events = openNetlinkEvents(NETLINK_ROUTE, GROUPS)
  // Subscribed first, listed second: a link that appears in between is told as a change, never missed.
  const known = new Set(currentLinks().map((l) => l.ifindex))
  events.onEvent(
    (message) => {
      const event = linkEvent(message, known)
      if (event !== null) take(event)
    },
    () => take({ kind: 'lost' }),
  )
  return { close: () => events.close() }
}

/** All links now, asked of the kernel directly: takes well under a millisecond, no process is started. */
export function currentLinks(): LinkState[] {
  const netlink = openNetlink(NETLINK_ROUTE)
  try {
    const request = new DataView(new ArrayBuffer(16 + IFINFO_BYTES))
    request.setUint32(0, request.byteLength, true)
    request.setUint16(4, RTM_GETLINK, true)
    request.setUint16(6, NLM_F_REQUEST | NLM_F_DUMP, true)
    const answer = netlink.talk(new Uint8Array(request.buffer), 1)
    return answer.messages.flatMap((m) => (m.type === RTM_NEWLINK ? (linkState(m.body) ?? []) : []))
  } finally {
    netlink.close()
  }
}

/** The event in a message; null for what does not concern us. Updates `known`, the interface indexes seen so far. */
export function linkEvent(m: NetlinkMessage, known: Set<number>): LinkEvent | null {
  switch (m.type) {
    case RTM_NEWLINK: {
      const link = linkState(m.body)
      if (link === null) return null
      const isNew = !known.has(link.ifindex)
      known.add(link.ifindex)
      return { kind: 'link', isNew, link }
    }
    case RTM_DELLINK: {
      const link = linkState(m.body)
      if (link === null) return null
      known.delete(link.ifindex)
      return { kind: 'link-gone', ifindex: link.ifindex, name: link.name }
    }
    case RTM_NEWADDR:
    case RTM_DELADDR:
      return addressEvent(m.type === RTM_NEWADDR ? 'address-added' : 'address-removed', m.body)
    case RTM_NEWROUTE:
    case RTM_DELROUTE:
      return routeEvent(m.type === RTM_NEWROUTE ? 'route-added' : 'route-removed', m.body)
    default:
      return null
  }
}

/** `struct ifinfomsg` and its attributes. rtnetlink(7). */
function linkState(body: Uint8Array): LinkState | null {
  // Family AF_BRIDGE tells of bridge membership: its RTM_DELLINK means "left the bridge", not "gone".
  if (body.length < IFINFO_BYTES || body[0] !== AF_UNSPEC) return null
  const view = viewOf(body)
  const flags = view.getUint32(8, true)
  const found = new Map(attributes(body, IFINFO_BYTES))
  const address = found.get(IFLA_ADDRESS)
  return {
    ifindex: view.getInt32(4, true),
    name: cString(found.get(IFLA_IFNAME)),
    up: (flags & IFF_UP) !== 0,
    carrier: (flags & IFF_LOWER_UP) !== 0,
    mtuBytes: u32(found.get(IFLA_MTU)) ?? 0,
    linkAddr: address?.length === 6 ? linkFromBytes(address) : null,
    master: u32(found.get(IFLA_MASTER)),
  }
}

/** `struct ifaddrmsg` and its attributes. */
function addressEvent(kind: 'address-added' | 'address-removed', body: Uint8Array): LinkEvent | null {
  if (body.length < 8) return null
  const found = new Map(attributes(body, 8))
  // On point-to-point links IFA_ADDRESS is the peer and IFA_LOCAL ours; elsewhere they are equal or only one is there.
  const ip = ipOf(body[0] ?? 0, found.get(IFA_LOCAL) ?? found.get(IFA_ADDRESS))
  if (ip === null) return null
  const flags = u32(found.get(IFA_FLAGS)) ?? body[2] ?? 0
  return {
    kind,
    ifindex: viewOf(body).getUint32(4, true),
    ip,
    bits: body[1] ?? 0,
    tentative: (flags & IFA_F_TENTATIVE) !== 0,
  }
}

/** `struct rtmsg` and its attributes. Routes of the `local` table repeat what addresses say and are left out. */
function routeEvent(kind: 'route-added' | 'route-removed', body: Uint8Array): LinkEvent | null {
  if (body.length < 12) return null
  const found = new Map(attributes(body, 12))
  const table = u32(found.get(RTA_TABLE)) ?? body[4] ?? 0
  const family = body[0] === AF_INET ? 4 : body[0] === AF_INET6 ? 6 : null
  if (family === null || table === RT_TABLE_LOCAL) return null
  const bits = body[1] ?? 0
  const base = ipOf(body[0] ?? 0, found.get(RTA_DST))
  return {
    kind,
    family,
    to: base === null || bits === 0 ? null : { base, bits },
    via: ipOf(body[0] ?? 0, found.get(RTA_GATEWAY)),
    ifindex: u32(found.get(RTA_OIF)) ?? 0,
    table,
  }
}

function ipOf(family: number, bytes: Uint8Array | undefined): Ip | null {
  if (family === AF_INET && bytes?.length === 4) return ip4FromBytes(bytes)
  if (family === AF_INET6 && bytes?.length === 16) return ip6FromBytes(bytes)
  return null
}

const viewOf = (b: Uint8Array): DataView => new DataView(b.buffer, b.byteOffset, b.byteLength)
/** Netlink speaks the machine's byte order, which is little-endian on every machine we build for. */
const u32 = (b: Uint8Array | undefined): number | null => (b?.length === 4 ? viewOf(b).getUint32(0, true) : null)
const cString = (b: Uint8Array | undefined): string => String.fromCharCode(...(b ?? [])).replace(/\0.*$/s, '')

const AF_UNSPEC = 0
const AF_INET = 2
const AF_INET6 = 10
const IFINFO_BYTES = 16
const NLM_F_REQUEST = 1
const NLM_F_DUMP = 0x300
const RTM_NEWLINK = 16
const RTM_DELLINK = 17
const RTM_GETLINK = 18
const RTM_NEWADDR = 20
const RTM_DELADDR = 21
const RTM_NEWROUTE = 24
const RTM_DELROUTE = 25
const IFF_UP = 1
const IFF_LOWER_UP = 0x10000
const IFLA_ADDRESS = 1
const IFLA_IFNAME = 3
const IFLA_MTU = 4
const IFLA_MASTER = 10
const IFA_ADDRESS = 1
const IFA_LOCAL = 2
const IFA_FLAGS = 8
const IFA_F_TENTATIVE = 0x40
const RTA_DST = 1
const RTA_OIF = 4
const RTA_GATEWAY = 5
const RTA_TABLE = 15
const RT_TABLE_LOCAL = 255
/** RTMGRP_LINK, IPV4_IFADDR, IPV4_ROUTE, IPV6_IFADDR, IPV6_ROUTE. */
const GROUPS = 0x1 | 0x10 | 0x40 | 0x100 | 0x400
