import { type Endpoint, endpointText } from '#ntm-lib/addr/endpoint.ts'
import { type Ip, sameIp } from '#ntm-lib/addr/ip.ts'

/** RFC 4787 §4.1 (mapping) and §5 (filtering). */
export type NatKind = {
  readonly mapping: 'endpoint-independent' | 'address-and-port-dependent'
  readonly filtering: 'endpoint-independent' | 'address-and-port-dependent'
}
export const FULL_CONE: NatKind = { mapping: 'endpoint-independent', filtering: 'endpoint-independent' }
export const PORT_RESTRICTED: NatKind = { mapping: 'endpoint-independent', filtering: 'address-and-port-dependent' }
export const SYMMETRIC: NatKind = { mapping: 'address-and-port-dependent', filtering: 'address-and-port-dependent' }

type Mapping = { readonly inside: Endpoint; readonly port: number; readonly asked: Set<string> }

/** A NAT with one outer address. Knows only headers, like a real one. */
export class Nat {
  readonly outer: Ip
  readonly #kind: NatKind
  readonly #mappings = new Map<string, Mapping>()
  #nextPort = 40_000

  constructor(outer: Ip, kind: NatKind = PORT_RESTRICTED) {
    this.outer = outer
    this.#kind = kind
  }

  /** The source that the outside sees. */
  out(from: Endpoint, to: Endpoint): Endpoint {
    const independent = this.#kind.mapping === 'endpoint-independent'
    const key = independent ? endpointText(from) : `${endpointText(from)} ${endpointText(to)}`
    let mapping = this.#mappings.get(key)
    if (mapping === undefined) {
      mapping = { inside: from, port: this.#nextPort++, asked: new Set() }
      this.#mappings.set(key, mapping)
    }
    mapping.asked.add(endpointText(to))
    return { ip: this.outer, port: mapping.port }
  }

  /** Whom inside a datagram to our outer address is for; null when nobody asked for it. */
  in(from: Endpoint, to: Endpoint): Endpoint | null {
    if (!sameIp(to.ip, this.outer)) return null
    for (const m of this.#mappings.values()) {
      if (m.port !== to.port) continue
      return this.#kind.filtering === 'endpoint-independent' || m.asked.has(endpointText(from)) ? m.inside : null
    }
    return null
  }

  /** Forgets everything, as after a power cut: the next datagram out gets another port. */
  rebind(): void {
    this.#mappings.clear()
  }
}
