import { type Ip, ipText, isIp4 } from '#ntm-lib/addr/ip.ts'
import { ip4FromBytes } from '#ntm-lib/addr/ip4.ts'
import type { Ip6 } from '#ntm-lib/addr/ip6.ts'
import { contains, type Prefix, parsePrefix } from '#ntm-lib/addr/prefix.ts'
import { invariant } from '#ntm-lib/base/invariant.ts'

/** Why the terminator will not send to an address; shown to operators and counted as `tt.egress.<why>`. */
export type EgressRefusal =
  | 'private'
  | 'loopback'
  | 'link-local'
  | 'multicast'
  | 'shared'
  | 'reserved'
  | 'documentation'
  | 'benchmark'
  | 'metadata'
  | 'transition'
  | 'own'
  | 'denied'
  | 'subnet'
  | 'virtual'

export type EgressSettings = {
  /** Networks opened on purpose, whatever the default list says; never our own addresses or virtual pools. */
  readonly allow: readonly Prefix[]
  /** Networks closed on purpose, also inside an allowed one. */
  readonly deny: readonly Prefix[]
  /** Addresses of coordinators, relays and this machine: refused for good. */
  readonly own: readonly Prefix[]
  /** Subnets this machine is attached to: refused unless allowed. */
  readonly subnets: readonly Prefix[]
  /** The network's virtual pools: a packet to them would come back into tunnels. */
  readonly virtual: readonly Prefix[]
}

/**
 * The egress policy: asked at every resolution and for every packet that opens a flow, since a name may change between.
 * An IPv6 address that carries an IPv4 address is judged by what it carries as well.
 */
export class EgressPolicy {
  #settings: EgressSettings
  #version = 0

  constructor(settings: EgressSettings) {
    this.#settings = settings
  }

  /** Rises with every change: whoever was let through before asks again. */
  get version(): number {
    return this.#version
  }

  /** This machine has other addresses or subnets now. */
  update(settings: Partial<EgressSettings>): void {
    this.#settings = { ...this.#settings, ...settings }
    this.#version++
  }

  /** Null when packets may go to `ip`. */
  refuses(ip: Ip): EgressRefusal | null {
    const { allow, subnets } = this.#settings
    const carried = isIp4(ip) ? null : carriedIp4(ip)
    const never = this.#never(ip) ?? (carried === null ? null : this.#never(carried))
    if (never !== null) return never
    if (allow.some((p) => contains(p, ip))) return null
    if (subnets.some((p) => contains(p, ip))) return 'subnet'
    for (const [prefix, why] of isIp4(ip) ? REFUSED4 : REFUSED6) if (contains(prefix, ip)) return why
    return carried === null ? null : this.refuses(carried)
  }

  /** For a log line or a Refusal's text. */
  explain(ip: Ip): string {
    const why = this.refuses(ip)
    return why === null ? `${ipText(ip)} is allowed` : `${ipText(ip)} is ${why}: not reachable through this terminator`
  }

  /** What `allow` cannot open: a tunnel would reach its own machinery, or no single host. */
  #never(ip: Ip): EgressRefusal | null {
    const { deny, own, virtual } = this.#settings
    if (own.some((p) => contains(p, ip))) return 'own'
    if (virtual.some((p) => contains(p, ip))) return 'virtual'
    if (deny.some((p) => contains(p, ip))) return 'denied'
    for (const [prefix, why] of NEVER) if (contains(prefix, ip)) return why
    return null
  }
}

/** The IPv4 address that a NAT64 address (RFC 6052 well-known prefix, RFC 8215 local-use /48 used as /96) carries. */
function carriedIp4(ip: Ip6): Ip | null {
  return NAT64.some((p) => contains(p, ip)) ? ip4FromBytes(ip, 12) : null
}

const list = (why: EgressRefusal, ...prefixes: readonly string[]): (readonly [Prefix, EgressRefusal])[] =>
  prefixes.map((text) => {
    const prefix = parsePrefix(text)
    invariant(prefix !== null, `${text} is no prefix`)
    return [prefix, why] as const
  })

const NAT64 = list('transition', '64:ff9b::/96', '64:ff9b:1::/48').map(([p]) => p)

/** Places that are never a server, whatever the settings say. */
const NEVER = [
  ...list('loopback', '127.0.0.0/8', '::1/128'),
  ...list('multicast', '224.0.0.0/4', 'ff00::/8'),
  ...list('transition', '::ffff:0.0.0.0/96'),
  ...list('reserved', '0.0.0.0/8', '255.255.255.255/32', '::/96'),
]

/** IANA IPv4 special-purpose registry and class D and E; the narrow ones first, they say more. */
const REFUSED4 = [
  ...list('metadata', '169.254.169.254/32', '100.100.100.200/32', '168.63.129.16/32', '192.0.0.192/32'),
  ...list('private', '10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16'),
  ...list('loopback', '127.0.0.0/8'),
  ...list('link-local', '169.254.0.0/16'),
  ...list('multicast', '224.0.0.0/4'),
  ...list('shared', '100.64.0.0/10'),
  ...list('documentation', '192.0.2.0/24', '198.51.100.0/24', '203.0.113.0/24'),
  ...list('benchmark', '198.18.0.0/15'),
  ...list('reserved', '0.0.0.0/8', '192.0.0.0/24', '192.88.99.0/24', '240.0.0.0/4'),
]

/** IANA IPv6 special-purpose registry. 64:ff9b:: is judged by the IPv4 address in it. */
const REFUSED6 = [
  ...list('metadata', 'fd00:ec2::254/128', 'fd20:ce::254/128'),
  ...list('loopback', '::1/128'),
  ...list('private', 'fc00::/7', 'fec0::/10'),
  ...list('link-local', 'fe80::/10'),
  ...list('multicast', 'ff00::/8'),
  ...list('transition', '::ffff:0.0.0.0/96', '::ffff:0:0:0/96', '2002::/16', '2001::/32'),
  ...list('documentation', '2001:db8::/32', '3fff::/20'),
  ...list('benchmark', '2001:2::/48'),
  // ::/96 holds the unspecified address and the long-dead IPv4-compatible ones; 100::/64 discards.
  ...list('reserved', '::/96', '100::/64', '2001:10::/28', '2001:20::/28', '5f00::/16'),
]
