import type { Ip4 } from '#ntm-lib/addr/ip4.ts'
import type { Ip6 } from '#ntm-lib/addr/ip6.ts'
import type { Batch } from '#ntm-lib/ports/packet-port.ts'
import type { DropReason } from '../verdict.ts'

/** In which place of a packet an address stands. Embedded ones belong to the packet an ICMP error is about. */
export type AddressRole = 'source' | 'destination' | 'error-source' | 'embedded-source' | 'embedded-destination'

/**
 * Explicit address mapping (RFC 7915 §6 allows any algorithm; here it is a table of pairs, like RFC 7757). `error-source`
 * is the sender of an ICMP error, often a router without a pair: the map decides what stands for it (see `addr.ts`).
 */
export type AddressMap = {
  /**
   * Writes the 16 bytes that stand for the 4 bytes at `at` to `toAt`; false when nothing does. Addresses are not passed as numbers:
   * most IPv4 addresses are no small integers, and each call would make an object.
   */
  toSix(view: DataView, at: number, role: AddressRole, to: DataView, toAt: number): boolean
  /** Writes the 4 bytes that stand for the 16 at `at` to `toAt`; false when nothing does. */
  toFour(view: DataView, at: number, role: AddressRole, to: DataView, toAt: number): boolean
}

/** Everything the translator needs beside the packet. One per direction; fields may be changed between packets. */
export type XlatContext = {
  map: AddressMap
  /** MTU of the next hop on each side, in bytes. */
  mtu4: number
  mtu6: number
  /** RFC 7915 §4.1: DF-clear packets are cut so that IPv6 fragments have at most this size; at least 1280. */
  fragmentTo: number
  /** Traffic class and TOS are copied; false sets them to 0 (RFC 7915 §4.1, §5.1). */
  copyTrafficClass: boolean
  /** IPv4 UDP without a checksum: compute one, or drop and count (RFC 7915 §4.5). */
  udpZero: 'compute' | 'drop'
  /**
   * Packets with a TTL or hop limit of at most this are answered with "time exceeded". The kernel's route into or out
   * of the TUN device spends the hop, so nothing is decremented here: 1 towards the kernel (it would expire there), 0
   * for what comes from the kernel (its hop is already spent, and the tunnel is no router).
   */
  lastHop: number
  /**
   * IPv4 identification of whole packets translated to IPv4; one generator per terminator. A super-packet takes `count` of
   * them in a row: each segment gets one more than the one before.
   */
  nextId: (count: number) => number
  /** Sources of our own ICMP errors; null takes the offending packet's destination. */
  own4: Ip4 | null
  own6: Ip6 | null
  /** Whether one more ICMP error may be sent now (RFC 7915 §4.4, §5.4: configurable, rate-limited). */
  mayReply: () => boolean
  /** Where replies are put; `count` rises. */
  reply: Batch
  /** Where fragments are put; `count` is set anew by each split. */
  spill: Batch
}

/** The result of a translation; one object is reused. Valid after `forward`; `reason` is set after `reply` and `drop`. */
export type Translated = { at: number; len: number; gso: number; reason: DropReason | null }

export const newTranslated = (): Translated => ({ at: 0, len: 0, gso: 0, reason: null })
