import { isExtension, newUpper, upperLayer } from './extension.ts'
import { headerBytes, IP4_BYTES, optionsSay, totalLength } from './ip4.ts'
import { IP6_BYTES, nextHeader, payloadLength } from './ip6.ts'

/** Why an inner packet is refused before anything else looks at it; each one is a counter's last word. */
export type InnerFault = 'short' | 'bad-version' | 'bad-length' | 'source-route'

const upper = newUpper()

/**
 * Checks the frame of the IP packet of `len` bytes at `at`: version, header length, claimed against actual length, no
 * source route with hops left, in either family (it could steer a packet past the inner source filter). Trailing bytes are refused too:
 * a tunnel carries exactly one packet.
 */
export function validInner(v: DataView, at: number, len: number): InnerFault | 'ok' {
  if (len < IP4_BYTES) return 'short'
  const version = v.getUint8(at) >> 4
  if (version === 6) {
    if (len < IP6_BYTES) return 'short'
    if (IP6_BYTES + payloadLength(v, at) !== len) return 'bad-length'
    // Nearly every packet has its upper layer right here: only the others are walked.
    if (!isExtension(nextHeader(v, at))) return 'ok'
    if (!upperLayer(v, at, len, upper)) return 'bad-length'
    return upper.segmentsLeftAt >= 0 ? 'source-route' : 'ok'
  }
  if (version !== 4) return 'bad-version'
  const header = headerBytes(v, at)
  if (header < IP4_BYTES || header > len || totalLength(v, at) !== len) return 'bad-length'
  if (header === IP4_BYTES) return 'ok'
  const options = optionsSay(v, at, header)
  return options === 'source-route' ? 'source-route' : options === 'malformed' ? 'bad-length' : 'ok'
}
