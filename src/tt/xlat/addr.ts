import { type Ip4, ip4FromWord } from '#ntm-lib/addr/ip4.ts'
import type { Ip6 } from '#ntm-lib/addr/ip6.ts'
import { invariant } from '#ntm-lib/base/invariant.ts'
import { copyAddress, isAddress, putAddress } from '#ntm-lib/packet/ip6.ts'
import type { AddressMap, AddressRole } from './context.ts'

/** A host and a server that are known in both families. */
export type AddressPairs = {
  readonly host4: Ip4
  readonly host6: Ip6
  readonly server4: Ip4
  readonly server6: Ip6
}

/** RFC 6052 §2.2: the prefix lengths that may carry an IPv4 address. */
const LENGTHS = [32, 40, 48, 56, 64, 96]

/** Embeds `ip` behind a prefix of `bits` bits. RFC 6052 §2.2; byte 8 (the "u" octet) stays zero. */
export function embed(prefix: Ip6, bits: number, ip: Ip4): Ip6 {
  invariant(LENGTHS.includes(bits), `RFC 6052 knows no /${bits}`)
  const out = new Uint8Array(16)
  out.set(prefix.subarray(0, bits / 8))
  let at = bits / 8
  for (let i = 0; i < 4; i++) {
    if (at === 8) at++
    out[at++] = (ip >>> (24 - 8 * i)) & 0xff
  }
  return out as Ip6
}

/** The IPv4 address behind a prefix of `bits` bits; null when the address is not under the prefix or byte 8 is not zero. */
export function extract(prefix: Ip6, bits: number, address: Ip6): Ip4 | null {
  invariant(LENGTHS.includes(bits), `RFC 6052 knows no /${bits}`)
  for (let i = 0; i < bits / 8; i++) if (address[i] !== prefix[i]) return null
  if (bits < 96 && address[8] !== 0) return null
  let word = 0
  let at = bits / 8
  for (let i = 0; i < 4; i++) {
    if (at === 8) at++
    word = word * 256 + (address[at++] ?? 0)
  }
  return ip4FromWord(word)
}

/**
 * Two explicit pairs, both ways: the host's and the server's, which the terminator sets before each packet. Addresses
 * without a pair have no translation, except the sender of an ICMP error:
 * - 4→6 it is embedded under `routers6`, an RFC 6052 /96 inside the servers' pool, so the tunnel's far end accepts it as
 *   an inner source and a traceroute shows which router spoke;
 * - 6→4 128 bits do not fit, and a router's embedded IPv4 address would be a real one, which the far end refuses: every
 *   unknown router appears as `router4`, one address of the servers' pool kept for this (RFC 6791's way).
 */
export class PairMap implements AddressMap {
  readonly #routers6: Ip6
  readonly #router4: Ip4
  #pairs: AddressPairs | null = null

  constructor(routers6: Ip6, router4: Ip4) {
    this.#routers6 = routers6
    this.#router4 = router4
  }

  /** The pairs from now on; null for none. */
  use(pairs: AddressPairs | null): void {
    this.#pairs = pairs
  }

  toSix(view: DataView, at: number, role: AddressRole, to: DataView, toAt: number): boolean {
    const pairs = this.#pairs
    const ip = view.getUint32(at)
    const six = pairs === null ? null : ip === pairs.host4 ? pairs.host6 : ip === pairs.server4 ? pairs.server6 : null
    if (six !== null) {
      putAddress(to, toAt, six)
      return true
    }
    if (role !== 'error-source') return false
    putAddress(to, toAt, this.#routers6)
    to.setUint32(toAt + 12, ip)
    return true
  }

  toFour(view: DataView, at: number, role: AddressRole, to: DataView, toAt: number): boolean {
    const pairs = this.#pairs
    if (pairs !== null && isAddress(view, at, pairs.host6)) to.setUint32(toAt, pairs.host4)
    else if (pairs !== null && isAddress(view, at, pairs.server6)) to.setUint32(toAt, pairs.server4)
    else if (role === 'error-source') to.setUint32(toAt, this.#router4)
    else return false
    return true
  }
}

/** Sources no packet on a network has, by their first byte; such packets are dropped without a word (RFC 7915 §4.1). */
export function illegalSource4(top: number): boolean {
  return top === 0 || top === 127 || top >= 224
}

/** Unspecified, loopback and multicast sources (RFC 7915 §5.1). */
export function illegalSource6(view: DataView, at: number): boolean {
  if (view.getUint8(at) === 0xff) return true
  if (view.getUint32(at) !== 0 || view.getUint32(at + 4) !== 0 || view.getUint32(at + 8) !== 0) return false
  return view.getUint32(at + 12) <= 1
}

/** Scratch for two addresses while a header is being replaced. */
export const scratch = new DataView(new ArrayBuffer(32))
/** Moves both scratch addresses into the header at `at`. */
export function putBoth(view: DataView, at: number): void {
  copyAddress(scratch, 0, view, at + 8)
  copyAddress(scratch, 16, view, at + 24)
}
