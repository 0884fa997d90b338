import { type Ip, isIp4 } from '#ntm-lib/addr/ip.ts'
import { contains, type Prefix } from '#ntm-lib/addr/prefix.ts'
import { type Frame, newFrame, readFrame, TYPE_ARP, TYPE_IP4, TYPE_IP6 } from '#ntm-lib/packet/ether.ts'
import * as ip4 from '#ntm-lib/packet/ip4.ts'
import * as ip6 from '#ntm-lib/packet/ip6.ts'
import { UDP } from '#ntm-lib/packet/protocol.ts'
import { destinationPort, length, sourcePort, UDP_BYTES } from '#ntm-lib/packet/udp.ts'
import { askedFor } from './neighbour.ts'

/** What a diverted frame is. The kinds also tell its leg: `reply` came from the LAN, `other` may have come from anywhere. */
export type FrameKind = 'virtual' | 'neighbour' | 'query' | 'reply' | 'other'

/** One reused object; offsets are absolute. */
export type Classified = {
  kind: FrameKind
  readonly frame: Frame
  /** Start and length of the IP packet, padding of short frames left out; 0 for other frames. */
  ipAt: number
  ipLen: number
  /** Destination of a `virtual` packet, address asked for by a `neighbour` question. */
  virtual: Ip
  /** Of a `query` or `reply`: the UDP header, and the payload behind it. */
  udpAt: number
  payloadLen: number
}

export const newClassified = (): Classified => ({
  kind: 'other',
  frame: newFrame(),
  ipAt: 0,
  ipLen: 0,
  virtual: NONE,
  udpAt: 0,
  payloadLen: 0,
})

/** Finds the IP packet in the frame of `len` bytes at `at`: its header is there and says its version. False for other frames. */
export function readPacket(v: DataView, at: number, len: number, out: Classified): boolean {
  out.ipAt = out.ipLen = 0
  if (!readFrame(v, at, len, out.frame) || out.frame.tags > 1) return false
  const { type, payloadAt } = out.frame
  const room = at + len - payloadAt
  if (type === TYPE_IP4 && room >= ip4.IP4_BYTES && ip4.version(v, payloadAt) === 4)
    out.ipLen = Math.min(room, ip4.totalLength(v, payloadAt))
  else if (type === TYPE_IP6 && room >= ip6.IP6_BYTES && ip6.version(v, payloadAt) === 6)
    out.ipLen = Math.min(room, ip6.IP6_BYTES + ip6.payloadLength(v, payloadAt))
  else return false
  out.ipAt = payloadAt
  return true
}

/** Says what the frame of `len` bytes at `at` is. Mirrors the rules of `ruleset.ts`; what they do not divert is `other`. */
export function classify(v: DataView, at: number, len: number, virtual: readonly Prefix[], out: Classified): FrameKind {
  out.kind = 'other'
  const isIp = readPacket(v, at, len, out)
  const { type, payloadAt: ip, tags } = out.frame
  if (!isIp) return tags < 2 && type === TYPE_ARP ? neighbour(v, ip, at + len - ip, type, virtual, out) : 'other'
  if (type === TYPE_IP4) {
    if (isVirtual(ip4.destination(v, ip), virtual, out)) out.kind = 'virtual'
    else if (ip4.protocol(v, ip) === UDP && !ip4.isFragment(v, ip) && ip4.headerBytes(v, ip) >= 20)
      dns(v, ip + ip4.headerBytes(v, ip), out)
    return out.kind
  }
  // Before the destination: a neighbour may also be asked by unicast.
  if (neighbour(v, ip, at + len - ip, type, virtual, out) === 'neighbour') return 'neighbour'
  if (isVirtual(ip6.destination(v, ip), virtual, out)) out.kind = 'virtual'
  else if (ip6.nextHeader(v, ip) === UDP) dns(v, ip + ip6.IP6_BYTES, out)
  return out.kind
}

function neighbour(
  v: DataView,
  at: number,
  room: number,
  type: number,
  virtual: readonly Prefix[],
  out: Classified,
): FrameKind {
  const asked = askedFor(v, at, room, type)
  if (asked !== null && isVirtual(asked, virtual, out)) out.kind = 'neighbour'
  return out.kind
}

function dns(v: DataView, udpAt: number, out: Classified): void {
  const room = out.ipAt + out.ipLen - udpAt
  if (room < UDP_BYTES || length(v, udpAt) < UDP_BYTES || length(v, udpAt) > room) return
  const [from, to] = [sourcePort(v, udpAt), destinationPort(v, udpAt)]
  if ((from === DNS_PORT) === (to === DNS_PORT)) return
  out.kind = to === DNS_PORT ? 'query' : 'reply'
  out.udpAt = udpAt
  out.payloadLen = length(v, udpAt) - UDP_BYTES
}

function isVirtual(ip: Ip, virtual: readonly Prefix[], out: Classified): boolean {
  for (const p of virtual) {
    if (isIp4(p.base) !== isIp4(ip) || !contains(p, ip)) continue
    out.virtual = ip
    return true
  }
  return false
}

export const DNS_PORT = 53
const NONE = 0 as Ip
