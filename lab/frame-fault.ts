/**
 * What is wrong with an Ethernet frame as a wire carries it, in words; null when every length and every checksum in it is right.
 * Judges IPv4 (header), IPv6, TCP, UDP, ICMP, ICMPv6, SCTP behind any number of VLAN tags; anything else passes. Written apart from the
 * product's own checksum code, so that neither vouches for itself. `mostBytes`: of the IP packet; longer means it was never cut.
 */
export function frameFault(frame: Uint8Array, mostBytes: number): string | null {
  let at = 12
  while (TAGS.has(word(frame, at))) at += 4
  const type = word(frame, at)
  if (at + 2 > frame.length) return 'shorter than a link header'
  const packet = frame.subarray(at + 2)
  if (type === 0x0800) return ip4Fault(packet, mostBytes)
  if (type === 0x86dd) return ip6Fault(packet, mostBytes)
  return null
}

function ip4Fault(p: Uint8Array, mostBytes: number): string | null {
  const header = 4 * ((p[0] ?? 0) & 15)
  const total = word(p, 2)
  if ((p[0] ?? 0) >> 4 !== 4 || header < 20 || total < header || total > p.length)
    return `IPv4 lengths ${header}/${total}/${p.length}`
  // An Ethernet frame is padded to 60 bytes, never beyond.
  if (total < p.length && p.length > 46 + 4) return `IPv4 says ${total} of ${p.length} bytes`
  if (total > mostBytes) return `IPv4 of ${total} bytes`
  if (onesSum(p, 0, header) !== 0xffff) return 'IPv4 header checksum'
  if ((word(p, 6) & 0x3fff) !== 0) return null
  return transportFault(p.subarray(header, total), p[9] ?? 0, p.subarray(12, 20))
}

function ip6Fault(p: Uint8Array, mostBytes: number): string | null {
  const total = 40 + word(p, 4)
  if ((p[0] ?? 0) >> 4 !== 6 || p.length < 40 || total > p.length) return `IPv6 lengths ${total}/${p.length}`
  if (total < p.length && p.length > 46 + 4) return `IPv6 says ${total} of ${p.length} bytes`
  if (total > mostBytes) return `IPv6 of ${total} bytes`
  let [next, at] = [p[6] ?? 0, 40]
  while (next === 0 || next === 43 || next === 60) {
    next = p[at] ?? 0
    at += 8 * ((p[at + 1] ?? 0) + 1)
    if (at > total) return 'IPv6 extension headers'
  }
  if (next === 44) return null
  return transportFault(p.subarray(at, total), next, p.subarray(8, 40))
}

function transportFault(t: Uint8Array, proto: number, addresses: Uint8Array): string | null {
  const pseudo = onesSum(addresses, 0, addresses.length) + t.length + proto
  const right = (start: number): boolean => onesSum(t, start, t.length) === 0xffff
  switch (proto) {
    case 6:
      if (t.length < 20 || 4 * ((t[12] ?? 0) >> 4) > t.length) return 'TCP length'
      return right(pseudo) ? null : 'TCP checksum'
    case 17:
      if (t.length < 8 || word(t, 4) !== t.length) return `UDP length ${word(t, 4)} of ${t.length}`
      if (word(t, 6) === 0) return addresses.length === 8 ? null : 'UDP without checksum over IPv6'
      return right(pseudo) ? null : 'UDP checksum'
    case 1:
      return right(0) ? null : 'ICMP checksum'
    case 58:
      return right(pseudo) ? null : 'ICMPv6 checksum'
    case 132:
      return sctpRight(t) ? null : 'SCTP checksum'
    default:
      return null
  }
}

/** RFC 1071 over big-endian words, folded, not complemented. */
function onesSum(bytes: Uint8Array, start: number, length: number): number {
  let sum = start
  for (let i = 0; i + 1 < length; i += 2) sum += ((bytes[i] ?? 0) << 8) | (bytes[i + 1] ?? 0)
  if (length % 2 === 1) sum += (bytes[length - 1] ?? 0) << 8
  while (sum > 0xffff) sum = (sum & 0xffff) + Math.floor(sum / 0x10000)
  return sum
}

/** RFC 9260 §6.8: CRC-32C with the field zero, its bytes little endian. */
function sctpRight(t: Uint8Array): boolean {
  if (t.length < 12) return false
  let crc = 0xffffffff
  for (let i = 0; i < t.length; i++) {
    crc ^= i >= 8 && i < 12 ? 0 : (t[i] ?? 0)
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0x82f63b78 : 0)
  }
  return new DataView(t.buffer, t.byteOffset).getUint32(8, true) === ~crc >>> 0
}

const word = (p: Uint8Array, at: number): number => ((p[at] ?? 0) << 8) | (p[at + 1] ?? 0)
const TAGS = new Set([0x8100, 0x88a8, 0x9100])
