import { deltaSum, udpCheck } from '#ntm-lib/packet/checksum.ts'
import { DESTINATION_OPTIONS, FRAGMENT, HOP_BY_HOP, ICMP4, ICMP6, ROUTING, TCP, UDP } from '#ntm-lib/packet/protocol.ts'

/** Least bytes of upper layer a whole packet or first fragment must have: through the checksum field. */
export const leastBytes = (protocol: number): number =>
  protocol === TCP ? 20 : protocol === UDP || protocol === ICMP4 || protocol === ICMP6 ? 8 : 0

/** Absolute offset of the checksum that covers the pseudo-header; -1 when the protocol has none or it lies past `end`. */
export function coveredAt(protocol: number, at: number, end: number): number {
  const where = protocol === TCP ? at + 16 : protocol === UDP ? at + 6 : -1
  return where >= 0 && where + 2 <= end ? where : -1
}

/**
 * Moves the TCP or UDP checksum at `at` from a pseudo-header whose addresses summed to `before` to one with `after`.
 * Protocol and length are the same words in both families. Other protocols pass unchanged (RFC 7915 §4.5, §5.5); a zero
 * UDP checksum stays.
 */
export function carry(v: DataView, protocol: number, at: number, end: number, before: number, after: number): void {
  const where = coveredAt(protocol, at, end)
  if (where < 0) return
  const check = v.getUint16(where)
  if (protocol === UDP && check === 0) return
  const next = deltaSum(check, before, after)
  v.setUint16(where, protocol === UDP ? udpCheck(next) : next)
}

/**
 * Protocol numbers that cannot cross as they are: the other family's ICMP, and in IPv6 the numbers of extension headers,
 * which would make an IPv4 payload be read as one.
 */
export const cannotCrossToSix = (protocol: number): boolean =>
  protocol === ICMP6 ||
  protocol === HOP_BY_HOP ||
  protocol === ROUTING ||
  protocol === FRAGMENT ||
  protocol === DESTINATION_OPTIONS
export const cannotCrossToFour = (protocol: number): boolean => protocol === ICMP4
