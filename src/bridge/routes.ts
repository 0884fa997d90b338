import { type Ip, isIp4 } from '#ntm-lib/addr/ip.ts'
import { ip6Key } from '#ntm-lib/addr/ip6.ts'

/** A tunnel as its owner names it; the same number in every message about it. */
export type TunnelRef = number

export type Tunnel = {
  readonly ref: TunnelRef
  /** M: the largest inner packet; larger ones are refused or cut. */
  innerBytes: number
  /** T: the largest inner packet that goes whole. */
  wholeBytes: number
  /** What segments of TCP are made for: T, or what it is hoped to be before it has been measured. */
  clampBytes: number
}

/** Which virtual address is behind which tunnel. Bounded: the oldest address goes first and is asked for again when used. */
export class Routes {
  readonly #byVip = new Map<number | string, Tunnel>()
  readonly #tunnels = new Map<TunnelRef, Tunnel>()
  /** Counts up whenever an address came, moved or went: `KnownFlows` go by it. */
  changes = 0
  /** The same without addresses that were not there before: those change nothing for packets that had a way. */
  moves = 0

  set(vip: Ip, ref: TunnelRef): void {
    const key = keyOf(vip)
    const before = this.#byVip.get(key)
    if (before?.ref !== ref) {
      this.changes++
      if (before !== undefined) this.moves++
    }
    this.#byVip.delete(key)
    if (this.#byVip.size >= MAX_ROUTES) {
      const oldest = this.#byVip.keys().next()
      if (oldest.done !== true) {
        this.#byVip.delete(oldest.value)
        this.moves++
      }
    }
    this.#byVip.set(key, this.tunnel(ref))
  }

  find(vip: Ip): Tunnel | null {
    return this.#byVip.get(keyOf(vip)) ?? null
  }

  /** The tunnel's entry; made with the smallest sizes when its MTU is not known yet. */
  tunnel(ref: TunnelRef): Tunnel {
    let t = this.#tunnels.get(ref)
    if (t === undefined) {
      t = { ref, innerBytes: LEAST_INNER, wholeBytes: LEAST_WHOLE, clampBytes: LEAST_WHOLE }
      this.#tunnels.set(ref, t)
    }
    return t
  }

  remove(ref: TunnelRef): void {
    this.changes++
    this.moves++
    this.#tunnels.delete(ref)
    for (const [key, t] of this.#byVip) if (t.ref === ref) this.#byVip.delete(key)
  }
}

/** The address as a signed word for IPv4, which hashes faster; text for IPv6. */
const keyOf = (ip: Ip): number | string => (isIp4(ip) ? ip | 0 : ip6Key(ip))

const MAX_ROUTES = 16_384
/** M is never below 1280 (what IPv6 may count on); T over an IPv6 underlay of 1280 bytes is 1200. */
const LEAST_INNER = 1280
const LEAST_WHOLE = 1200
