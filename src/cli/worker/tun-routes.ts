import type { Prefix } from '#ntm-lib/addr/prefix.ts'
import { AddressMap } from '#ntm-lib/negotiate/address-map.ts'
import type { MirrorCommand } from '#ntm-lib/negotiate/mirror.ts'

/** Which path an inner destination takes: each path's peer prefixes lead to it while it leads. */
export class TunRoutes {
  readonly #byDestination = new AddressMap<number>()
  readonly #leading = new Map<number, readonly Prefix[]>()
  /** What TCP is clamped to, by row. */
  readonly #clamp = new Map<number, number>()

  mirrored(c: MirrorCommand): void {
    if (c.mirror === 'gone') {
      this.#clamp.delete(c.row)
      return this.#lead(c.row, [])
    }
    const { row, leads, peerAllowed, clampBytes } = c.path
    this.#clamp.set(row, clampBytes)
    this.#lead(row, leads ? peerAllowed : [])
  }

  /** The row for the IP packet of `len` bytes at `at`; 0 when none leads there. */
  rowTo(v: DataView, at: number, len: number): number {
    if (len < 20) return 0
    const version = v.getUint8(at) >> 4
    if (version === 4) return this.#byDestination.find4(v.getUint32(at + 16)) ?? 0
    return version === 6 && len >= 40 ? (this.#byDestination.find6(v, at + 24) ?? 0) : 0
  }

  /** The largest MSS for a connection through the row's path, IP version 4 or 6. */
  mss(row: number, version: number): number {
    return (this.#clamp.get(row) ?? MIN_INNER) - (version === 4 ? 40 : 60)
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

/** RFC 8200 §5. */
const MIN_INNER = 1280
