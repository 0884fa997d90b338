import type { Ip } from '#ntm-lib/addr/ip.ts'
import { parseIp } from '#ntm-lib/addr/ip.ts'
import { parsePrefix } from '#ntm-lib/addr/prefix.ts'
import { BugError } from '#ntm-lib/base/invariant.ts'
import { ADDRESS_RESTRICTED, Firewall6, FULL_CONE, type GateKind, Nat4, PORT_RESTRICTED, SYMMETRIC } from './gate.ts'
import { type Internet, type Plug, Realm } from './internet.ts'

/** The kinds of places a box may be at, as issue and `docs/nat-grid.md` name them. */
export const KINDS = [
  'none',
  'full cone',
  'address-restricted',
  'port-restricted',
  'symmetric',
  'double NAT',
  'v6 firewall',
  'v4-only',
  'v6-only',
] as const
export type Kind = (typeof KINDS)[number]

const NATS: Partial<Record<Kind, GateKind>> = {
  'full cone': FULL_CONE,
  'address-restricted': ADDRESS_RESTRICTED,
  'port-restricted': PORT_RESTRICTED,
  symmetric: SYMMETRIC,
}

/** A fresh place of this kind; `nr` (1–254) tells its outer addresses apart. All private networks use the same prefix. */
export function placeOf(net: Internet, kind: Kind, nr: number): Plug {
  const [v4, v6] = [global4(nr), global6(nr)]
  switch (kind) {
    case 'none':
      return at(net.core, v4, v6)
    case 'v4-only':
      return at(net.core, v4)
    case 'v6-only':
      return at(net.core, v6)
    case 'v6 firewall':
      return at(firewalled(net, `home${nr}`, nr), v6)
    case 'double NAT': {
      const carrier = new Realm(`carrier${nr}`, net.core, { 4: new Nat4(ip4(v4), PORT_RESTRICTED) })
      const home = new Realm(`home${nr}`, carrier, { 4: new Nat4(ip4('100.64.0.7'), PORT_RESTRICTED, 50_000) })
      return at(home, PRIVATE)
    }
    default: {
      const gate = NATS[kind]
      if (gate === undefined) throw new BugError(`no such place: ${kind}`)
      return at(natted(net, `home${nr}`, nr, gate), PRIVATE)
    }
  }
}

/** A private IPv4 network behind one NAT. */
export const natted = (net: Internet, name: string, nr: number, kind: GateKind = PORT_RESTRICTED): Realm =>
  new Realm(name, net.core, { 4: new Nat4(ip4(global4(nr)), kind) })

/** An IPv6 network behind a stateful filter. */
export function firewalled(net: Internet, name: string, nr: number): Realm {
  const prefix = parsePrefix(`2001:db8:${nr.toString(16)}::/48`)
  if (prefix === null) throw new BugError('a prefix')
  return new Realm(name, net.core, { 6: new Firewall6(prefix) })
}

/** An interface there with these addresses. */
export const at = (realm: Realm, ...ips: readonly string[]): Plug => ({ realm, ips: ips.map(ipOf), metric: 100 })

export const global4 = (nr: number): string => `203.0.113.${nr}`
export const global6 = (nr: number): string => `2001:db8:${nr.toString(16)}::1`
export const PRIVATE = '192.168.1.2'

export function ipOf(text: string): Ip {
  const ip = parseIp(text)
  if (ip === null) throw new BugError(`not an address: ${text}`)
  return ip
}

function ip4(text: string) {
  const ip = ipOf(text)
  if (typeof ip !== 'number') throw new BugError(`not IPv4: ${text}`)
  return ip
}
