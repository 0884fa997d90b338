/** RFC 8200 §5: every IPv6 link carries this. */
export const MIN_MTU6 = 1280
/** RFC 791: every IPv4 link carries this. */
const MIN_MTU4 = 68

/** RFC 1191 §7, table 7-1: common MTUs, for routers that say "too big" and not how big. */
const PLATEAUS = [65535, 32000, 17914, 8166, 4352, 2002, 1492, 1006, 508, 296, 68]

/** The greatest plateau below the length of the packet that was too big. */
export const plateau = (totalLength: number): number => PLATEAUS.find((p) => p < totalLength) ?? MIN_MTU4

/**
 * MTU of the ICMPv6 Packet Too Big that stands for an ICMPv4 "fragmentation needed". RFC 7915 §4.2: 20 bytes more, at
 * most what either next hop carries, never below 1280.
 * @param said the MTU in the ICMPv4 message, 0 when the router is older than RFC 1191
 * @param embeddedLength total length of the packet that was too big
 */
export function tooBigFourToSix(said: number, embeddedLength: number, mtu4: number, mtu6: number): number {
  const mtu = said === 0 ? plateau(embeddedLength) : said
  return Math.max(MIN_MTU6, Math.min(mtu + 20, mtu6, mtu4 + 20))
}

/**
 * MTU of the ICMPv4 "fragmentation needed" that stands for a Packet Too Big. RFC 7915 §5.2: 20 bytes less, and 8 more
 * when the packet in error had a Fragment header that IPv4 does not have; at most what either next hop carries.
 */
export function tooBigSixToFour(said: number, hadFragment: boolean, mtu4: number, mtu6: number): number {
  const mtu = Math.min(said - (hadFragment ? 28 : 20), mtu4, mtu6 - 20)
  return Math.max(MIN_MTU4, mtu)
}
