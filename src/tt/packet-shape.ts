import type { FiveTuple } from '#ntm-lib/packet/five-tuple.ts'
import * as ip4 from '#ntm-lib/packet/ip4.ts'
import * as ip6 from '#ntm-lib/packet/ip6.ts'
import { TCP, UDP } from '#ntm-lib/packet/protocol.ts'
import { FIN, flags, RST, SYN, TCP_BYTES } from '#ntm-lib/packet/tcp.ts'

/** Only whole TCP and UDP packets are cut or completed later. */
export const mayBeSuper = (t: FiveTuple): boolean =>
  t.fragment === 'whole' && (t.protocol === TCP || t.protocol === UDP)

/** What the header says; -1 when it says more than there is. The edge may pad. */
export function wholeLength(v: DataView, at: number, room: number): number {
  if (room < ip4.IP4_BYTES) return -1
  const four = ip4.version(v, at) === 4
  if (!four && room < ip6.IP6_BYTES) return -1
  const len = four ? ip4.totalLength(v, at) : ip6.IP6_BYTES + ip6.payloadLength(v, at)
  return len <= room ? len : -1
}

/** A whole TCP or UDP packet that opens nothing: once its flow stands, it can be carried without looking at anything else. */
export function isPlainData(v: DataView, t: FiveTuple, end: number): boolean {
  if (t.fragment !== 'whole') return false
  if (t.protocol !== TCP) return t.protocol === UDP
  return t.upperAt + TCP_BYTES <= end && (flags(v, t.upperAt) & SYN) === 0
}

/** What such a packet ends, as `Flow.seen` has it. */
export function endsOf(v: DataView, t: FiveTuple, outward: boolean): number {
  if (t.protocol !== TCP) return 0
  const f = flags(v, t.upperAt)
  return ((f & FIN) === 0 ? 0 : outward ? SEEN_FIN_OUT : SEEN_FIN_IN) | ((f & RST) === 0 ? 0 : SEEN_RST)
}

/** Bits of `Flow.seen`. */
export const SEEN_SYN_OUT = 1
export const SEEN_SYN_IN = 2
export const SEEN_FIN_OUT = 4
export const SEEN_FIN_IN = 8
export const SEEN_RST = 16
