import { type Ip4, ip4FromWord } from '../addr/ip4.ts'
import type { LinkAddr } from '../addr/link.ts'
import { readLink, writeLink } from './ether.ts'

/** ARP for IPv4 over Ethernet (RFC 826), 28 bytes after the Ethernet header. */
export const ARP_BYTES = 28
export const REQUEST = 1
export const REPLY = 2

/** Whether the `len` bytes at `at` are ARP for IPv4 over Ethernet; the accessors below are only for such. */
export const isArp = (v: DataView, at: number, len: number): boolean =>
  len >= ARP_BYTES && v.getUint32(at) === 0x00010800 && v.getUint16(at + 4) === 0x0604

export const operation = (v: DataView, at: number): number => v.getUint16(at + 6)
export const senderLink = (v: DataView, at: number): LinkAddr => readLink(v, at + 8)
export const senderIp = (v: DataView, at: number): Ip4 => ip4FromWord(v.getUint32(at + 14))
export const targetLink = (v: DataView, at: number): LinkAddr => readLink(v, at + 18)
export const targetIp = (v: DataView, at: number): Ip4 => ip4FromWord(v.getUint32(at + 24))

export type NewArp = {
  readonly operation: number
  readonly senderLink: LinkAddr
  readonly senderIp: Ip4
  readonly targetLink: LinkAddr
  readonly targetIp: Ip4
}

/** Writes the 28 bytes. A probe (RFC 5227) has sender address 0. */
export function write(v: DataView, at: number, a: NewArp): void {
  v.setUint32(at, 0x00010800)
  v.setUint16(at + 4, 0x0604)
  v.setUint16(at + 6, a.operation)
  writeLink(v, at + 8, a.senderLink)
  v.setUint32(at + 14, a.senderIp)
  writeLink(v, at + 18, a.targetLink)
  v.setUint32(at + 24, a.targetIp)
}
