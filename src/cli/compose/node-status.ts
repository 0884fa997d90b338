import { endpointText } from '#ntm-lib/addr/endpoint.ts'
import { ipText } from '#ntm-lib/addr/ip.ts'
import type { VirtualPair } from '#ntm-lib/addr/virtual.ts'
import { Expiring } from '#ntm-lib/base/expiring.ts'
import { after, type Instant, seconds } from '#ntm-lib/base/time.ts'
import type { PathStatus } from '#ntm-lib/negotiate/tunnels.ts'
import type { NodeConfig } from '../config/schema.ts'
import type { Status } from './control.ts'
import type { NodeNames } from './node-names.ts'

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

export type NodeFacts = {
  readonly name: string
  readonly pair: VirtualPair | null
  readonly zones: readonly string[]
  readonly device: string
  readonly coordinator: { readonly state: string; readonly at: readonly string[]; readonly lastError: string | null }
  readonly names: NodeNames
  readonly dns: NodeConfig['dns']
  readonly paths: readonly PathStatus[]
  readonly troubles: Troubles
}

/** The terminal's status as JSON; `ntm status` prints it as text. */
export const nodeStatus = (f: NodeFacts, now: Instant): Status => ({
  name: f.name,
  virtual: f.pair === null ? [] : [ipText(f.pair.vip4), ipText(f.pair.vip6)],
  device: f.device,
  coordinator: f.coordinator,
  names: {
    mode: f.names.mode,
    listen: endpointText(f.dns.listen),
    zones: f.zones,
    servers: f.names.forwarder.servers.map(endpointText),
  },
  paths: f.paths.map((p) => pathStatus(p, f.troubles.about(p.peerName, now))),
  troubles: f.troubles.list(now),
})

/** A path as `ntm status` tells it. */
export const pathStatus = (p: PathStatus, lastError: string | null): Status => ({
  peer: p.peerName,
  node: p.peer,
  state: p.silent ? 'silent' : p.state,
  way: p.way,
  at: p.at,
  rttMs: p.rtt === null ? null : Math.round(p.rtt * 10) / 10,
  bytesIn: p.innerBytesIn,
  bytesOut: p.innerBytesOut,
  ageSeconds: p.openFor === null ? null : Math.floor(p.openFor / 1000),
  mtuBytes: p.innerMtuBytes,
  lastError,
})

const ago = (since: Instant, now: Instant): number => Math.floor((now - since) / 1000)
const KEPT = seconds(3600)
