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

/** Says what the frame of `len` bytes at `at` is. Mirrors the rules of `ruleset.ts`; what they do not divert is `other`. */
export function classify(v: DataView, at: number, len: number, virtual: readonly Prefix[], out: Classified): FrameKind {
  out.kind = 'other'
  out.ipAt = out.ipLen = 0
  if (!readFrame(v, at, len, out.frame) || out.frame.tags > 1) return 'other'
  const { type, payloadAt } = out.frame
  const room = at + len - payloadAt
  if (type === TYPE_ARP) return neighbour(v, payloadAt, room, type, virtual, out)
  if (type === TYPE_IP4 && room >= ip4.IP4_BYTES && ip4.version(v, payloadAt) === 4) {
    out.ipAt = payloadAt
    out.ipLen = Math.min(room, ip4.totalLength(v, payloadAt))
    if (isVirtual(ip4.destination(v, payloadAt), virtual, out)) out.kind = 'virtual'
    else if (ip4.protocol(v, payloadAt) === UDP && !ip4.isFragment(v, payloadAt) && ip4.headerBytes(v, payloadAt) >= 20)
      dns(v, payloadAt + ip4.headerBytes(v, payloadAt), out)
    return out.kind
  }
  if (type !== TYPE_IP6 || room < ip6.IP6_BYTES || ip6.version(v, payloadAt) !== 6) return 'other'
  out.ipAt = payloadAt
  out.ipLen = Math.min(room, ip6.IP6_BYTES + ip6.payloadLength(v, payloadAt))
  // Before the destination: a neighbour may also be asked by unicast.
  if (neighbour(v, payloadAt, room, type, virtual, out) === 'neighbour') return 'neighbour'
  if (isVirtual(ip6.destination(v, payloadAt), virtual, out)) out.kind = 'virtual'
  else if (ip6.nextHeader(v, payloadAt) === UDP) dns(v, payloadAt + ip6.IP6_BYTES, out)
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
