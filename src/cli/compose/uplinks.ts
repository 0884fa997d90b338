import { watchLinks } from '#io/link-events.ts'
import { currentAddresses, currentLinks, currentRoutes } from '#io/link-tables.ts'
import type { Prefix } from '#ntm-lib/addr/prefix.ts'
import { sameVia, type Via } from '#ntm-lib/addr/via.ts'
import type { Undo } from './process.ts'
import { viasOf } from './vias.ts'

/** What is no way out: our own interfaces by name, and virtual prefixes. */
export type UplinkOptions = { readonly interfaces: readonly string[]; readonly prefixes?: readonly Prefix[] }

export interface Uplinks {
  /** As they were last told. */
  readonly vias: readonly Via[]
  /**
   * From now on the ways out by this interface come first; null: by the routes' metrics alone. Tells at once when that changes anything. Whether the
   * interface is a way out now (it is kept in mind either way).
   */
  prefer(name: string | null): boolean
}

/**
 * Follows this machine's ways out (`viasOf`): tells them at once, before it returns, and again whenever they have changed, in the turn that the kernel says so
 * in, never later than `SETTLE_MS`. What is told is what the kernel has then, so that changes in one shower may be told as one.
 */
export function followUplinks(
  undo: Undo,
  fail: (why: Error) => void,
  take: (vias: readonly Via[]) => void,
  options: UplinkOptions,
): Uplinks {
  const uplinks = new Following(take, options)
  let timer: NodeJS.Timeout | null = null
  const look = (): void => {
    timer = null
    try {
      uplinks.look()
    } catch (e) {
      fail(e instanceof Error ? e : new Error(String(e)))
    }
  }
  // Subscribed first, read second: nothing is missed in between.
  const watch = watchLinks(() => {
    timer ??= setTimeout(look, SETTLE_MS)
  })
  undo.add(() => {
    watch.close()
    if (timer !== null) clearTimeout(timer)
  })
  uplinks.look()
  return uplinks
}

class Following implements Uplinks {
  readonly #take: (vias: readonly Via[]) => void
  readonly #without: { readonly interfaces: readonly string[]; readonly prefixes: readonly Prefix[] }
  #prefer: string | null = null
  #told = false
  vias: readonly Via[] = []

  constructor(take: (vias: readonly Via[]) => void, { interfaces, prefixes = [] }: UplinkOptions) {
    this.#take = take
    this.#without = { interfaces, prefixes }
  }

  prefer(name: string | null): boolean {
    this.#prefer = name
    this.look()
    const links = name === null ? [] : currentLinks().filter((l) => l.name === name)
    return name === null || this.vias.some((v) => links.some((l) => l.ifindex === v.ifindex))
  }

  look(): void {
    const ways = { links: currentLinks(), addresses: currentAddresses(), routes: currentRoutes() }
    const vias = viasOf(ways, { without: this.#without, prefer: this.#prefer })
    const { length } = this.vias
    if (this.#told && vias.length === length && vias.every((v, i) => sameVia(v, this.vias[i] ?? null))) return
    this.#told = true
    this.vias = vias
    this.#take(vias)
  }
}

/** Changes come in showers of a few messages: one look at the kernel's tables for all that are there. */
const SETTLE_MS = 3
