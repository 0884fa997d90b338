import { type Batch, slotAt } from '../ports/packet-port.ts'
import * as ip4 from './ip4.ts'

/** Whether an option is copied into every fragment (the top bit of its type). RFC 791 §3.1. */
const isCopied = (type: number): boolean => (type & 0x80) !== 0

/**
 * Cuts the IPv4 packet of `len` bytes at `at` into fragments of at most `most` bytes in `spill`, slots from 0. A packet
 * that is a fragment already is cut further, its offset and "more" kept. RFC 791 §3.2: later fragments keep only the
 * options that say so. False when `spill` is too small or `most` leaves no room; the caller has looked at DF.
 */
export function split4(v: DataView, at: number, len: number, most: number, spill: Batch): boolean {
  spill.count = 0
  const header = ip4.headerBytes(v, at)
  const word = ip4.fragmentWord(v, at)
  const base = word & 0x1fff
  const bytes = new Uint8Array(v.buffer, v.byteOffset, v.byteLength)
  const end = at + len
  if (header < ip4.IP4_BYTES || header > len) return false
  const piece = (most - header) & ~7
  if (piece < 8) return false
  for (let p = at + header; p < end; p += piece) {
    const n = Math.min(piece, end - p)
    const slot = spill.count
    const to = slotAt(spill, slot)
    if (slot >= spill.lens.length || to + header + n > (slot + 1) * spill.slotBytes) return false
    spill.arena.set(bytes.subarray(at, at + header), to)
    const offset = base + (p - at - header) / 8
    if (offset > base) dropOptions(spill.view, to, header)
    spill.arena.set(bytes.subarray(p, p + n), to + header)
    spill.view.setUint16(to + 2, header + n)
    spill.view.setUint16(to + 6, offset | (p + n < end ? 0x2000 : word & 0x2000))
    ip4.fillCheck(spill.view, to)
    spill.lens[slot] = header + n
    spill.count = slot + 1
  }
  return true
}

/** Overwrites the options that belong to the first fragment only with "no operation"; the length stays. */
function dropOptions(v: DataView, at: number, header: number): void {
  const end = at + header
  for (let p = at + ip4.IP4_BYTES; p < end; ) {
    const type = v.getUint8(p)
    if (type === END) return
    const size = type === NOP ? 1 : p + 1 < end ? v.getUint8(p + 1) : 0
    // Malformed: nothing behind it can be told apart, so nothing of it stays.
    const length = size < (type === NOP ? 1 : 2) || p + size > end ? end - p : size
    if (length !== size || !isCopied(type)) for (let i = 0; i < length; i++) v.setUint8(p + i, NOP)
    p += length
  }
}

const END = 0
const NOP = 1
