import { type Endpoint, endpointText, sameEndpoint } from '#ntm-lib/addr/endpoint.ts'
import { type NodeId, nodeKey } from '#ntm-lib/addr/ids.ts'
import { type Family, family } from '#ntm-lib/addr/ip.ts'
import { same } from '#ntm-lib/base/bytes.ts'
import { after, type Instant, seconds } from '#ntm-lib/base/time.ts'
import type { Candidate } from '#ntm-lib/wire/messages/common.ts'
import type { RelayReading } from '#ntm-lib/wire/messages/relay.ts'
import type { Location } from './locate.ts'

/** A registered box, in memory only: after a restart everybody registers again. */
export type Presence = Location & {
  readonly node: NodeId
  readonly roles: number
  readonly bootId: Uint8Array
  readonly locationVersion: number
  /** Confirmed changes since the node's last location version: a NAT moves a box that does not know of it. */
  readonly changes: number
  /** When its membership ends, seconds since 1970. */
  readonly expires: number
  /** Of a relay or terminator, 0 to 100, as it said last. */
  readonly loadPercent: number
  /** Its round trips to relays. */
  readonly relays: readonly RelayReading[]
  /** Hosts behind it in its last registration, in hex. */
  readonly hosts: ReadonlySet<string>
}

/** What a registration says of a presence. */
export type Registered = Omit<Presence, 'confirmed' | 'observed' | 'changes'>

type Echo = { readonly nonce: Uint8Array; readonly endpoint: Endpoint; readonly until: Instant }
type Entry = {
  presence: Presence
  echoes: Echo[]
  /** Where it was when an echo came back last; null before the first. */
  place: string | null
}

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
   * Endpoints confirmed in an earlier start, or in a network the box has left, must be confirmed again.
   */
  put(of: Registered, observed: Endpoint): Presence {
    const entry = this.#entries.get(nodeKey(of.node))
    const before = entry?.presence
    this.#boots.set(nodeKey(of.node), of.bootId)
    if (entry === undefined || before === undefined || !same(before.bootId, of.bootId)) {
      const presence: Presence = { ...of, observed, confirmed: NOWHERE, changes: 0 }
      this.#entries.set(nodeKey(of.node), { presence, echoes: [], place: null })
      return presence
    }
    if (of.locationVersion < before.locationVersion) return before
    const confirmed = { 4: remaining(before, of, observed, 4), 6: remaining(before, of, observed, 6) }
    const changes = of.locationVersion === before.locationVersion ? before.changes : 0
    entry.presence = { ...of, observed, confirmed, changes }
    return entry.presence
  }

  /** A relay's or terminator's own word on how busy it is. */
  putLoad(node: NodeId, loadPercent: number): void {
    const entry = this.#entries.get(nodeKey(node))
    if (entry !== undefined) entry.presence = { ...entry.presence, loadPercent }
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
   * whether the box is elsewhere than at its last echo.
   */
  confirm(node: NodeId, nonce: Uint8Array, from: Endpoint, now: Instant): 'first' | 'moved' | 'same' | null {
    const entry = this.#entries.get(nodeKey(node))
    const echo = entry?.echoes.find((e) => same(e.nonce, nonce) && e.until > now && sameEndpoint(e.endpoint, from))
    if (entry === undefined || echo === undefined) return null
    entry.echoes = entry.echoes.filter((e) => e !== echo)
    const of = family(from.ip)
    const { confirmed, changes } = entry.presence
    const known = confirmed[of] !== null && sameEndpoint(confirmed[of], from)
    entry.presence = {
      ...entry.presence,
      confirmed: { ...confirmed, [of]: from },
      changes: known ? changes : changes + 1,
    }
    const before = entry.place
    entry.place = placeKey(entry.presence)
    return before === null ? 'first' : before === entry.place ? 'same' : 'moved'
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

/** Equal as long as a box is where it was. */
export function placeKey({ candidates, confirmed }: Presence): string {
  const own = candidates.map((c) => endpointText(c.endpoint)).toSorted()
  return [confirmed[4], confirmed[6]].map((e) => (e === null ? '-' : endpointText(e))).join(' ') + own.join(' ')
}

/** Rises with every change of a box's whereabouts, its own and those only we see; a u32. */
export const whereVersion = (p: Presence): number => (p.locationVersion % 2 ** 26) * 64 + Math.min(p.changes, 63)

/** What is left of a confirmed endpoint: a box whose own addresses changed has left the network it was confirmed in. */
function remaining(before: Presence, now: Registered, observed: Endpoint, of: Family): Endpoint | null {
  const confirmed = before.confirmed[of]
  if (confirmed === null || sameEndpoint(confirmed, observed)) return confirmed
  const own = (candidates: readonly Candidate[]): string =>
    candidates
      .filter((c) => family(c.endpoint.ip) === of)
      .map((c) => endpointText(c.endpoint))
      .toSorted()
      .join()
  return own(before.candidates) === own(now.candidates) ? confirmed : null
}

/** Candidates worth keeping of one box. */
export const MAX_CANDIDATES = 16
export const limited = (candidates: readonly Candidate[]): readonly Candidate[] => candidates.slice(0, MAX_CANDIDATES)

const NOWHERE = { 4: null, 6: null } as const
const ECHO_LIFE = seconds(30)
const MAX_ECHOES = 4
