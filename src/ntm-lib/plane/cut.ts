import * as ip4 from '../packet/ip4.ts'
import { TCP } from '../packet/protocol.ts'
import * as tcp from '../packet/tcp.ts'
import { fillTransportCheck } from './checksums.ts'
import type { Layout } from './layout.ts'

/** Memory of one packet. */
type Memory = { readonly arena: Uint8Array; readonly view: DataView }

/** How many segments of `each` payload bytes a packet of `len` bytes makes; one at least. */
export const segmentsOf = (l: Layout, len: number, each: number): number =>
  Math.max(1, Math.ceil((len - l.headers) / each))

/**
 * Writes segment `i` of the super-packet of `len` bytes at `at` to the start of `into`, complete with checksums. Returns its length.
 * Sequence numbers and identifications count up, FIN and PSH stay with the last segment, CWR with the first: what a network card
 * does that was asked to cut (RFC 9293 §3.8, RFC 3168 §6.1.2). `into` is another memory.
 */
export function cutSegment(
  from: Memory,
  at: number,
  len: number,
  l: Layout,
  each: number,
  i: number,
  into: Memory,
): number {
  const start = i * each
  const bytes = Math.min(each, len - l.headers - start)
  const total = l.headers + bytes
  const last = start + bytes === len - l.headers
  into.arena.set(from.arena.subarray(at, at + l.headers))
  into.arena.set(from.arena.subarray(at + l.headers + start, at + l.headers + start + bytes), l.headers)
  const { view } = into
  if (l.version === 4) {
    view.setUint16(2, total)
    view.setUint16(4, (ip4.id(from.view, at) + i) & 0xffff)
    ip4.fillCheck(view, 0)
  } else view.setUint16(4, total - 40)
  if (l.protocol === TCP) {
    view.setUint32(l.transport + 4, (view.getUint32(l.transport + 4) + start) >>> 0)
    const flags = tcp.flags(view, l.transport)
    const kept = flags & (last ? 0xff : ~(tcp.FIN | PSH)) & (i === 0 ? 0xff : ~CWR)
    view.setUint8(l.transport + 13, kept)
  } else view.setUint16(l.transport + 4, total - l.transport)
  fillTransportCheck(view, 0, total, l)
  return total
}

const PSH = 0x08
const CWR = 0x80
