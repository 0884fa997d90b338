import { systemClock } from '#io/clock.ts'
import { type LinkEvent, watchLinks } from '#io/link-events.ts'
import { currentAddresses, currentLinks, currentRoutes, isReceivedAt } from '#io/link-tables.ts'
import { isIp4, sameIp } from '#ntm-lib/addr/ip.ts'
import type { Prefix } from '#ntm-lib/addr/prefix.ts'
import { sameVia, type Via } from '#ntm-lib/addr/via.ts'
import type { Log } from '#ntm-lib/ports/log.ts'
import type { Candidate } from '#ntm-lib/wire/messages/common.ts'
import type { NtmNode } from './ntm-node.ts'
import type { Undo } from './process.ts'
import { leadsOut, viasOf } from './vias.ts'

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
 * Follows this machine's ways out (`viasOf`): tells them at once, before it returns, and again whenever they have changed, `SETTLE_MS` after the
 * kernel has said so: what is told is what the kernel has then, so that changes in one shower are told as one. Sooner, in the very turn, when a
 * default route or an address came and nothing else is to be expected: programs wait for it.
 */
export function followUplinks(
  undo: Undo,
  fail: (why: Error) => void,
  take: (vias: readonly Via[]) => void,
  options: UplinkOptions,
): Uplinks {
  const uplinks = new Following(take, options)
  let timer: NodeJS.Timeout | null = null
  let soon: NodeJS.Immediate | null = null
  const look = (when: 'settled' | 'at once'): void => {
    try {
      uplinks.look(when)
    } catch (e) {
      fail(e instanceof Error ? e : new Error(String(e)))
    }
  }
  // Subscribed first, read second: nothing is missed in between.
  const watch = watchLinks((event) => {
    timer ??= setTimeout(() => {
      timer = null
      look('settled')
    }, SETTLE_MS)
    if (!mayComplete(event) || !uplinks.looksQuickly) return
    soon ??= setImmediate(() => {
      soon = null
      look('at once')
    })
  })
  undo.add(() => {
    watch.close()
    if (timer !== null) clearTimeout(timer)
    if (soon !== null) clearImmediate(soon)
  })
  uplinks.look()
  return uplinks
}

/** A box whose node is to know where it is and how it gets out. */
export type Mover = {
  readonly made: Pick<NtmNode, 'node' | 'where'>
  /** Of its UDP socket. */
  readonly port: number
  readonly log: Log
  /** The node was used: its outputs are to be performed. */
  readonly touch: () => void
}

/**
 * Keeps a node's candidates and ways out as this machine's are, from now on; the coordinator hears of every change after the first. To be
 * called before the node is started.
 */
export function followWays(undo: Undo, fail: (why: Error) => void, mover: Mover, options: UplinkOptions): Uplinks {
  const { made, port, log, touch } = mover
  let known = false
  const take = (vias: readonly Via[]): void => {
    if (undo.isStopping) return
    made.where.candidates = placesOf(vias, port)
    if (known) made.where.version++
    made.node.setVias(vias, systemClock.now())
    touch()
    if (known) log.info('box.moved', { candidates: made.where.candidates.length })
    known = true
  }
  return followUplinks(undo, fail, take, options)
}

/** Every address we send from is one to be reached at, the best way first. When there are too many, the best of both families. */
export function placesOf(vias: readonly Via[], port: number): readonly Candidate[] {
  const [four, six] = [vias.filter((v) => isIp4(v.ip)), vias.filter((v) => !isIp4(v.ip))]
  const room = Math.max(MOST_PLACES / 2, MOST_PLACES - six.length)
  const some = four.slice(0, room)
  return [...some, ...six.slice(0, MOST_PLACES - some.length)].map(({ ip }) => {
    const rank = isIp4(ip) ? 100 - four.findIndex((v) => v.ip === ip) : 110 - six.findIndex((v) => sameIp(v.ip, ip))
    return { type: 'local', endpoint: { ip, port }, priority: rank }
  })
}

/** Whether a way out may have become usable by it. */
const mayComplete = (event: LinkEvent): boolean =>
  (event.kind === 'route-added' && event.to === null) || (event.kind === 'address-added' && !event.tentative)

class Following implements Uplinks {
  readonly #take: (vias: readonly Via[]) => void
  readonly #without: { readonly interfaces: readonly string[]; readonly prefixes: readonly Prefix[] }
  #prefer: string | null = null
  #told = false
  #tookMs = 0
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

  /** A router with the whole Internet in its tables is not asked for them several times in a row. */
  get looksQuickly(): boolean {
    return this.#tookMs < QUICK_MS
  }

  look(when: 'settled' | 'at once' = 'settled'): void {
    const begun = performance.now()
    const ways = { links: currentLinks(), addresses: currentAddresses(), routes: currentRoutes() }
    const vias = viasOf(ways, { without: this.#without, prefer: this.#prefer })
    this.#tookMs = performance.now() - begun
    const { length } = this.vias
    if (this.#told && vias.length === length && vias.every((v, i) => sameVia(v, this.vias[i] ?? null))) return
    const added = vias.filter((v) => !this.vias.some((known) => sameVia(known, v)))
    // An address has come and its route is on its way; or Linux shows an IPv6 address that it does not receive at yet.
    const isWhole = (v: Via): boolean => leadsOut(ways, v) && isReceivedAt(v.ip)
    if (when === 'at once' && !(vias.length > length && added.every(isWhole))) return
    this.#told = true
    this.vias = vias
    this.#take(vias)
  }
}

/** Changes come in showers of a few messages: one look at the kernel's tables for all that are there. */
const SETTLE_MS = 3
/** The kernel's tables on a machine with few routes: well below. */
const QUICK_MS = 5
const MOST_PLACES = 8
