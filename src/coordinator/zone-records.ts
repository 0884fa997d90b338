import { addressRecord, CLASS_IN, type DnsRecord, TYPE } from '#dnsfn/message.ts'
import { writeName } from '#dnsfn/wire-name.ts'
import type { Endpoint } from '#ntm-lib/addr/endpoint.ts'
import type { Fingerprint, NodeId } from '#ntm-lib/addr/ids.ts'
import { isIp4 } from '#ntm-lib/addr/ip.ts'
import { type Ip4, ip4FromWord } from '#ntm-lib/addr/ip4.ts'
import { type Ip6, ip6FromBytes } from '#ntm-lib/addr/ip6.ts'
import { be32, concat } from '#ntm-lib/base/bytes.ts'
import { invariant } from '#ntm-lib/base/invariant.ts'
import { encodeNtmService, encodeNtmv4, encodeNtmv6, type Published } from '#ntm-lib/dns/records.ts'
import type { Named } from './hosts.ts'
import { behindNat } from './locate.ts'
import type { Presence } from './presence.ts'
import type { CoordinatorSettings } from './settings.ts'

/** SOA of the zone; its TTL and minimum are the negative TTL (RFC 2308 §3). Refresh and the like matter to nobody here. */
export function soa(settings: CoordinatorSettings, serial: number): DnsRecord {
  const { zone, nameServers, dns } = settings
  const numbers = [serial, 3600, 600, 86_400, dns.negativeTtlSeconds].map(be32)
  const data = concat(named(nameServers[0] ?? zone), named(`hostmaster.${zone}`), ...numbers)
  return { name: zone, type: TYPE.SOA, class: CLASS_IN, ttl: dns.negativeTtlSeconds, data }
}

export const nameServerRecords = ({ zone, nameServers, dns }: CoordinatorSettings): DnsRecord[] =>
  nameServers.map((ns) => ({ name: zone, type: TYPE.NS, class: CLASS_IN, ttl: dns.recordTtlSeconds, data: named(ns) }))

/** Addresses of our own name server names: this coordinator. */
export const glue = (name: string, { endpoints, dns }: CoordinatorSettings): DnsRecord[] =>
  endpoints.map((e) => addressRecord(name, e.ip, dns.recordTtlSeconds))

/**
 * NTMv4 and NTMv6 of a box or a host behind one, and with `publish = "seed"` its real A and AAAA. A private zone has no real address
 * anywhere: it would let a host speak in clear when its bridge is down, and it tracks people.
 */
export function nodeRecords(
  { member, name, pair }: Named,
  presence: Presence | null,
  settings: CoordinatorSettings,
): DnsRecord[] {
  const { endpoints, dns, publish } = settings
  const seen = publish === 'seed' ? presence : null
  const common = { preferences: 0, node: member.node }
  const v4 = encodeNtmv4({
    ...common,
    vip: pair.vip4,
    coordinator: at4(endpoints)?.ip ?? ip4FromWord(0),
    port: at4(endpoints)?.port ?? at6(endpoints)?.port ?? 4330,
    published: seen === null ? null : published4(seen),
  })
  const v6 = encodeNtmv6({
    ...common,
    vip: pair.vip6,
    coordinator: at6(endpoints)?.ip ?? NO_IP6,
    port: at6(endpoints)?.port ?? at4(endpoints)?.port ?? 4330,
    published: seen === null ? null : published6(seen),
  })
  const record = (type: number, data: Uint8Array): DnsRecord =>
    ({ name, type, class: CLASS_IN, ttl: dns.recordTtlSeconds, data }) satisfies DnsRecord
  const real = seen === null ? [] : [seen.confirmed[4]?.ip ?? null, real6(seen)].filter((ip) => ip !== null)
  return [
    record(TYPE.NTM4, v4),
    record(TYPE.NTM6, v6),
    ...real.map((ip) => addressRecord(name, ip, dns.recordTtlSeconds)),
  ]
}

/** `_ntm._udp.<name>`: whom to ask for this box (of the zone itself: the coordinator), in one query. */
export function serviceRecord(
  owner: string,
  node: NodeId,
  { fingerprint, coordinatorKey }: { readonly fingerprint: Fingerprint; readonly coordinatorKey: Uint8Array },
  s: CoordinatorSettings,
): DnsRecord {
  const hints4 = s.endpoints.map((e) => e.ip).filter((ip) => isIp4(ip))
  const hints6 = s.endpoints.map((e) => e.ip).filter((ip): ip is Ip6 => !isIp4(ip))
  const port = s.endpoints[0]?.port ?? 4330
  const network = { node, fingerprint, coordinatorKey }
  const data = encodeNtmService({ priority: 1, target: '', port, hints4, hints6, ...network })
  return { name: owner, type: TYPE.SVCB, class: CLASS_IN, ttl: s.dns.recordTtlSeconds, data }
}

/** SEED 003 §3.1: real address, and the NAT's outside one. The port is ours: the seeds keep none. */
function published4(p: Presence): Published<Ip4> | null {
  const own = p.candidates.find((c) => isIp4(c.endpoint.ip))?.endpoint.ip
  const seen = p.confirmed[4]
  if (seen === null || !isIp4(seen.ip)) return null
  const nat = behindNat(p.candidates, seen)
  return {
    mappedPort: nat ? seen.port : 0,
    locationVersion: p.locationVersion,
    real: own !== undefined && isIp4(own) ? own : seen.ip,
    outside: nat ? seen.ip : ip4FromWord(0),
  }
}

function published6(p: Presence): Published<Ip6> | null {
  const real = real6(p)
  return real === null ? null : { mappedPort: 0, locationVersion: p.locationVersion, real, outside: NO_IP6 }
}

function real6(p: Presence): Ip6 | null {
  const ip = p.confirmed[6]?.ip ?? p.candidates.find((c) => !isIp4(c.endpoint.ip))?.endpoint.ip
  return ip === undefined || isIp4(ip) ? null : ip
}

function at4(endpoints: readonly Endpoint[]): { readonly ip: Ip4; readonly port: number } | null {
  for (const { ip, port } of endpoints) if (isIp4(ip)) return { ip, port }
  return null
}

function at6(endpoints: readonly Endpoint[]): { readonly ip: Ip6; readonly port: number } | null {
  for (const { ip, port } of endpoints) if (!isIp4(ip)) return { ip, port }
  return null
}

function named(name: string): Uint8Array {
  const bytes = writeName(name)
  invariant(bytes !== null, `not a domain name: ${name}`)
  return bytes
}

const NO_IP6: Ip6 = ip6FromBytes(new Uint8Array(16))
