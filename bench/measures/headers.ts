import type { Arena } from '../peers/peer.ts'

/** Bytes of inner IPv4 and TCP headers around a full segment: TCP with timestamps, as Linux sends. */
export const TCP4_BYTES = 20 + 32

/**
 * Share of a link's rate that can be TCP payload at best: in the largest frame that a cable with an MTU of 1500 carries, when it carries
 * an inner packet in `frameBytes(inner)`. A peer that sends smaller segments than it could has less. What is
 * sent back (acknowledgements) has the other direction for itself.
 */
export function payloadShare(frameBytes: Arena['frameBytes']): number {
  let inner = MTU
  while (inner > TCP4_BYTES && frameBytes(inner) > ETHERNET_BYTES + MTU) inner--
  return (inner - TCP4_BYTES) / frameBytes(inner)
}

const MTU = 1500
const ETHERNET_BYTES = 14
