import type { LinkAddr } from '#ntm-lib/addr/link.ts'
import { after, type Instant, millis } from '#ntm-lib/base/time.ts'
import { type FollowedFlow, VERSION_WORDS } from './follow-words.ts'
import type { Host } from './host.ts'
import type { KnownFlow } from './known-flows.ts'
import type { Routes } from './routes.ts'

/**
 * What the lead tells its followers of its decisions, and how it takes them back: each decision carries the versions of the host and of the routes
 * that it rests on, in words that all workers share. No message has to arrive for a decision to be void.
 */
export class Lead {
  readonly #versions: Int32Array
  readonly #routes: Pick<Routes, 'moves'>
  #moves: number
  /** `changes` of every host that something was told of. */
  readonly #hosts = new Map<Host, number>()

  /** `versions`: shared, `VERSION_WORDS` words. */
  constructor(versions: Int32Array, routes: Pick<Routes, 'moves'>) {
    this.#versions = versions
    this.#routes = routes
    this.#moves = routes.moves
  }

  /** Takes back what no longer holds. Cheap: to be called whenever something may have changed. */
  publish(): void {
    if (this.#routes.moves !== this.#moves) {
      this.#moves = this.#routes.moves
      Atomics.add(this.#versions, 0, 1)
    }
    for (const [host, changes] of this.#hosts) {
      if (host.changes === changes) continue
      this.#hosts.delete(host)
      Atomics.add(this.#versions, wordOf(host.link), 1)
    }
  }

  /** The decision in a form for followers; null when it may change in ways that they would not notice. */
  flow(dir: 'out' | 'in', known: KnownFlow, now: Instant): FollowedFlow | null {
    const { pair, host, tunnel, ip, far, way } = known
    if (tunnel === null || known.hostChanges !== host.changes) return null
    this.publish()
    this.#hosts.set(host, host.changes)
    const hostWord = wordOf(host.link)
    return {
      dir,
      pair,
      tunnel: tunnel.ref,
      ip,
      way: dir === 'out' ? { ...way, to: host.link, tag: host.tag } : way,
      far,
      hostWord,
      hostVersion: Atomics.load(this.#versions, hostWord),
      routeVersion: Atomics.load(this.#versions, 0),
      until: after(now, FOLLOWED_FOR),
    }
  }
}

/** Hosts that share a word are void together. */
const wordOf = (link: LinkAddr): number => 1 + (link % (VERSION_WORDS - 1))

/** Far less than the lead remembers a silent host for, or a host an address. */
export const FOLLOWED_FOR = millis(5000)
