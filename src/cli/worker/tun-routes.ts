import { type Ip, ipText, isIp4 } from '#ntm-lib/addr/ip.ts'
import { host, type Prefix } from '#ntm-lib/addr/prefix.ts'
import { AddressMap } from '#ntm-lib/negotiate/address-map.ts'
import type { MirrorCommand } from '#ntm-lib/negotiate/mirror.ts'
import { MIN_INNER } from '#ntm-lib/negotiate/mtu.ts'

/**
 * Which path an inner destination takes: each path's peer prefixes lead to it while it leads. An address that was given to a box by name goes
 * to that box whatever the prefixes say; with `hostsOnly` no prefix of several addresses counts, because two terminators share one pool.
 */
export class TunRoutes {
  readonly #hostsOnly: boolean
  readonly #byDestination = new AddressMap<number>()
  readonly #leading = new Map<number, readonly Prefix[]>()
  /** What TCP is clamped to, by row. */
  readonly #clamp = new Map<number, number>()
  readonly #peers = new Map<number, string>()
  /** The row that leads to a box. */
  readonly #toPeer = new Map<string, number>()
  readonly #given = new AddressMap<string>()
  /** What is in `#given`, oldest first. */
  readonly #givenTo = new Map<string, { readonly prefix: Prefix; readonly peer: string }>()

  constructor(hostsOnly = false) {
    this.#hostsOnly = hostsOnly
  }

  mirrored(c: MirrorCommand): void {
    if (c.mirror === 'gone') {
      this.#clamp.delete(c.row)
      this.#leadsToPeer(c.row, this.#peers.get(c.row) ?? '', false)
      this.#peers.delete(c.row)
      return this.#lead(c.row, [])
    }
    const { row, peer, leads, peerAllowed, clampBytes } = c.path
    this.#clamp.set(row, clampBytes)
    this.#peers.set(row, peer)
    this.#leadsToPeer(row, peer, leads)
    this.#lead(row, leads ? peerAllowed.filter((p) => !this.#hostsOnly || isHost(p)) : [])
  }

  /** From now on packets to this address go to the box at the other end of `row`. Nothing when that path has gone already. */
  give(vip: Ip, row: number): void {
    const peer = this.#peers.get(row)
    if (peer === undefined) return
    const key = ipText(vip)
    this.#take(key)
    if (this.#givenTo.size >= MAX_GIVEN) this.#take(this.#givenTo.keys().next().value ?? '')
    const prefix = host(vip)
    this.#givenTo.set(key, { prefix, peer })
    this.#given.add(prefix, peer)
  }

  /** The row for the IP packet of `len` bytes at `at`; 0 when none leads there. */
  rowTo(v: DataView, at: number, len: number): number {
    if (len < 20) return 0
    const version = v.getUint8(at) >> 4
    if (version === 4) {
      const to = v.getUint32(at + 16)
      const peer = this.#given.find4(to)
      return (peer === undefined ? this.#byDestination.find4(to) : this.#toPeer.get(peer)) ?? 0
    }
    if (version !== 6 || len < 40) return 0
    const peer = this.#given.find6(v, at + 24)
    return (peer === undefined ? this.#byDestination.find6(v, at + 24) : this.#toPeer.get(peer)) ?? 0
  }

  /** As `rowTo`, for an address. */
  rowFor(ip: Ip): number {
    const v = new DataView(new ArrayBuffer(40))
    v.setUint8(0, isIp4(ip) ? 0x45 : 0x60)
    if (isIp4(ip)) v.setUint32(16, ip)
    else for (const [i, byte] of ip.entries()) v.setUint8(24 + i, byte)
    return this.rowTo(v, 0, 40)
  }

  /** The largest MSS for a connection through the row's path, IP version 4 or 6. */
  mss(row: number, version: number): number {
    return (this.#clamp.get(row) ?? MIN_INNER) - (version === 4 ? 40 : 60)
  }

  #leadsToPeer(row: number, peer: string, leads: boolean): void {
    if (leads) this.#toPeer.set(peer, row)
    else if (this.#toPeer.get(peer) === row) this.#toPeer.delete(peer)
  }

  #take(key: string): void {
    const old = this.#givenTo.get(key)
    if (old === undefined) return
    this.#givenTo.delete(key)
    this.#given.remove(old.prefix, old.peer)
  }

  #lead(row: number, prefixes: readonly Prefix[]): void {
    const before = this.#leading.get(row) ?? []
    // Contracts never change: the same path leads to the same prefixes, or to none.
    if (before.length === prefixes.length) return
    for (const p of before) this.#byDestination.remove(p, row)
    for (const p of prefixes) this.#byDestination.add(p, row)
    if (prefixes.length === 0) this.#leading.delete(row)
    else this.#leading.set(row, prefixes)
  }
}

const isHost = (p: Prefix): boolean => p.bits === (isIp4(p.base) ? 32 : 128)

/** More servers and boxes than one machine talks to within the life of their names. */
const MAX_GIVEN = 4096
