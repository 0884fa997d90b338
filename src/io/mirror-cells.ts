import { CELLS } from '#ntm-lib/negotiate/mirror.ts'

/** Cells for rows `0 … rows` in memory that threads share; `Tunnels` uses rows from 1. */
export const mirrorCells = (rows: number): Float64Array<SharedArrayBuffer> =>
  new Float64Array(new SharedArrayBuffer((rows + 1) * CELLS.words * Float64Array.BYTES_PER_ELEMENT))
