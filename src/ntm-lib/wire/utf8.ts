/**
 * Strict UTF-8 (RFC 3629) without ICU and without exceptions: `TextDecoder`'s fatal mode needs ICU, which the image's
 * Node may lack. Null for overlong forms, surrogates, code points above U+10FFFF and cut sequences.
 */
export function decodeUtf8(bytes: Uint8Array): string | null {
  let text = ''
  for (let at = 0; at < bytes.length; ) {
    const first = bytes[at] ?? 0
    const more = first < 0x80 ? 0 : first < 0xc2 ? -1 : first < 0xe0 ? 1 : first < 0xf0 ? 2 : first < 0xf5 ? 3 : -1
    if (more < 0 || at + more >= bytes.length) return null
    let point = more === 0 ? first : first & (0x3f >> more)
    for (let i = 1; i <= more; i++) {
      const next = bytes[at + i] ?? 0
      if ((next & 0xc0) !== 0x80) return null
      point = point * 64 + (next & 0x3f)
    }
    if (point < (SMALLEST[more] ?? 0) || (point >= 0xd800 && point <= 0xdfff) || point > 0x10ffff) return null
    text += String.fromCodePoint(point)
    at += more + 1
  }
  return text
}

/** Lone surrogates become U+FFFD, as everywhere on the platform. */
export const encodeUtf8 = (text: string): Uint8Array => new TextEncoder().encode(text)

/** The longest prefix of `text` that is whole characters and at most `limit` bytes of UTF-8. */
export function clipUtf8(text: string, limit: number): string {
  let [kept, size] = ['', 0]
  for (const character of text.toWellFormed()) {
    size += encodeUtf8(character).length
    if (size > limit) return kept
    kept += character
  }
  return kept
}

/** Whether the text has a control character (C0, DEL, C1): it could rewrite a terminal or forge a log line. */
export const hasControls = (text: string): boolean => [...text].some(isControl)

/** The same text with a space in place of each control character. */
export const withoutControls = (text: string): string => [...text].map((c) => (isControl(c) ? ' ' : c)).join('')

const isControl = (character: string): boolean => character < ' ' || (character >= '\x7f' && character <= '\x9f')

/** By number of continuation bytes: shorter forms exist for anything below. */
const SMALLEST: readonly number[] = [0, 0x80, 0x800, 0x10000]
