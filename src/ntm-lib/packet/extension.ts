import * as fragment from './fragment.ts'
import { IP6_BYTES, nextHeader } from './ip6.ts'
import { DESTINATION_OPTIONS, FRAGMENT, HOP_BY_HOP, NO_NEXT, ROUTING } from './protocol.ts'

/** Where an IPv6 packet's upper layer is. One object is reused for every packet; see `upperLayer`. */
export type Upper = {
  /** The first next-header value that is no skippable extension header. */
  protocol: number
  /** Absolute offset of the upper layer; equals the end of the packet when nothing follows. */
  at: number
  /** Absolute offset of the Fragment header, -1 when there is none. */
  fragmentAt: number
  /** Absolute offset of the Segments Left byte of a Routing header that still has segments left, else -1. */
  segmentsLeftAt: number
  /** Whether an extension header follows the Fragment header. */
  extensionAfterFragment: boolean
}

/** Nobody sends more; a longer chain is an attack on our time. */
const MOST_HEADERS = 12

export const newUpper = (): Upper => ({
  protocol: NO_NEXT,
  at: 0,
  fragmentAt: -1,
  segmentsLeftAt: -1,
  extensionAfterFragment: false,
})

/**
 * Walks the extension headers of the IPv6 packet of `len` bytes at `at` and fills `out`. False when a header is cut off,
 * the chain is too long, or there are two Fragment headers. After a non-first fragment's header nothing is walked: what
 * follows is the middle of something.
 */
export function upperLayer(v: DataView, at: number, len: number, out: Upper): boolean {
  const end = at + len
  out.fragmentAt = -1
  out.segmentsLeftAt = -1
  out.extensionAfterFragment = false
  if (len < IP6_BYTES) return false
  let next = nextHeader(v, at)
  let p = at + IP6_BYTES
  for (let i = 0; i <= MOST_HEADERS; i++) {
    out.protocol = next
    out.at = p
    if (next === FRAGMENT) {
      if (out.fragmentAt >= 0 || p + fragment.FRAGMENT_BYTES > end) return false
      out.fragmentAt = p
      next = fragment.nextHeader(v, p)
      const first = fragment.offset(v, p) === 0
      p += fragment.FRAGMENT_BYTES
      if (first) continue
      out.protocol = next
      out.at = p
      out.extensionAfterFragment = isSkippable(next)
      return true
    }
    if (!isSkippable(next)) return true
    if (p + 8 > end) return false
    if (out.fragmentAt >= 0) out.extensionAfterFragment = true
    if (next === ROUTING && v.getUint8(p + 3) !== 0 && out.segmentsLeftAt < 0) out.segmentsLeftAt = p + 3
    next = v.getUint8(p)
    p += (v.getUint8(p + 1) + 1) * 8
    if (p > end) return false
  }
  return false
}

/** Whether a next-header value names a header that `upperLayer` walks over. */
export const isExtension = (next: number): boolean => next === FRAGMENT || isSkippable(next)

const isSkippable = (next: number): boolean => next === HOP_BY_HOP || next === ROUTING || next === DESTINATION_OPTIONS
