import { encode } from 'uqr'

/** Bytes that a QR code of at most 41 modules holds (version 6, level L; ISO/IEC 18004 table 7). */
export const QR_MOST_BYTES = 134

/**
 * A QR code as rows of block characters, two modules in each, with a margin of two; for light characters on a dark ground: what is light in the code is
 * drawn. All rows are of one length.
 */
export function qrRows(text: string): readonly string[] {
  const { data } = encode(text, { ecc: 'L', border: MARGIN })
  return Array.from({ length: Math.ceil(data.length / 2) }, (_, row) => {
    const [upper = [], lower] = [data[2 * row], data[2 * row + 1]]
    return upper
      .map((dark, x) => BLOCKS[(dark ? 0 : 2) + (lower === undefined || lower[x] === true ? 0 : 1)] ?? ' ')
      .join('')
  })
}

const MARGIN = 2
/** Neither half light, the lower, the upper, both. */
const BLOCKS = [' ', '▄', '▀', '█']
