import { type Ip4, ip4FromBytes } from '#ntm-lib/addr/ip4.ts'
import { type LinkAddr, linkFromBytes } from '#ntm-lib/addr/link.ts'

/** What a DHCPv4 message tells about a host. RFC 2131, RFC 2132. */
export type Lease = {
  /** 1 discover, 2 offer, 3 request, 5 ack, 6 nak, 7 decline, 8 release, 9 inform. */
  readonly kind: number
  readonly client: LinkAddr
  /** Address given (ack) or in use (`ciaddr`); null when neither is filled in. */
  readonly ip: Ip4 | null
  readonly router: Ip4 | null
  readonly resolver: Ip4 | null
  /** Option 12, allegedly the host's name; null unless it is a plain label. */
  readonly name: string | null
}

/** Reads a DHCPv4 message (the UDP payload); null for anything else. */
export function parseDhcp(b: Uint8Array): Lease | null {
  if (b.length < 241 || b[1] !== 1 || b[2] !== 6) return null
  if (b[236] !== 0x63 || b[237] !== 0x82 || b[238] !== 0x53 || b[239] !== 0x63) return null
  const options = new Map<number, Uint8Array>()
  for (let at = 240; at < b.length; ) {
    const code = b[at] ?? 255
    if (code === 255) break
    if (code === 0) {
      at++
      continue
    }
    const length = b[at + 1]
    if (length === undefined || at + 2 + length > b.length) return null
    // The first one counts; RFC 3396 joins repeated ones, but none of ours is ever that long.
    if (!options.has(code)) options.set(code, b.subarray(at + 2, at + 2 + length))
    at += 2 + length
  }
  const kind = options.get(53)?.[0]
  if (kind === undefined) return null
  return {
    kind,
    client: linkFromBytes(b, 28),
    ip: nonZero(ip4FromBytes(b, 16)) ?? nonZero(ip4FromBytes(b, 12)),
    router: firstAddress(options.get(3)),
    resolver: firstAddress(options.get(6)),
    name: label(options.get(12)),
  }
}

export const DHCP_ACK = 5

const nonZero = (ip: Ip4): Ip4 | null => (ip === 0 ? null : ip)
const firstAddress = (b: Uint8Array | undefined): Ip4 | null =>
  b === undefined || b.length < 4 ? null : nonZero(ip4FromBytes(b))

function label(b: Uint8Array | undefined): string | null {
  const text = String.fromCharCode(...(b ?? [])).toLowerCase()
  return /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/.test(text) ? text : null
}
