import type { Family, Ip } from '#ntm-lib/addr/ip.ts'
import { ip4FromBytes } from '#ntm-lib/addr/ip4.ts'
import { ip6FromBytes } from '#ntm-lib/addr/ip6.ts'
import { type LinkAddr, linkFromBytes } from '#ntm-lib/addr/link.ts'
import type { Prefix } from '#ntm-lib/addr/prefix.ts'
import { attributes } from './netlink.ts'

export type LinkState = {
  readonly ifindex: number
  readonly name: string
  readonly up: boolean
  /** The cable, the peer or the association is there (IFF_LOWER_UP). */
  readonly carrier: boolean
  readonly loopback: boolean
  readonly mtuBytes: number
  readonly linkAddr: LinkAddr | null
  /** Interface index of its bridge or bond. */
  readonly master: number | null
}

export type AddressState = {
  readonly ifindex: number
  readonly ip: Ip
  readonly bits: number
  /** Of use beyond its link. RFC 4291 §2.5.6, RFC 3927. */
  readonly global: boolean
  /** IPv6 duplicate detection has not finished. */
  readonly tentative: boolean
  /** It may be sent from all the same: not tentative, or optimistic (RFC 4429); and duplicate detection has not failed. */
  readonly usable: boolean
  /** For what exists, not for what is new. RFC 4862 §5.5.4. */
  readonly deprecated: boolean
  /** Of a privacy extension: it will not last. RFC 8981. */
  readonly temporary: boolean
}

export type RouteState = {
  readonly family: Family
  /** null: the default route. */
  readonly to: Prefix | null
  readonly via: Ip | null
  /** 0: it leads nowhere. */
  readonly ifindex: number
  readonly table: number
  /** Lower is better. */
  readonly metric: number
  /** The address of ours that the route asks for. */
  readonly from: Ip | null
  readonly unicast: boolean
}

/** `struct ifinfomsg` and its attributes; null for what is about something else. rtnetlink(7). */
export function linkOf(body: Uint8Array): LinkState | null {
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
    loopback: (flags & IFF_LOOPBACK) !== 0,
    mtuBytes: u32(found.get(IFLA_MTU)) ?? 0,
    linkAddr: address?.length === 6 ? linkFromBytes(address) : null,
    master: u32(found.get(IFLA_MASTER)),
  }
}

/** `struct ifaddrmsg` and its attributes. */
export function addressOf(body: Uint8Array): AddressState | null {
  if (body.length < 8) return null
  const found = new Map(attributes(body, 8))
  // On point-to-point links IFA_ADDRESS is the peer and IFA_LOCAL ours; elsewhere they are equal or only one is there.
  const ip = ipOf(body[0] ?? 0, found.get(IFA_LOCAL) ?? found.get(IFA_ADDRESS))
  if (ip === null) return null
  const flags = u32(found.get(IFA_FLAGS)) ?? body[2] ?? 0
  const tentative = (flags & IFA_F_TENTATIVE) !== 0
  const isSix = body[0] === AF_INET6
  return {
    ifindex: viewOf(body).getUint32(4, true),
    ip,
    bits: body[1] ?? 0,
    global: body[3] === RT_SCOPE_UNIVERSE || body[3] === RT_SCOPE_SITE,
    tentative,
    usable: (!tentative || (flags & IFA_F_OPTIMISTIC) !== 0) && (flags & IFA_F_DADFAILED) === 0,
    deprecated: (flags & IFA_F_DEPRECATED) !== 0,
    // The same bit says "secondary" of an IPv4 address.
    temporary: isSix && (flags & IFA_F_TEMPORARY) !== 0,
  }
}

/** `struct rtmsg` and its attributes, one for each next hop. Routes of the `local` table repeat what addresses say and are left out. */
export function routesOf(body: Uint8Array): readonly RouteState[] {
  if (body.length < RTMSG_BYTES) return []
  const found = new Map(attributes(body, RTMSG_BYTES))
  const table = u32(found.get(RTA_TABLE)) ?? body[4] ?? 0
  const code = body[0] ?? 0
  const family = code === AF_INET ? 4 : code === AF_INET6 ? 6 : null
  if (family === null || table === RT_TABLE_LOCAL) return []
  const bits = body[1] ?? 0
  const base = ipOf(code, found.get(RTA_DST))
  const route: RouteState = {
    family,
    to: base === null || bits === 0 ? null : { base, bits },
    via: ipOf(code, found.get(RTA_GATEWAY)),
    ifindex: u32(found.get(RTA_OIF)) ?? 0,
    table,
    metric: u32(found.get(RTA_PRIORITY)) ?? 0,
    from: ipOf(code, found.get(RTA_PREFSRC)),
    unicast: body[7] === RTN_UNICAST,
  }
  const hops = [...nextHops(found.get(RTA_MULTIPATH) ?? new Uint8Array(0))]
  return hops.length === 0 ? [route] : hops.map(([ifindex, via]) => ({ ...route, ifindex, via: ipOf(code, via) }))
}

/** `struct rtnexthop`s: interface and gateway. */
function* nextHops(bytes: Uint8Array): Generator<readonly [ifindex: number, gateway: Uint8Array | undefined]> {
  const view = viewOf(bytes)
  for (let at = 0; at + NEXT_HOP_BYTES <= bytes.length; ) {
    const length = view.getUint16(at, true)
    if (length < NEXT_HOP_BYTES || at + length > bytes.length) return
    const found = new Map(attributes(bytes.subarray(at, at + length), NEXT_HOP_BYTES))
    yield [view.getInt32(at + 4, true), found.get(RTA_GATEWAY)]
    at += (length + 3) & ~3
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

export const RTM_NEWLINK = 16
export const RTM_DELLINK = 17
export const RTM_GETLINK = 18
export const RTM_NEWADDR = 20
export const RTM_DELADDR = 21
export const RTM_GETADDR = 22
export const RTM_NEWROUTE = 24
export const RTM_DELROUTE = 25
export const RTM_GETROUTE = 26
/** Bytes of `struct ifinfomsg`; of `struct rtmsg`. */
export const IFINFO_BYTES = 16
export const RTMSG_BYTES = 12
/** What `ip route` shows without being told otherwise. */
export const RT_TABLE_MAIN = 254

export const AF_INET = 2
export const AF_INET6 = 10
export const RTA_DST = 1
const AF_UNSPEC = 0
const IFF_UP = 1
const IFF_LOOPBACK = 8
const IFF_LOWER_UP = 0x10000
const IFLA_ADDRESS = 1
const IFLA_IFNAME = 3
const IFLA_MTU = 4
const IFLA_MASTER = 10
const IFA_ADDRESS = 1
const IFA_LOCAL = 2
const IFA_FLAGS = 8
const IFA_F_TEMPORARY = 0x01
const IFA_F_OPTIMISTIC = 0x04
const IFA_F_DADFAILED = 0x08
const IFA_F_DEPRECATED = 0x20
const IFA_F_TENTATIVE = 0x40
const RT_SCOPE_UNIVERSE = 0
const RT_SCOPE_SITE = 200
const RTA_OIF = 4
const RTA_GATEWAY = 5
const RTA_PRIORITY = 6
const RTA_PREFSRC = 7
const RTA_MULTIPATH = 9
const RTA_TABLE = 15
const RT_TABLE_LOCAL = 255
const RTN_UNICAST = 1
const NEXT_HOP_BYTES = 8
