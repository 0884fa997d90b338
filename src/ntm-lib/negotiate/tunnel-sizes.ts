import { hopedBytes, innerBytes, MIN_INNER, wholeBytes } from './mtu.ts'
import type { Path } from './paths.ts'

/** T: largest inner packet that travels in one datagram now. */
export const wholeOf = (path: Path): number =>
  path.mtu === null || path.address === null ? MIN_WHOLE : wholeBytes(path.mtu, path.address.current)

/** M: largest inner packet that is let in, within what the peer takes. */
export const mostInner = (path: Path): number =>
  path.mtu === null || path.address === null
    ? MIN_INNER
    : Math.min(innerBytes(path.mtu, path.address.current), path.peerInnerMtu)

/** What TCP is clamped to (minus its headers): T, or what it is hoped to be before the first probe is answered. */
export const clampOf = (path: Path): number =>
  path.mtu === null || path.address === null
    ? HOPED
    : Math.min(hopedBytes(path.mtu, path.address.current), mostInner(path))

/** Before a path has an address: halves for IPv4's floor, and what 1280 leaves over IPv6. */
const MIN_WHOLE = 640
const HOPED = 1200
