import { newUpper, upperLayer } from '#ntm-lib/packet/extension.ts'
import * as fragment from '#ntm-lib/packet/fragment.ts'
import { IP6_BYTES, nextHeader, setPayloadLength } from '#ntm-lib/packet/ip6.ts'
import { FRAGMENT } from '#ntm-lib/packet/protocol.ts'
import { type Batch, slotAt } from '#ntm-lib/ports/packet-port.ts'

const upper = newUpper()

/**
 * Cuts the translated IPv6 packet at `at` (header, at most a Fragment header, upper layer) into fragments of at most
 * `most` bytes in `spill`, slots from 0. A packet that is a fragment already is cut further, its offset and M kept.
 * Cutting after translating lets ICMP cross, whose IPv6 checksum needs the whole length. False when `spill` is too small.
 *
 * @param ident used when the packet has no Fragment header yet
 */
export function split6(v: DataView, at: number, len: number, most: number, ident: number, spill: Batch): boolean {
  spill.count = 0
  if (!upperLayer(v, at, len, upper)) return false
  const had = upper.fragmentAt
  const next = had < 0 ? nextHeader(v, at) : fragment.nextHeader(v, had)
  const base = had < 0 ? 0 : fragment.offset(v, had)
  const lastMore = had >= 0 && fragment.more(v, had)
  const id = had < 0 ? ident : fragment.id(v, had)
  const from = had < 0 ? at + IP6_BYTES : had + fragment.FRAGMENT_BYTES
  const end = at + len
  const piece = (most - IP6_BYTES - fragment.FRAGMENT_BYTES) & ~7
  const bytes = new Uint8Array(v.buffer, v.byteOffset, v.byteLength)
  for (let p = from; p < end; p += piece) {
    const n = Math.min(piece, end - p)
    const slot = spill.count
    const to = slotAt(spill, slot)
    const size = IP6_BYTES + fragment.FRAGMENT_BYTES + n
    if (slot >= spill.lens.length || to + size > (slot + 1) * spill.slotBytes) return false
    spill.arena.set(bytes.subarray(at, at + IP6_BYTES), to)
    spill.view.setUint8(to + 6, FRAGMENT)
    setPayloadLength(spill.view, to, fragment.FRAGMENT_BYTES + n)
    fragment.write(spill.view, to + IP6_BYTES, next, base + (p - from) / 8, p + n < end || lastMore, id)
    spill.arena.set(bytes.subarray(p, p + n), to + IP6_BYTES + fragment.FRAGMENT_BYTES)
    spill.lens[slot] = size
    spill.count = slot + 1
  }
  return true
}
