import { type Ip, ipBytes, isIp4 } from '#ntm-lib/addr/ip.ts'
import { IoFault } from './fault.ts'
import { NETLINK_ROUTE, type NetlinkMessage, openNetlink } from './netlink.ts'
import * as rt from './rtnetlink.ts'

/** All links now, asked of the kernel directly: takes well under a millisecond, no process is started. */
export const currentLinks = (): readonly rt.LinkState[] =>
  dump(rt.RTM_GETLINK, rt.IFINFO_BYTES, rt.RTM_NEWLINK).flatMap((m) => rt.linkOf(m.body) ?? [])

/** All addresses of both families now, in the kernel's order. */
export const currentAddresses = (): readonly rt.AddressState[] =>
  dump(rt.RTM_GETADDR, IFADDR_BYTES, rt.RTM_NEWADDR).flatMap((m) => rt.addressOf(m.body) ?? [])

/** All routes of both families now but those of the `local` table. */
export const currentRoutes = (): readonly rt.RouteState[] =>
  dump(rt.RTM_GETROUTE, rt.RTMSG_BYTES, rt.RTM_NEWROUTE).flatMap((m) => rt.routesOf(m.body))

/**
 * Whether what comes in for this address of ours is taken in already. Linux tells of an IPv6 address and sends from it a moment before: a neighbour's
 * answer in that moment is lost, and the next question follows a second later.
 */
export function isReceivedAt(ip: Ip): boolean {
  const bytes = ipBytes(ip)
  const request = new Uint8Array(16 + rt.RTMSG_BYTES + 4 + bytes.length)
  const view = new DataView(request.buffer)
  view.setUint32(0, request.length, true)
  view.setUint16(4, rt.RTM_GETROUTE, true)
  view.setUint16(6, NLM_F_REQUEST | NLM_F_ACK, true)
  request.set([isIp4(ip) ? rt.AF_INET : rt.AF_INET6, 8 * bytes.length], 16)
  view.setUint16(16 + rt.RTMSG_BYTES, 4 + bytes.length, true)
  view.setUint16(16 + rt.RTMSG_BYTES + 2, rt.RTA_DST, true)
  request.set(bytes, 16 + rt.RTMSG_BYTES + 4)
  const netlink = openNetlink(NETLINK_ROUTE, ONE_ROUTE_BYTES)
  try {
    const { messages } = netlink.talk(request, 1)
    return messages.some((m) => m.type === rt.RTM_NEWROUTE && m.body[ROUTE_TYPE] === RTN_LOCAL)
  } finally {
    netlink.close()
  }
}

/** A table with as many entries as it has: twice the memory until it fits. IoFault when netlink cannot be asked. */
function dump(type: number, bytes: number, answer: number): readonly NetlinkMessage[] {
  const request = new DataView(new ArrayBuffer(16 + bytes))
  request.setUint32(0, request.byteLength, true)
  request.setUint16(4, type, true)
  request.setUint16(6, NLM_F_REQUEST | NLM_F_DUMP, true)
  for (let room = FIRST_BYTES; ; room *= 8) {
    const netlink = openNetlink(NETLINK_ROUTE, room)
    try {
      const { messages } = netlink.talk(new Uint8Array(request.buffer), 1)
      return messages.filter((m) => m.type === answer)
    } catch (e) {
      if (!(e instanceof IoFault) || e.code !== 'EMSGSIZE' || room >= MOST_BYTES) throw e
    } finally {
      netlink.close()
    }
  }
}

const IFADDR_BYTES = 8
const ONE_ROUTE_BYTES = 4096
/** Place in `struct rtmsg`, and its value for what is ours. */
const ROUTE_TYPE = 7
const RTN_LOCAL = 2
const NLM_F_REQUEST = 1
const NLM_F_ACK = 4
const NLM_F_DUMP = 0x300
/** A few hundred entries; 128 MiB hold the whole Internet's. */
const FIRST_BYTES = 1 << 18
const MOST_BYTES = 1 << 27
