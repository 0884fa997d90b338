import { type Endpoint, endpointText } from '#ntm-lib/addr/endpoint.ts'
import { type Ip, isIp4, sameIp } from '#ntm-lib/addr/ip.ts'
import type { Ip4 } from '#ntm-lib/addr/ip4.ts'
import { contains, type Prefix } from '#ntm-lib/addr/prefix.ts'
import { after, type Instant, type Millis, seconds } from '#ntm-lib/base/time.ts'

/** What a NAT's mapping or filter depends on at the far end. RFC 4787 §4.1 and §5. */
export type Dependence = 'independent' | 'address' | 'address-port'

export type GateKind = {
  readonly mapping: Dependence
  readonly filtering: Dependence
  /** RFC 4787 §6: one inside host reaches another by its outer address. */
  readonly hairpin: boolean
  /** A flow without a packet from inside for this long is forgotten; RFC 4787 REQ-5 asks for 120 s, home routers give 30. */
  readonly life: Millis
}

const usual = { hairpin: false, life: seconds(30) } as const
export const FULL_CONE: GateKind = { mapping: 'independent', filtering: 'independent', ...usual }
export const ADDRESS_RESTRICTED: GateKind = { mapping: 'independent', filtering: 'address', ...usual }
export const PORT_RESTRICTED: GateKind = { mapping: 'independent', filtering: 'address-port', ...usual }
export const SYMMETRIC: GateKind = { mapping: 'address-port', filtering: 'address-port', ...usual }

type Mapping = { readonly inside: Endpoint; readonly port: number; readonly asked: Map<string, Instant> }

/** What stands between a realm and the one around it, for one family. It knows headers only, like a real one. */
export interface Gate {
  /** What a datagram from inside looks like outside. */
  out(from: Endpoint, to: Endpoint, now: Instant): Endpoint
  /** Whom inside a datagram from outside is for; null when nobody asked for it. */
  in(from: Endpoint, to: Endpoint, now: Instant): Endpoint | null
  /** Whether an address outside is led to this gate. */
  owns(ip: Ip): boolean
  /** Forgets everything without a word, as after a power cut. */
  forget(): void
  readonly hairpin: boolean
}

/** An IPv4 NAT with one outer address. */
export class Nat4 implements Gate {
  readonly outer: Ip4
  readonly #kind: GateKind
  readonly #mappings = new Map<string, Mapping>()
  #nextPort: number

  constructor(outer: Ip4, kind: GateKind, firstPort = 40_000) {
    this.outer = outer
    this.#kind = kind
    this.#nextPort = firstPort
  }

  get hairpin(): boolean {
    return this.#kind.hairpin
  }

  owns(ip: Ip): boolean {
    return sameIp(ip, this.outer)
  }

  out(from: Endpoint, to: Endpoint, now: Instant): Endpoint {
    const key = `${endpointText(from)} ${farKey(this.#kind.mapping, to)}`
    let mapping = this.#mappings.get(key)
    if (mapping === undefined || !isLive(mapping, now)) {
      mapping = { inside: from, port: this.#nextPort++, asked: new Map() }
      this.#mappings.set(key, mapping)
    }
    mapping.asked.set(endpointText(to), after(now, this.#kind.life))
    return { ip: this.outer, port: mapping.port }
  }

  in(from: Endpoint, to: Endpoint, now: Instant): Endpoint | null {
    for (const m of this.#mappings.values())
      if (m.port === to.port && isLive(m, now))
        return letsIn(this.#kind.filtering, m.asked, from, now) ? m.inside : null
    return null
  }

  forget(): void {
    this.#mappings.clear()
  }
}

/** A stateful IPv6 packet filter: addresses stay, only answers come in; a flow lives two minutes. RFC 6092 REC-14, REC-18. */
export class Firewall6 implements Gate {
  readonly #prefix: Prefix
  readonly #life: Millis
  readonly #flows = new Map<string, Map<string, Instant>>()
  readonly hairpin = false

  constructor(prefix: Prefix, life: Millis = seconds(120)) {
    this.#prefix = prefix
    this.#life = life
  }

  owns(ip: Ip): boolean {
    return contains(this.#prefix, ip)
  }

  out(from: Endpoint, to: Endpoint, now: Instant): Endpoint {
    const key = endpointText(from)
    const asked = this.#flows.get(key) ?? new Map<string, Instant>()
    asked.set(endpointText(to), after(now, this.#life))
    this.#flows.set(key, asked)
    return from
  }

  in(from: Endpoint, to: Endpoint, now: Instant): Endpoint | null {
    const asked = this.#flows.get(endpointText(to))
    return asked !== undefined && letsIn('address-port', asked, from, now) ? to : null
  }

  forget(): void {
    this.#flows.clear()
  }
}

const isLive = (m: Mapping, now: Instant): boolean => [...m.asked.values()].some((until) => until > now)

function letsIn(filtering: Dependence, asked: ReadonlyMap<string, Instant>, from: Endpoint, now: Instant): boolean {
  if (filtering === 'independent') return true
  if (filtering === 'address-port') return (asked.get(endpointText(from)) ?? 0) > now
  for (const [text, until] of asked) if (until > now && text.startsWith(addressText(from))) return true
  return false
}

/** `192.0.2.1:` or `[2001:db8::1]:`: an endpoint's text up to its port. */
const addressText = (e: Endpoint): string => endpointText(e).slice(0, endpointText(e).lastIndexOf(':') + 1)

function farKey(dependence: Dependence, to: Endpoint): string {
  if (dependence === 'independent') return ''
  return dependence === 'address' ? addressText(to) : endpointText(to)
}

/** The gate of `gates` for this family. */
export const gateFor = (gates: { readonly 4: Gate | null; readonly 6: Gate | null }, ip: Ip): Gate | null =>
  isIp4(ip) ? gates[4] : gates[6]
