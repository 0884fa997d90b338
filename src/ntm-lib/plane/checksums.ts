import { fillTransportAt } from '../packet/gso.ts'
import { type Layout, layoutOf, newLayout } from './layout.ts'

/** Writes the transport checksum of the packet of `len` bytes at `at`, from scratch. */
export const fillTransportCheck = (view: DataView, at: number, len: number, l: Layout): void =>
  fillTransportAt(view, at, len, l.version === 4, l.protocol, at + l.transport)

/** The same for a packet that was not looked at yet; false when it has no TCP or UDP checksum to write. */
export function completeCheck(view: DataView, at: number, len: number): boolean {
  if (!layoutOf(view, at, len, LAYOUT)) return false
  fillTransportCheck(view, at, len, LAYOUT)
  return true
}

/** Refilled by each `completeCheck`, read by nobody else. */
const LAYOUT = newLayout()
