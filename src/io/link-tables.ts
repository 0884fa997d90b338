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
const NLM_F_REQUEST = 1
const NLM_F_DUMP = 0x300
/** A few hundred entries; 128 MiB hold the whole Internet's. */
const FIRST_BYTES = 1 << 18
const MOST_BYTES = 1 << 27
