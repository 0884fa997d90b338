import type { Arena } from '../peers/peer.ts'

/** Bytes of inner IP and TCP headers around a full segment: TCP with timestamps, as Linux sends. */
export const TCP4_BYTES = 20 + 32

/**
 * Share of a link's rate that can be TCP payload when every frame is full: `mss` payload bytes in a frame of
 * `frameBytes(headers + mss)`. What is sent back (acknowledgements) has the other direction for itself.
 */
export function payloadShare(mss: number, frameBytes: Arena['frameBytes'], headerBytes: number = TCP4_BYTES): number {
  return mss / frameBytes(headerBytes + mss)
}
