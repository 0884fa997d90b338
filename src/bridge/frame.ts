import { type Ip, isIp4 } from '#ntm-lib/addr/ip.ts'
import type { Ip6 } from '#ntm-lib/addr/ip6.ts'
import type { LinkAddr } from '#ntm-lib/addr/link.ts'
import { packet4, packet6, udp } from '#ntm-lib/packet/build.ts'
import { ETHER_BYTES, TAG_BYTES, TYPE_IP4, TYPE_IP6, writeLink } from '#ntm-lib/packet/ether.ts'
import { UDP } from '#ntm-lib/packet/protocol.ts'
import type { Host } from './host.ts'

/** Ethernet addressing of a frame to be sent. `tag`: TPID ≪ 16 | TCI, 0 for an untagged frame. */
export type Way = { readonly to: LinkAddr; readonly from: LinkAddr; readonly tag: number }

/** How frames get to a host: from its gateway, as far as one is known. */
export const wayTo = (host: Host, box: LinkAddr): Way => ({
  to: host.link,
  from: host.gatewayLink ?? box,
  tag: host.tag,
})

/** Bytes in front of the payload. */
export const headBytes = (tag: number): number => (tag === 0 ? ETHER_BYTES : ETHER_BYTES + TAG_BYTES)

/** Writes the header so that it ends right before `payloadAt`; returns where it starts. */
export function putHead(v: DataView, payloadAt: number, way: Way, type: number): number {
  const at = payloadAt - headBytes(way.tag)
  writeLink(v, at, way.to)
  writeLink(v, at + 6, way.from)
  if (way.tag !== 0) v.setUint32(at + 12, way.tag >>> 0)
  v.setUint16(payloadAt - 2, type)
  return at
}

/** A new frame with room for `bytes` of payload; the payload is zero. */
export function newFrameFor(way: Way, type: number, bytes: number): { bytes: Uint8Array; view: DataView; at: number } {
  const at = headBytes(way.tag)
  const out = new Uint8Array(at + bytes)
  const view = new DataView(out.buffer)
  putHead(view, at, way, type)
  return { bytes: out, view, at }
}

/** A frame around a whole IP packet. */
export function ipFrame(way: Way, packet: Uint8Array): Uint8Array {
  const f = newFrameFor(way, (packet[0] ?? 0) >> 4 === 6 ? TYPE_IP6 : TYPE_IP4, packet.length)
  f.bytes.set(packet, f.at)
  return f.bytes
}

export type Ends = { readonly source: Ip; readonly sourcePort: number; readonly to: Ip; readonly toPort: number }

/** A frame with one UDP datagram. Both addresses are of one family. */
export function udpFrame(way: Way, ends: Ends, payload: Uint8Array): Uint8Array {
  const datagram = udp(ends.sourcePort, ends.toPort, payload)
  return ipFrame(
    way,
    isIp4(ends.source)
      ? packet4({ source: ends.source, destination: ends.to as number, protocol: UDP, payload: datagram })
      : packet6({ source: ends.source, destination: ends.to as Ip6, protocol: UDP, payload: datagram }),
  )
}
