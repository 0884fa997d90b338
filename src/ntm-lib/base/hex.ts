const digits = '0123456789abcdef'

/** Bytes as lower-case hex without separators, for logs and map keys. */
export function hex(bytes: Uint8Array): string {
  let text = ''
  for (const b of bytes) text += `${digits[b >> 4]}${digits[b & 15]}`
  return text
}

/** Hex to bytes; white space is ignored. Null when the text is not an even number of hex digits. */
export function unhex(text: string): Uint8Array | null {
  const packed = text.replaceAll(/\s/g, '')
  if (packed.length % 2 !== 0 || !/^[0-9a-fA-F]*$/.test(packed)) return null
  return Uint8Array.from({ length: packed.length / 2 }, (_, i) => Number.parseInt(packed.slice(2 * i, 2 * i + 2), 16))
}
