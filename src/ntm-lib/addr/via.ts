import { type Ip, sameIp } from './ip.ts'

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
