import { type Endpoint, sameEndpoint } from '#ntm-lib/addr/endpoint.ts'
import { type NodeId, nodeKey } from '#ntm-lib/addr/ids.ts'
import { family } from '#ntm-lib/addr/ip.ts'
import { same } from '#ntm-lib/base/bytes.ts'
import { after, type Instant, seconds } from '#ntm-lib/base/time.ts'
import type { Candidate } from '#ntm-lib/wire/messages/common.ts'
import type { Location } from './locate.ts'

/** A registered box, in memory only: after a restart everybody registers again. */
export type Presence = Location & {
  readonly node: NodeId
  readonly roles: number
  readonly bootId: Uint8Array
  readonly locationVersion: number
  /** When its membership ends, seconds since 1970. */
  readonly expires: number
}

type Echo = { readonly nonce: Uint8Array; readonly endpoint: Endpoint; readonly until: Instant }
type Entry = { presence: Presence; echoes: Echo[] }

/** Who is here and where. An endpoint counts only after its nonce came back from it. */
export class PresenceTable {
  readonly #entries = new Map<string, Entry>()
  /** The last start seen of every node, also of those gone. */
  readonly #boots = new Map<string, Uint8Array>()

  get(node: NodeId): Presence | null {
    return this.#entries.get(nodeKey(node))?.presence ?? null
  }

  /** Whether this is another start of the program than the one seen last. */
  startedAnew(node: NodeId, bootId: Uint8Array): boolean {
    const last = this.#boots.get(nodeKey(node))
    return last !== undefined && !same(last, bootId)
  }

  all(): Presence[] {
    return [...this.#entries.values()].map((e) => e.presence)
  }

  /**
   * Takes a registration or update. An older location version of the same start is a late duplicate and changes nothing.
   * Endpoints confirmed in an earlier start, or no longer the one seen, must be confirmed again.
   */
  put(of: Omit<Presence, 'confirmed' | 'observed'>, observed: Endpoint): Presence {
    const entry = this.#entries.get(nodeKey(of.node))
    const before = entry?.presence
    const restarted = before !== undefined && !same(before.bootId, of.bootId)
    if (before !== undefined && !restarted && of.locationVersion < before.locationVersion) return before
    const confirmed = before === undefined || restarted ? NOWHERE : before.confirmed
    const presence: Presence = { ...of, observed, confirmed }
    this.#boots.set(nodeKey(of.node), of.bootId)
    this.#entries.set(nodeKey(of.node), { presence, echoes: restarted ? [] : (entry?.echoes ?? []) })
    return presence
  }

  /** Remembers a nonce that is about to be sent to `endpoint`. */
  expectEcho(node: NodeId, nonce: Uint8Array, endpoint: Endpoint, now: Instant): void {
    const entry = this.#entries.get(nodeKey(node))
    if (entry === undefined) return
    const live = entry.echoes.filter((e) => e.until > now)
    entry.echoes = [...live, { nonce, endpoint, until: after(now, ECHO_LIFE) }].slice(-MAX_ECHOES)
  }

  /**
   * An echo came from `from`: its endpoint counts from now on. Null when no such nonce is awaited from there; otherwise
   * whether the location changed.
   */
  confirm(node: NodeId, nonce: Uint8Array, from: Endpoint, now: Instant): 'moved' | 'same' | null {
    const entry = this.#entries.get(nodeKey(node))
    const echo = entry?.echoes.find((e) => same(e.nonce, nonce) && e.until > now && sameEndpoint(e.endpoint, from))
    if (entry === undefined || echo === undefined) return null
    entry.echoes = entry.echoes.filter((e) => e !== echo)
    const of = family(from.ip)
    const before = entry.presence.confirmed[of]
    entry.presence = { ...entry.presence, confirmed: { ...entry.presence.confirmed, [of]: from } }
    return before !== null && sameEndpoint(before, from) ? 'same' : 'moved'
  }

  /**
   * The box speaks from elsewhere now. Answers are repeated to where a box is: a nonce made for the old endpoint may be
   * read at the new one, so it proves nothing any more.
   */
  forgetEchoes(node: NodeId): void {
    const entry = this.#entries.get(nodeKey(node))
    if (entry !== undefined) entry.echoes = []
  }

  remove(node: NodeId): void {
    this.#entries.delete(nodeKey(node))
  }
}

/** Candidates worth keeping of one box. */
export const MAX_CANDIDATES = 16
export const limited = (candidates: readonly Candidate[]): readonly Candidate[] => candidates.slice(0, MAX_CANDIDATES)

const NOWHERE = { 4: null, 6: null } as const
const ECHO_LIFE = seconds(30)
const MAX_ECHOES = 4
