import { delta16 } from './checksum.ts'
import { newUpper, upperLayer } from './extension.ts'
import * as fragment from './fragment.ts'
import * as ip4 from './ip4.ts'
import { TCP } from './protocol.ts'
import { CHECK_AT, flags, mssAt, SYN, TCP_BYTES } from './tcp.ts'

const upper = newUpper()

/**
 * Lowers the MSS option of a SYN or SYN-ACK to `mss`, in place, checksum by delta. `len` bytes of IP packet at `at`,
 * either family. Never raises it, never adds one. Whether something changed.
 */
export function clampMss(v: DataView, at: number, len: number, mss: number): boolean {
  const tcp = tcpAt(v, at, len)
  if (tcp < 0 || tcp + TCP_BYTES > at + len || (flags(v, tcp) & SYN) === 0) return false
  const value = mssAt(v, tcp, at + len - tcp)
  if (value < 0) return false
  const before = v.getUint16(value)
  if (before <= mss) return false
  v.setUint16(value, mss)
  // After an odd number of no-operation options the value straddles two checksum words: its bytes count swapped.
  const odd = ((value - tcp) & 1) === 1
  const check = v.getUint16(tcp + CHECK_AT)
  v.setUint16(tcp + CHECK_AT, odd ? delta16(check, swap(before), swap(mss)) : delta16(check, before, mss))
  return true
}

const swap = (word: number): number => ((word & 0xff) << 8) | (word >> 8)

function tcpAt(v: DataView, at: number, len: number): number {
  if (len < ip4.IP4_BYTES) return -1
  if (ip4.version(v, at) === 4) {
    return ip4.protocol(v, at) === TCP && ip4.fragmentOffset(v, at) === 0 ? at + ip4.headerBytes(v, at) : -1
  }
  if (ip4.version(v, at) !== 6 || !upperLayer(v, at, len, upper) || upper.protocol !== TCP) return -1
  return upper.fragmentAt >= 0 && fragment.offset(v, upper.fragmentAt) !== 0 ? -1 : upper.at
}
