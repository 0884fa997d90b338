import { concat } from '#ntm-lib/base/bytes.ts'
import { viewOf } from '#ntm-lib/packet/build.ts'
import { newUpper, upperLayer } from '#ntm-lib/packet/extension.ts'
import { fillTransport } from '#ntm-lib/packet/gso.ts'
import * as ip4 from '#ntm-lib/packet/ip4.ts'
import { IP6_BYTES, setPayloadLength } from '#ntm-lib/packet/ip6.ts'
import { TCP } from '#ntm-lib/packet/protocol.ts'
import * as tcp from '#ntm-lib/packet/tcp.ts'
import { UDP_BYTES } from '#ntm-lib/packet/udp.ts'
import { type Batch, slotAt } from '#ntm-lib/ports/packet-port.ts'

/**
 * The segments that a super-packet stands for, as a kernel would send them: sequence numbers and IPv4 identifications go on,
 * FIN and PSH are the last one's, CWR the first one's, every checksum is right. Plain code, for tests.
 */
export function segmentsOf(packet: Uint8Array, gso: number): Uint8Array[] {
  const four = (packet[0] ?? 0) >> 4 === 4
  const v = viewOf(packet)
  const upper = newUpper()
  if (!four) upperLayer(v, 0, packet.length, upper)
  const at = four ? ip4.headerBytes(v, 0) : upper.at
  const protocol = four ? ip4.protocol(v, 0) : upper.protocol
  const start = at + (protocol === TCP ? tcp.headerBytes(v, at) : UDP_BYTES)
  const out: Uint8Array[] = []
  for (let p = start; p === start || p < packet.length; p += gso) {
    const segment = concat(packet.subarray(0, start), packet.subarray(p, Math.min(p + gso, packet.length)))
    const s = viewOf(segment)
    if (four) {
      s.setUint16(2, segment.length)
      s.setUint16(4, (ip4.id(v, 0) + out.length) & 0xffff)
      ip4.fillCheck(s, 0)
    } else setPayloadLength(s, 0, segment.length - IP6_BYTES)
    if (protocol === TCP) {
      s.setUint32(at + 4, (v.getUint32(at + 4) + p - start) >>> 0)
      const flags = tcp.flags(v, at) & (p + gso < packet.length ? ~(tcp.FIN | PSH) : 0xff) & (p > start ? ~CWR : 0xff)
      s.setUint8(at + 13, flags)
    } else s.setUint16(at + 4, segment.length - at)
    fillTransport(s, 0, segment.length)
    out.push(segment)
  }
  return out
}

const PSH = 8
const CWR = 0x80

/** `PacketIo.segment` into the slots of `into`, in plain code. */
export function segment(arena: Uint8Array, at: number, len: number, gso: number, into: Batch): number {
  const cut = segmentsOf(arena.slice(at, at + len), gso)
  if (cut.length > into.lens.length) return -1
  for (const [i, bytes] of cut.entries()) {
    into.arena.set(bytes, slotAt(into, i))
    into.lens[i] = bytes.length
  }
  return cut.length
}
