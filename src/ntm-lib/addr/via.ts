import { type Ip, ip16, sameIp } from './ip.ts'

/**
 * One of our own ways out: an interface and the address of ours that a datagram leaves with. Where none is named the
 * kernel chooses, and may choose differently for each datagram.
 */
export type Via = {
  /** Kernel's interface number, from 1. */
  readonly ifindex: number
  /** Of the family of the datagram's destination. */
  readonly ip: Ip
}

export const sameVia = (a: Via | null, b: Via | null): boolean =>
  a === b || (a !== null && b !== null && a.ifindex === b.ifindex && sameIp(a.ip, b.ip))

/** Bytes of a via as packet ports take it: our address (16, IPv4 as v4-mapped), the interface's number (32 bits, little endian). All zeros: none. */
export const VIA_BYTES = 20

/** Writes row `row` of an array of vias. */
export function writeVia(vias: Uint8Array, row: number, via: Via | null): void {
  const at = row * VIA_BYTES
  vias.fill(0, at, at + VIA_BYTES)
  if (via === null) return
  vias.set(ip16(via.ip), at)
  // The machine's byte order, which is little-endian on every machine we build for.
  for (let k = 0; k < 4; k++) vias[at + 16 + k] = via.ifindex >>> (8 * k)
}
