import type { BridgeIn, PresentHost } from '#bridge/types.ts'
import { type Ip, isIp4, sameIp } from '#ntm-lib/addr/ip.ts'
import type { VirtualPair } from '#ntm-lib/addr/virtual.ts'
import { hex } from '#ntm-lib/base/hex.ts'
import type { NodeEvent } from '#ntm-lib/negotiate/node-events.ts'
import type { Log } from '#ntm-lib/ports/log.ts'
import { decodeContract } from '#ntm-lib/wire/contract.ts'
import type { HostGrant } from '#ntm-lib/wire/messages/common.ts'
import type { Route } from '#ntm-lib/wire/messages/direction.ts'
import { nameOf } from './box.ts'

type Visitor = Extract<BridgeIn, { in: 'visitor' }>
type Asked = Extract<NodeEvent, { event: 'asked' }>['message']
/** A box of the network that may reach a host behind us; `host` is who it asked for first. */
type Visit = { readonly peer: string; readonly host: string }

/**
 * Who was let in to which host: told when the coordinator announces it, and again when the path stands or goes. Operators must be able to say
 * who reached a machine that cannot say it itself.
 */
export class Visits {
  readonly #log: Log
  readonly #tell: (input: Visitor) => void
  readonly #hash: (bytes: Uint8Array) => Uint8Array
  readonly #visits = new Map<string, Visit>()
  #grants: readonly HostGrant[] = []
  #hosts: readonly PresentHost[] = []

  constructor(log: Log, hash: (bytes: Uint8Array) => Uint8Array, tell: (input: Visitor) => void) {
    this.#tell = tell
    this.#log = log
    this.#hash = hash
  }

  granted(grants: readonly HostGrant[]): void {
    this.#grants = grants
  }

  present(hosts: readonly PresentHost[]): void {
    this.#hosts = hosts
  }

  /** A direction towards us is accepted; what its host has is for the answer. */
  asked(message: Asked): { readonly ttlSeconds: number; readonly families: number } {
    const sought = message.target === null ? undefined : this.#behind(message.target.vip4)
    const host = sought?.name ?? ''
    if (message.kind === 'path-extend') {
      const known = this.#visits.get(hex(message.contractHash))
      if (known !== undefined) this.#log.info('inbound.asked', { ...known, host })
    } else {
      const visit = { peer: nameOf(message.route.peerChain), host }
      const pair = visitorOf(message.route)
      if (pair !== null && visit.peer !== '') this.#tell({ in: 'visitor', name: visit.peer, ...pair })
      this.#visits.set(hex(this.#hash(message.route.contract)), visit)
      this.#log.info('inbound.asked', visit)
    }
    return { ttlSeconds: TTL_SECONDS, families: sought?.families ?? 0 }
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

  #behind(vip: Ip): PresentHost | undefined {
    const grant = this.#grants.find((g) => sameIp(g.vip4, vip))
    return this.#hosts.find((h) => grant !== undefined && hex(h.host) === hex(grant.host))
  }
}

/**
 * The addresses that the peer's name leads to: a node's own, or those of the only host behind a bridge. Null when there are several hosts:
 * which of them is the first one only the coordinator knows.
 */
function visitorOf({ contract, youAre }: Route): VirtualPair | null {
  const read = decodeContract(contract)
  if (!read.ok) return null
  // The box's own pair first, then its hosts'.
  const allowed = youAre === 'opener' ? read.value.acceptorAllowed : read.value.openerAllowed
  const [vip4, vip6] = allowed.slice(-2).map((p) => p.base)
  if (allowed.length > 4 || vip4 === undefined || vip6 === undefined || !isIp4(vip4) || isIp4(vip6)) return null
  return { vip4, vip6 }
}

/** How long the families hold: a host may get IPv6 at any time. */
const TTL_SECONDS = 60
