import { type Ip, sameIp } from '#ntm-lib/addr/ip.ts'
import { hex } from '#ntm-lib/base/hex.ts'
import type { NodeEvent } from '#ntm-lib/negotiate/node-events.ts'
import type { Log } from '#ntm-lib/ports/log.ts'
import type { HostClaim, HostGrant } from '#ntm-lib/wire/messages/common.ts'
import { nameOf } from './box.ts'

type Asked = Extract<NodeEvent, { event: 'asked' }>['message']
/** A box of the network that may reach a host behind us; `host` is who it asked for first. */
type Visit = { readonly peer: string; readonly host: string }

/**
 * Who was let in to which host: told when the coordinator announces it, and again when the path stands or goes. Operators must be able to say
 * who reached a machine that cannot say it itself.
 */
export class Visits {
  readonly #log: Log
  readonly #hash: (bytes: Uint8Array) => Uint8Array
  readonly #visits = new Map<string, Visit>()
  #grants: readonly HostGrant[] = []

  constructor(log: Log, hash: (bytes: Uint8Array) => Uint8Array) {
    this.#log = log
    this.#hash = hash
  }

  granted(grants: readonly HostGrant[]): void {
    this.#grants = grants
  }

  /** The direction was accepted. `hosts`: who is behind us, by the names that were claimed. */
  asked(message: Asked, hosts: readonly HostClaim[]): void {
    const host = message.target === null ? '' : this.#hostOf(message.target.vip4, hosts)
    if (message.kind === 'path-extend') {
      const known = this.#visits.get(hex(message.contractHash))
      if (known !== undefined) this.#log.info('inbound.asked', { ...known, host })
      return
    }
    const visit = { peer: nameOf(message.route.peerChain), host }
    this.#visits.set(hex(this.#hash(message.route.contract)), visit)
    this.#log.info('inbound.asked', visit)
  }

  /** What becomes of paths; those that we asked for ourselves are nobody's visit. */
  onPath(event: Extract<NodeEvent, { event: 'path-open' | 'path-way' | 'path-gone' }>): void {
    const key = hex(event.contractHash)
    const visit = this.#visits.get(key)
    if (visit === undefined) return
    if (event.event === 'path-open') return this.#log.info('inbound.open', visit)
    if (event.event === 'path-way') return this.#log.info('inbound.way', { ...visit, way: event.way })
    this.#visits.delete(key)
    this.#log.info('inbound.closed', { ...visit, why: event.why })
  }

  #hostOf(vip: Ip, hosts: readonly HostClaim[]): string {
    const grant = this.#grants.find((g) => sameIp(g.vip4, vip))
    const claim = hosts.find((h) => grant !== undefined && hex(h.host) === hex(grant.host))
    return claim?.name ?? ''
  }
}
