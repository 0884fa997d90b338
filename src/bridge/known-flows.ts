import type { Ip } from '#ntm-lib/addr/ip.ts'
import type { LinkAddr } from '#ntm-lib/addr/link.ts'
import type { Instant } from '#ntm-lib/base/time.ts'
import type { Way } from './frame.ts'
import type { Host } from './host.ts'
import { type Pair, PairTable } from './pair-table.ts'
import type { Tunnel } from './routes.ts'

/** What was found out about the packets from one address to another. */
export type KnownFlow = {
  readonly pair: Pair
  readonly host: Host
  readonly tunnel: Tunnel | null
  /** What the source (towards the tunnel) or the destination (towards the host) becomes. */
  readonly ip: Ip
  /** Towards the tunnel: the Ethernet address the host sent to. */
  readonly far: LinkAddr
  /** Towards the host: its frames' heads. */
  readonly way: Way
  /** `changes` of the host and of the routes when this was found out; it is void when either has moved on. */
  readonly hostChanges: number
  readonly routeChanges: number
  /** Then it is found out anew, so that what depends on time alone is kept fresh. */
  readonly until: Instant
}

/** Remembers decisions for the packets that come next: the packet path's short cut. */
export class KnownFlows {
  readonly #flows = new PairTable<KnownFlow>(PLACE_BITS)

  /** What is known and still holds about the IP packet at `at`, whose header is there. */
  find(v: DataView, at: number, routeChanges: number, now: Instant): KnownFlow | null {
    const flow = this.#flows.find(v, at)
    if (flow === null || flow.until <= now || flow.routeChanges !== routeChanges) return null
    return flow.hostChanges === flow.host.changes ? flow : null
  }

  set(flow: KnownFlow): void {
    this.#flows.set(flow.pair, flow)
  }
}

const PLACE_BITS = 8
