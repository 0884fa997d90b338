import { CSUM_MISSING } from '../ports/packet-port.ts'
import { checkOf, pseudo4, pseudo6, sum, udpCheck } from './checksum.ts'
import { newUpper, upperLayer } from './extension.ts'
import * as ip4 from './ip4.ts'
import { TCP, UDP } from './protocol.ts'
import * as tcp from './tcp.ts'
import { UDP_BYTES, CHECK_AT as UDP_CHECK } from './udp.ts'

/**
 * Super-packets: one TCP or UDP packet that is cut into segments of `gso` payload bytes on its way (`SuperBatch`). What a
 * link can carry is a matter of its segments, not of its length.
 */

/** Whether a packet with this `gso` is going to be cut; false for plain packets, with or without their checksum. */
export const isSuper = (gso: number): boolean => gso !== 0 && gso !== CSUM_MISSING

/** Header bytes of the TCP or UDP packet at `at`; -1 when it is neither, or they are not all there before `end`. */
export function transportBytes(v: DataView, protocol: number, at: number, end: number): number {
  if (protocol === UDP) return at + UDP_BYTES <= end ? UDP_BYTES : -1
  if (protocol !== TCP || at + tcp.TCP_BYTES > end) return -1
  const bytes = tcp.headerBytes(v, at)
  return bytes >= tcp.TCP_BYTES && at + bytes <= end ? bytes : -1
}

/** How many segments a super-packet with `payload` bytes behind its headers becomes. */
export const segmentCount = (payload: number, gso: number): number =>
  payload <= gso ? 1 : Math.floor((payload + gso - 1) / gso)

/**
 * The `gso` with which no segment is longer than `most`, behind an IP header of `ipBytes`. TCP may be cut anywhere; UDP's
 * datagrams are the sender's and stay as they are: -1 when they do not fit, and when the headers are not there.
 *
 * @param at where the TCP or UDP header starts
 * @param end where the packet ends
 */
export function fitted(
  v: DataView,
  protocol: number,
  at: number,
  end: number,
  gso: number,
  ipBytes: number,
  most: number,
): number {
  const header = transportBytes(v, protocol, at, end)
  if (header < 0) return -1
  const room = most - ipBytes - header
  if (protocol === TCP) return room > 0 ? Math.min(gso, room) : -1
  return Math.min(gso, end - at - header) <= room ? gso : -1
}

const upper = newUpper()

/**
 * Computes the transport checksum of the plain, whole TCP or UDP packet of `len` bytes at `at` from scratch: what `CSUM_MISSING`
 * asks for where nobody else will. Other packets are left as they are.
 */
export function fillTransport(v: DataView, at: number, len: number): void {
  const four = ip4.version(v, at) === 4
  if (!four && !upperLayer(v, at, len, upper)) return
  const protocol = four ? ip4.protocol(v, at) : upper.protocol
  const start = four ? at + ip4.headerBytes(v, at) : upper.at
  const bytes = at + len - start
  const field = protocol === TCP ? tcp.CHECK_AT : protocol === UDP ? UDP_CHECK : -1
  if (field >= 0 && bytes >= field + 2) fillTransportAt(v, at, len, four, protocol, start)
}

/** The same for a packet that was looked at: IPv4 when `four`, TCP or UDP whose header starts at `start` and is all there. */
export function fillTransportAt(
  v: DataView,
  at: number,
  len: number,
  four: boolean,
  protocol: number,
  start: number,
): void {
  const bytes = at + len - start
  const field = start + (protocol === TCP ? tcp.CHECK_AT : UDP_CHECK)
  v.setUint16(field, 0)
  const pseudo = four ? pseudo4(v, at, protocol, bytes) : pseudo6(v, at, protocol, bytes)
  const check = checkOf(pseudo + sum(v, start, bytes))
  v.setUint16(field, protocol === UDP ? udpCheck(check) : check)
}
