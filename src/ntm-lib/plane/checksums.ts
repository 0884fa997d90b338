import { checkOf, pseudo4, pseudo6, sum, udpCheck } from '../packet/checksum.ts'
import { TCP } from '../packet/protocol.ts'
import * as tcp from '../packet/tcp.ts'
import * as udp from '../packet/udp.ts'
import { type Layout, layoutOf, newLayout } from './layout.ts'

/** Writes the transport checksum of the packet of `len` bytes at `at`, from scratch. */
export function fillTransportCheck(view: DataView, at: number, len: number, l: Layout): void {
  const start = at + l.transport
  const bytes = len - l.transport
  const checkAt = start + (l.protocol === TCP ? tcp.CHECK_AT : udp.CHECK_AT)
  view.setUint16(checkAt, 0)
  const pseudo = l.version === 4 ? pseudo4(view, at, l.protocol, bytes) : pseudo6(view, at, l.protocol, bytes)
  const check = checkOf(pseudo + sum(view, start, bytes))
  view.setUint16(checkAt, l.protocol === TCP ? check : udpCheck(check))
}

/** The same for a packet that was not looked at yet; false when it has no TCP or UDP checksum to write. */
export function completeCheck(view: DataView, at: number, len: number): boolean {
  if (!layoutOf(view, at, len, LAYOUT)) return false
  fillTransportCheck(view, at, len, LAYOUT)
  return true
}

/** Refilled by each `completeCheck`, read by nobody else. */
const LAYOUT = newLayout()
