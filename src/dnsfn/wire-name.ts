/**
 * Domain names between text and wire. RFC 1035 §3.1, §4.1.4. Own code and not dns-packet's: that one decodes labels as
 * UTF-8, so two different names can become one text, and it throws.
 *
 * Text is lower case, without the trailing dot; the root is ''. A byte that is a dot, a backslash or not printable ASCII is
 * written `\DDD` (RFC 1035 §5.1), so text and wire map one to one (but for case).
 */

/** A name on the wire takes at most 255 bytes. RFC 1035 §2.3.4. */
export const MAX_NAME_BYTES = 255

export type ReadName = {
  readonly text: string
  /** Index after the name where it was read (after the pointer, when one ended it). */
  readonly next: number
}

/** Reads the name at `at`; null when it is cut, too long, has a reserved label type or a pointer that does not go back. */
export function readName(bytes: Uint8Array, at: number, pointers: boolean): ReadName | null {
  let text = ''
  let wire = 1
  let next = -1
  // A pointer must land before the place where the current run of labels began: every jump shortens, so this ends.
  let floor = at
  let i = at
  for (;;) {
    const head = bytes[i]
    if (head === undefined) return null
    if (head === 0) return { text, next: next < 0 ? i + 1 : next }
    if (head >= 0xc0) {
      const low = bytes[i + 1]
      if (!pointers || low === undefined) return null
      const target = ((head & 0x3f) << 8) | low
      if (target >= floor || target < 12) return null
      if (next < 0) next = i + 2
      floor = target
      i = target
      continue
    }
    wire += head + 1
    if (head >= 0x40 || wire > MAX_NAME_BYTES || i + 1 + head > bytes.length) return null
    if (text !== '') text += '.'
    for (let k = i + 1; k <= i + head; k++) text += lowerText(bytes[k] ?? 0)
    i += 1 + head
  }
}

/** Text to uncompressed wire form, case kept; null when a label is empty or over 63 bytes, or the name over 255. */
export function writeName(text: string): Uint8Array | null {
  const bare = text.endsWith('.') && !text.endsWith('\\.') ? text.slice(0, -1) : text
  if (bare === '') return Uint8Array.of(0)
  const out: number[] = []
  let start = 0
  out.push(0)
  for (let i = 0; i < bare.length; i++) {
    const c = bare.charCodeAt(i)
    if (bare[i] === '.') {
      if (!close(out, start)) return null
      start = out.length
      out.push(0)
    } else if (bare[i] === '\\') {
      const digits = /^[0-9]{3}/.exec(bare.slice(i + 1, i + 4))
      const value = digits === null ? bare.charCodeAt(i + 1) : Number(digits[0])
      if (Number.isNaN(value) || value > 255) return null
      out.push(value)
      i += digits === null ? 1 : 3
    } else if (c < 0x21 || c > 0x7e) return null
    else out.push(c)
    if (out.length > MAX_NAME_BYTES) return null
  }
  if (!close(out, start)) return null
  out.push(0)
  return out.length > MAX_NAME_BYTES ? null : Uint8Array.from(out)
}

function close(out: number[], start: number): boolean {
  const length = out.length - start - 1
  out[start] = length
  return length >= 1 && length <= 63
}

function lowerText(byte: number): string {
  if (byte >= 0x41 && byte <= 0x5a) return String.fromCharCode(byte + 32)
  if (byte < 0x21 || byte > 0x7e || byte === 0x2e || byte === 0x5c) return `\\${String(byte).padStart(3, '0')}`
  return String.fromCharCode(byte)
}
