import { endpointText } from '#ntm-lib/addr/endpoint.ts'
import { nodeKey } from '#ntm-lib/addr/ids.ts'
import { ipText } from '#ntm-lib/addr/ip.ts'
import { Expiring } from '#ntm-lib/base/expiring.ts'
import { after, type Instant, seconds } from '#ntm-lib/base/time.ts'
import type { NodeEvent } from '#ntm-lib/negotiate/node-events.ts'
import type { PathStatus } from '#ntm-lib/negotiate/tunnels.ts'
import type { CounterMap } from '#ntm-lib/ports/counters.ts'
import type { Sought } from '#ntm-lib/wire/messages/direction.ts'
import type { RegistrationResponse } from '#ntm-lib/wire/messages/registration.ts'
import type { Box } from './box.ts'
import type { Status } from './control.ts'
import type { NtmNode } from './ntm-node.ts'

/** What went wrong lately, by whom it was about: a peer's name, a name asked for, an address. */
export class Troubles {
  readonly #by = new Expiring<string, { readonly what: string; readonly since: Instant }>(64)

  note(about: string, what: string, now: Instant): void {
    this.#by.set(about, { what, since: now }, after(now, KEPT))
  }

  /** The last one about this peer or name; null when there was none within the hour. */
  about(name: string, now: Instant): string | null {
    this.#by.sweep(now)
    return this.#by.get(name)?.what ?? null
  }

  list(now: Instant): Status[] {
    this.#by.sweep(now)
    return [...this.#by.entries()].map(([about, { what, since }]) => ({ about, what, agoSeconds: ago(since, now) }))
  }
}

/** What a box's status tells, whatever its role: who it is, its coordinator, its paths, what went wrong. It follows the node's events. */
export class BoxStatus {
  readonly troubles = new Troubles()
  readonly #made: Pick<NtmNode, 'name' | 'node'>
  readonly #box: Pick<Box, 'endpoints'>
  /** What was asked for, by tag, for the trouble's name. */
  readonly #asked = new Map<string, string>()
  /** Names of the boxes we had paths with, by `nodeKey`. */
  readonly #peers = new Map<string, string>()
  /** Of the last registration; null before the first. */
  answer: RegistrationResponse | null = null
  /** Why the coordinator did not serve us lately; null when it does. */
  #error: string | null = null

  constructor(made: Pick<NtmNode, 'name' | 'node'>, box: Pick<Box, 'endpoints'>) {
    this.#made = made
    this.#box = box
  }

  /** A direction is asked for; `tag` comes back in its event. */
  asked(tag: string, sought: Sought): void {
    this.#asked.set(tag, sought.by === 'name' ? sought.name : sought.by === 'vip' ? ipText(sought.vip) : '')
  }

  onEvent(event: NodeEvent, now: Instant): void {
    switch (event.event) {
      case 'registered':
        this.answer = event.answer
        this.#error = null
        return
      case 'refused':
        this.#error = `${event.code}: ${event.text}`
        return
      case 'offline':
        this.#error = 'does not answer'
        return
      case 'directed': {
        const about = this.#asked.get(event.tag) ?? event.tag
        this.#asked.delete(event.tag)
        if (!event.result.ok) this.troubles.note(about, `${event.result.code}: ${event.result.text}`, now)
        return
      }
      case 'path-open':
        return this.#met(event.contractHash)
      case 'path-gone':
        return this.troubles.note(this.#peers.get(nodeKey(event.peer)) ?? nodeKey(event.peer), event.why, now)
      default:
        // Nothing that a status would tell.
        return
    }
  }

  /** The first keys of the status; `docs/operating.md` lists them. */
  head(): Status {
    const { node, name } = this.#made
    return {
      name,
      virtual: this.answer === null ? [] : [ipText(this.answer.vip4), ipText(this.answer.vip6)],
      coordinator: { state: node.state, at: this.#box.endpoints.map(endpointText), lastError: this.#error },
    }
  }

  /** The same in one line, for a service manager: `bridge1.ntm.example: registered, 2 paths`. */
  line(): string {
    const { node, name } = this.#made
    const trouble = this.#error === null ? '' : ` (coordinator: ${this.#error})`
    const paths = node.tunnels.size
    return `${name || 'not a member yet'}: ${WORDS[node.state]}${trouble}, ${paths} ${paths === 1 ? 'path' : 'paths'}`
  }

  /** The last ones. */
  tail(now: Instant): Status {
    const paths = this.#made.node.tunnels.list(now).map((p) => pathStatus(p, this.troubles.about(p.peerName, now)))
    return { paths, troubles: this.troubles.list(now) }
  }

  /** Keeps the peer's name beyond the life of its path. */
  #met(contractHash: Uint8Array): void {
    const peer = this.#made.node.tunnels.byContract(contractHash)?.peer
    if (peer === undefined) return
    const oldest = this.#peers.keys().next().value
    if (this.#peers.size >= MOST_PEERS && oldest !== undefined) this.#peers.delete(oldest)
    this.#peers.set(nodeKey(peer.node), peer.name)
  }
}

/** The counters whose names begin with `prefix`, by the rest of their names, sorted. */
export const countsBelow = (counters: CounterMap, prefix: string): Readonly<Record<string, number>> =>
  Object.fromEntries(
    [...counters.values]
      .filter(([name, count]) => name.startsWith(prefix) && count > 0)
      .map(([name, count]) => [name.slice(prefix.length), count] as const)
      .toSorted(([a], [b]) => (a < b ? -1 : 1)),
  )

/** A path as `ntm status` tells it. */
export const pathStatus = (p: PathStatus, lastError: string | null): Status => ({
  peer: p.peerName,
  node: p.peer,
  state: p.silent ? 'silent' : p.state,
  way: p.way,
  why: p.why,
  lookedFor: p.rounds,
  at: p.at,
  rttMs: p.rtt === null ? null : Math.round(p.rtt * 10) / 10,
  bytesIn: p.innerBytesIn,
  bytesOut: p.innerBytesOut,
  ageSeconds: p.openFor === null ? null : Math.floor(p.openFor / 1000),
  mtuBytes: p.innerMtuBytes,
  lastError,
})

/** The coordinator's part in a line. */
const WORDS = {
  down: 'coordinator not reached yet',
  registering: 'registering',
  confirming: 'registering',
  registered: 'registered',
  refused: 'refused by the coordinator',
} as const
const ago = (since: Instant, now: Instant): number => Math.floor((now - since) / 1000)
const KEPT = seconds(3600)
const MOST_PEERS = 1024
