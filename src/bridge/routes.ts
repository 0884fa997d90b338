import { type Ip, isIp4 } from '#ntm-lib/addr/ip.ts'
import { ip6Key } from '#ntm-lib/addr/ip6.ts'
import type { Prefix } from '#ntm-lib/addr/prefix.ts'

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

/** Who may speak through a tunnel. Contracts never change, so neither does this; `leads` does. */
export type TunnelEnds = {
  /** Packets for the peer's addresses take this tunnel, and no other one of that peer. */
  readonly leads: boolean
  readonly own: readonly Prefix[]
  readonly peer: readonly Prefix[]
}

/** Of one tunnel: the addresses of ours that may use it, and those behind it that it leads to now. */
type Ends = { readonly own: ReadonlySet<Key>; peer: readonly Key[] }

/**
 * Which virtual address is behind which tunnel: those of the peer's own hosts by its contract, whoever asked for the tunnel;
 * servers, of which a terminator's contract tells only the pool, by the direction that named them. Bounded: the oldest
 * direction goes first and is asked for again when used.
 */
export class Routes {
  readonly #directed = new Map<Key, Tunnel>()
  /** The newest tunnel that leads there is the last one. */
  readonly #leading = new Map<Key, Tunnel[]>()
  readonly #tunnels = new Map<TunnelRef, Tunnel>()
  readonly #ends = new Map<TunnelRef, Ends>()
  /** Counts up whenever an address came, moved or went: `KnownFlows` go by it. */
  changes = 0
  /** The same without addresses that were not there before: those change nothing for packets that had a way. */
  moves = 0

  set(vip: Ip, ref: TunnelRef): void {
    const key = keyOf(vip)
    const before = this.#directed.get(key)
    if (before?.ref !== ref) {
      this.changes++
      if (before !== undefined) this.moves++
    }
    this.#directed.delete(key)
    if (this.#directed.size >= MAX_ROUTES) {
      const oldest = this.#directed.keys().next()
      if (oldest.done !== true) {
        this.#directed.delete(oldest.value)
        this.moves++
      }
    }
    this.#directed.set(key, this.tunnel(ref))
  }

  /** A tunnel came, or leads no more, or leads again. Called with everything told of it; what stays the same costs nothing. */
  ends(ref: TunnelRef, { leads, own, peer }: TunnelEnds): void {
    const known = this.#ends.get(ref) ?? { own: new Set(hostKeys(own)), peer: [] }
    if (!this.#ends.has(ref)) {
      this.#ends.set(ref, known)
      this.changes++
    }
    if (known.peer.length > 0 === leads) return
    this.#unlead(ref, known)
    if (!leads) return
    const tunnel = this.tunnel(ref)
    known.peer = hostKeys(peer)
    for (const key of known.peer) {
      const there = this.#leading.get(key)
      if (there !== undefined || this.#directed.has(key)) this.moves++
      if (there === undefined) this.#leading.set(key, [tunnel])
      else there.push(tunnel)
    }
    this.changes++
  }

  /** The tunnel to `vip` that `from`, a virtual address of our side, may use. */
  find(vip: Ip, from: Ip): Tunnel | null {
    const [to, source] = [keyOf(vip), keyOf(from)]
    const leading = this.#leading.get(to)
    for (let i = (leading?.length ?? 0) - 1; i >= 0; i--) {
      const t = leading?.[i]
      if (t !== undefined && this.#mayUse(t, source)) return t
    }
    const directed = this.#directed.get(to)
    return directed !== undefined && this.#mayUse(directed, source) ? directed : null
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
    const ends = this.#ends.get(ref)
    if (ends !== undefined) this.#unlead(ref, ends)
    this.#ends.delete(ref)
    this.#tunnels.delete(ref)
    for (const [key, t] of this.#directed) if (t.ref === ref) this.#directed.delete(key)
  }

  /** A contract lists every host that may speak; one that came later needs a new one. */
  #mayUse(t: Tunnel, source: Key): boolean {
    return this.#ends.get(t.ref)?.own.has(source) ?? true
  }

  #unlead(ref: TunnelRef, ends: Ends): void {
    if (ends.peer.length === 0) return
    for (const key of ends.peer) {
      const rest = this.#leading.get(key)?.filter((t) => t.ref !== ref) ?? []
      if (rest.length === 0) this.#leading.delete(key)
      else this.#leading.set(key, rest)
    }
    ends.peer = []
    this.changes++
    this.moves++
  }
}

/** The address as a signed word for IPv4, which hashes faster; text for IPv6. */
type Key = number | string
const keyOf = (ip: Ip): Key => (isIp4(ip) ? ip | 0 : ip6Key(ip))

/** Single addresses only. A pool is a terminator's, and which terminator translates for whom the pool does not tell. */
const hostKeys = (prefixes: readonly Prefix[]): Key[] =>
  prefixes.flatMap(({ base, bits }) => (bits === (isIp4(base) ? 32 : 128) ? [keyOf(base)] : []))

const MAX_ROUTES = 16_384
/** M is never below 1280 (what IPv6 may count on); T over an IPv6 underlay of 1280 bytes is 1200. */
const LEAST_INNER = 1280
const LEAST_WHOLE = 1200
