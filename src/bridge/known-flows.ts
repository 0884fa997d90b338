import type { Ip } from '#ntm-lib/addr/ip.ts'
import type { LinkAddr } from '#ntm-lib/addr/link.ts'
import type { Instant } from '#ntm-lib/base/time.ts'
import * as ip4 from '#ntm-lib/packet/ip4.ts'
import * as ip6 from '#ntm-lib/packet/ip6.ts'
import type { Way } from './frame.ts'
import type { Host } from './hosts.ts'
import type { Tunnel } from './routes.ts'

/** What was found out about the packets from one address to another. */
export type KnownFlow = {
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

/**
 * Remembers decisions for the packets that come next, by their pair of addresses: the packet path's short cut. Reads allocate
 * nothing. One place per hash: a pair that lands on another's place takes it.
 */
export class KnownFlows {
  readonly #flows: (KnownFlow | null)[] = new Array<KnownFlow | null>(PLACES).fill(null)
  /** Eight words per place: source and destination, IPv4 in the first word of each. */
  readonly #pairs = new Int32Array(PLACES * 8)
  readonly #families = new Uint8Array(PLACES)

  /** What is known and still holds about the IP packet at `at`, whose header is there. */
  find(v: DataView, at: number, routeChanges: number, now: Instant): KnownFlow | null {
    const place = placeOf(v, at)
    const flow = this.#flows[place] ?? null
    if (flow === null || flow.until <= now || flow.routeChanges !== routeChanges) return null
    return flow.hostChanges === flow.host.changes && this.#isPair(v, at, place) ? flow : null
  }

  /** Remembers it for the packets with the addresses of the one at `at`. */
  set(v: DataView, at: number, flow: KnownFlow): void {
    const place = placeOf(v, at)
    const family = ip4.version(v, at)
    const words = family === 4 ? 1 : 4
    const from = at + (family === 4 ? ip4.SOURCE_AT : ip6.SOURCE_AT)
    for (let i = 0; i < words; i++) {
      this.#pairs[8 * place + i] = v.getInt32(from + 4 * i)
      this.#pairs[8 * place + 4 + i] = v.getInt32(from + 4 * words + 4 * i)
    }
    this.#families[place] = family
    this.#flows[place] = flow
  }

  #isPair(v: DataView, at: number, place: number): boolean {
    const p = this.#pairs
    const k = 8 * place
    const family = ip4.version(v, at)
    if (this.#families[place] !== family) return false
    if (family === 4) return p[k] === v.getInt32(at + ip4.SOURCE_AT) && p[k + 4] === v.getInt32(at + ip4.DESTINATION_AT)
    for (let i = 0; i < 8; i++) if (p[k + i] !== v.getInt32(at + ip6.SOURCE_AT + 4 * i)) return false
    return true
  }
}

/** Neighbouring addresses differ in their last bytes, and so do pairs of them. */
function placeOf(v: DataView, at: number): number {
  const four = ip4.version(v, at) === 4
  const source = v.getInt32(four ? at + ip4.SOURCE_AT : at + ip6.SOURCE_AT + 12)
  const destination = v.getInt32(four ? at + ip4.DESTINATION_AT : at + ip6.DESTINATION_AT + 12)
  return (Math.imul(source, 0x9e3779b1) ^ Math.imul(destination, 0x85ebca6b)) >>> (32 - PLACE_BITS)
}

const PLACE_BITS = 8
const PLACES = 1 << PLACE_BITS
