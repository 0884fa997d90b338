import * as ip4 from '#ntm-lib/packet/ip4.ts'

/**
 * The IPv4 packet of `len` bytes at `at` as copies of at most `most` bytes each (≥ 68). RFC 791 §2.3. A packet that is a
 * fragment itself is cut further. Later pieces go without options: none that must be copied gets this far (source routes
 * are refused, the rest is informative).
 */
export function fragments4(v: DataView, at: number, len: number, most: number): Uint8Array[] {
  const header = ip4.headerBytes(v, at)
  const word = ip4.fragmentWord(v, at)
  const out: Uint8Array[] = []
  for (let done = header; done < len; ) {
    const own = done === header ? header : ip4.IP4_BYTES
    const size = Math.min(len - done, ((most - own) >> 3) << 3)
    const last = done + size === len
    const piece = new Uint8Array(own + size)
    piece.set(new Uint8Array(v.buffer, v.byteOffset + at, own))
    piece.set(new Uint8Array(v.buffer, v.byteOffset + at + done, size), own)
    const p = new DataView(piece.buffer)
    p.setUint8(0, 0x40 | (own / 4))
    p.setUint16(2, piece.length)
    p.setUint16(6, ((word & 0x1fff) + (done - header) / 8) | (last ? word & 0x2000 : 0x2000))
    ip4.fillCheck(p, 0)
    out.push(piece)
    done += size
  }
  return out
}
