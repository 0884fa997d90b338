import { type Ip, ipBytes, isIp4, parseIp } from '#ntm-lib/addr/ip.ts'
import { concat } from '#ntm-lib/base/bytes.ts'
import { BugError } from '#ntm-lib/base/invariant.ts'

const PATTERN = Uint8Array.from({ length: 65_535 }, (_, i) => (i * 7) & 0xff)

/** An inner packet of `length` bytes (UDP by number, zero checksums: nobody here looks above IP). */
export function innerPacket(source: string, destination: string, length: number, protocol = 17): Uint8Array {
  const [from, to] = [ipOf(source), ipOf(destination)]
  const bytes = PATTERN.slice(0, length)
  const view = new DataView(bytes.buffer)
  if (isIp4(from)) {
    bytes.set([0x45, 0, length >> 8, length & 255, 0, 0, 0, 0, 64, protocol, 0, 0])
    view.setUint32(12, from)
    bytes.set(ipBytes(to), 16)
  } else {
    bytes.set([0x60, 0, 0, 0, (length - 40) >> 8, (length - 40) & 255, protocol, 64])
    bytes.set(ipBytes(from), 8)
    bytes.set(ipBytes(to), 24)
  }
  return bytes
}

/** An ICMP (or ICMPv6) error of `type` from `source` to `destination` about `quoted`. */
export function icmpError(source: string, destination: string, type: number, quoted: Uint8Array): Uint8Array {
  const four = isIp4(ipOf(source))
  const head = innerPacket(source, destination, (four ? 20 : 40) + 8 + quoted.length, four ? 1 : 58)
  const body = concat(Uint8Array.of(type, 0, 0, 0, 0, 0, 0, 0), quoted)
  head.set(body, four ? 20 : 40)
  return head
}

function ipOf(text: string): Ip {
  const ip = parseIp(text)
  if (ip === null) throw new BugError(`not an address: ${text}`)
  return ip
}
