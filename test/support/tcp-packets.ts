import { type Ip, ipBytes, isIp4, parseIp } from '#ntm-lib/addr/ip.ts'
import { BugError } from '#ntm-lib/base/invariant.ts'
import { intact, pseudo4, pseudo6, sum } from '#ntm-lib/packet/checksum.ts'
import * as ip4 from '#ntm-lib/packet/ip4.ts'
import { fillTransportCheck } from '#ntm-lib/plane/checksums.ts'
import { cutSegment, segmentsOf } from '#ntm-lib/plane/cut.ts'
import { layoutOf, newLayout } from '#ntm-lib/plane/layout.ts'
import { CSUM_MISSING } from '#ntm-lib/ports/packet-port.ts'

export type PacketOf = {
  readonly from: string
  readonly to: string
  readonly protocol: 'tcp' | 'udp'
  readonly payload: number
  readonly sequence?: number
  readonly id?: number
  readonly flags?: number
  /** Bytes of TCP options, a multiple of 4. */
  readonly options?: number
  /** First byte of the payload pattern. */
  readonly fill?: number
}

/** A complete TCP or UDP packet, or the whole of a super-packet: every checksum right. */
export function packetOf(p: PacketOf): Uint8Array {
  const [from, to] = [ipOf(p.from), ipOf(p.to)]
  const ipHead = isIp4(from) ? 20 : 40
  const head = p.protocol === 'tcp' ? 20 + (p.options ?? 0) : 8
  const bytes = new Uint8Array(ipHead + head + p.payload)
  const view = new DataView(bytes.buffer)
  const number = p.protocol === 'tcp' ? 6 : 17
  for (let i = 0; i < p.payload; i++) bytes[ipHead + head + i] = ((p.fill ?? 0) + i * 7) & 0xff
  if (isIp4(from)) {
    bytes.set([
      0x45,
      0,
      bytes.length >> 8,
      bytes.length & 255,
      (p.id ?? 0) >> 8,
      (p.id ?? 0) & 255,
      0x40,
      0,
      64,
      number,
    ])
    bytes.set(ipBytes(from), 12)
    bytes.set(ipBytes(to), 16)
    ip4.fillCheck(view, 0)
  } else {
    bytes.set([0x60, 0, 0, 0, (bytes.length - 40) >> 8, (bytes.length - 40) & 255, number, 64])
    bytes.set(ipBytes(from), 8)
    bytes.set(ipBytes(to), 24)
  }
  view.setUint16(ipHead, 40_000)
  view.setUint16(ipHead + 2, 443)
  if (p.protocol === 'tcp') {
    view.setUint32(ipHead + 4, p.sequence ?? 1)
    view.setUint32(ipHead + 8, 77)
    view.setUint8(ipHead + 12, (head / 4) << 4)
    view.setUint8(ipHead + 13, p.flags ?? 0x10)
    view.setUint16(ipHead + 14, 500)
    for (let i = 20; i < head; i++) bytes[ipHead + i] = 1
  } else view.setUint16(ipHead + 4, 8 + p.payload)
  const layout = newLayout()
  if (!layoutOf(view, 0, bytes.length, layout)) throw new BugError('not what was meant')
  fillTransportCheck(view, 0, bytes.length, layout)
  return bytes
}

/** The plain, complete packets that a packet or super-packet stands for. */
export function plainPackets(bytes: Uint8Array, gso: number): Uint8Array[] {
  const memory = { arena: new Uint8Array(bytes), view: new DataView(new ArrayBuffer(0)) }
  const from = { arena: memory.arena, view: new DataView(memory.arena.buffer) }
  const layout = newLayout()
  if (gso === 0 || !layoutOf(from.view, 0, bytes.length, layout)) return [from.arena]
  if (gso === CSUM_MISSING) {
    fillTransportCheck(from.view, 0, bytes.length, layout)
    return [from.arena]
  }
  return Array.from({ length: segmentsOf(layout, bytes.length, gso) }, (_, i) => {
    const arena = new Uint8Array(0x10000)
    const into = { arena, view: new DataView(arena.buffer) }
    return arena.slice(0, cutSegment(from, 0, bytes.length, layout, gso, i, into))
  })
}

/** Whether the IPv4 header's and the transport's checksums of a plain TCP or UDP packet hold, counted without the code that wrote them. */
export function checksumsHold(bytes: Uint8Array): boolean {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const layout = newLayout()
  if (!layoutOf(view, 0, bytes.length, layout)) return false
  const length = bytes.length - layout.transport
  if (layout.version === 4 && !intact(sum(view, 0, layout.transport))) return false
  const pseudo =
    layout.version === 4 ? pseudo4(view, 0, layout.protocol, length) : pseudo6(view, 0, layout.protocol, length)
  return intact(pseudo + sum(view, layout.transport, length))
}

function ipOf(text: string): Ip {
  const ip = parseIp(text)
  if (ip === null) throw new BugError(`not an address: ${text}`)
  return ip
}
