import { newUpper, upperLayer } from '../packet/extension.ts'
import * as ip4 from '../packet/ip4.ts'
import { TCP, UDP } from '../packet/protocol.ts'
import * as tcp from '../packet/tcp.ts'
import { UDP_BYTES } from '../packet/udp.ts'

/** Where the parts of a TCP or UDP packet are. One object is reused for every packet; see `layoutOf`. */
export type Layout = {
  version: 4 | 6
  protocol: typeof TCP | typeof UDP
  /** Offset of the transport header from the packet's start. */
  transport: number
  /** Bytes of the IP and the transport header: offset of the payload. */
  headers: number
}

export const newLayout = (): Layout => ({ version: 4, protocol: TCP, transport: 0, headers: 0 })

/** Reads the headers of an unfragmented TCP or UDP packet of exactly `len` bytes at `at`; false when it is none. */
export function layoutOf(view: DataView, at: number, len: number, out: Layout): boolean {
  if (len < ip4.IP4_BYTES) return false
  const version = ip4.version(view, at)
  if (version === 4) {
    out.version = 4
    out.transport = ip4.headerBytes(view, at)
    if (out.transport < ip4.IP4_BYTES || ip4.totalLength(view, at) !== len || ip4.isFragment(view, at)) return false
    return transportOf(view, at, len, ip4.protocol(view, at), out)
  }
  if (version !== 6 || len < 40 || view.getUint16(at + 4) + 40 !== len) return false
  out.version = 6
  if (!upperLayer(view, at, len, UPPER) || UPPER.fragmentAt >= 0) return false
  out.transport = UPPER.at - at
  return transportOf(view, at, len, UPPER.protocol, out)
}

function transportOf(view: DataView, at: number, len: number, protocol: number, out: Layout): boolean {
  const start = at + out.transport
  if (protocol === TCP) {
    if (out.transport + tcp.TCP_BYTES > len) return false
    const bytes = tcp.headerBytes(view, start)
    out.protocol = TCP
    out.headers = out.transport + bytes
    return bytes >= tcp.TCP_BYTES && out.headers <= len
  }
  if (protocol !== UDP || out.transport + UDP_BYTES > len) return false
  out.protocol = UDP
  out.headers = out.transport + UDP_BYTES
  return true
}

/** Refilled by each `layoutOf`, read by nobody else. */
const UPPER = newUpper()
