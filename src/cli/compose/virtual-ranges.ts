import type { NetworkWish } from '#coordinator/network.ts'
import { type Ip, ipText, isIp4 } from '#ntm-lib/addr/ip.ts'
import { contains, covers, overlaps, type Prefix, parsePrefix, prefixText } from '#ntm-lib/addr/prefix.ts'
import { DEFAULT_NODES4, DEFAULT_SERVERS4 } from '#ntm-lib/addr/virtual.ts'
import { invariant } from '#ntm-lib/base/invariant.ts'
import { UsageError } from '../usage-error.ts'

export type RangeOptions = { readonly nodes4?: string; readonly servers4?: string; readonly ula?: string }
type Ranges = Pick<NetworkWish, 'nodes4' | 'servers4' | 'ula'>

/**
 * The virtual ranges of a new network from the command line; what is absent is left to the defaults. Throws UsageError
 * with what would be right. `taken` are addresses that must stay real: the coordinator's own.
 */
export function virtualRanges(o: RangeOptions, taken: readonly Ip[]): Ranges {
  const nodes4 = o.nodes4 === undefined ? undefined : range4('nodes4', o.nodes4)
  const servers4 = o.servers4 === undefined ? undefined : range4('servers4', o.servers4)
  const ula = o.ula === undefined ? undefined : ulaOf(o.ula)
  const [nodes, servers] = [nodes4 ?? DEFAULT_NODES4, servers4 ?? DEFAULT_SERVERS4]
  if (overlaps(nodes, servers)) {
    const [option, both] = [servers4 === undefined ? 'nodes4' : 'servers4', [nodes, servers].map(prefixText)]
    throw new UsageError(`--${option}: nodes and servers need ranges of their own; ${both.join(' and ')} overlap`)
  }
  const all: readonly (readonly [string, Prefix | undefined])[] = [
    ['nodes4', nodes],
    ['servers4', servers],
    ['ula', ula?.nodes6],
    ['ula', ula?.servers],
  ]
  for (const [option, p] of all)
    for (const ip of taken)
      if (p !== undefined && contains(p, ip)) {
        throw new UsageError(`--${option}: the coordinator's own address ${ipText(ip)} lies in ${prefixText(p)}`)
      }
  return {
    ...(nodes4 === undefined ? {} : { nodes4 }),
    ...(servers4 === undefined ? {} : { servers4 }),
    ...(ula === undefined ? {} : { ula }),
  }
}

function range4(option: string, text: string): Prefix {
  const p = parsePrefix(text.trim())
  const right = `For example --${option} ${option === 'nodes4' ? '10.98.0.0/16' : '10.99.0.0/16'}`
  if (p === null || !isIp4(p.base)) {
    throw new UsageError(`--${option} ${text}: expected an IPv4 prefix whose host bits are zero. ${right}`)
  }
  if (p.bits < 8 || p.bits > 29) {
    throw new UsageError(`--${option} ${text}: expected 8 to 29 bits, so that it has addresses to give. ${right}`)
  }
  const never = NEVER.find((n) => overlaps(n, p))
  if (never !== undefined) {
    throw new UsageError(`--${option} ${text}: ${prefixText(never)} cannot be used as ordinary addresses. ${right}`)
  }
  return p
}

function ulaOf(text: string): NonNullable<NetworkWish['ula']> {
  const parts = text.split(',').map((part) => parsePrefix(part.trim()))
  const [nodes6, servers, ...rest] = parts
  const right = 'For example --ula fd12:3456:789a::/48,fd12:3456:789b::/64'
  if (nodes6 === undefined || rest.length > 0 || parts.some((p) => p === null || !covers(ULA, p))) {
    throw new UsageError(`--ula ${text}: expected one or two prefixes within fd00::/8. ${right}`)
  }
  if (nodes6 === null || nodes6.bits !== 48) throw new UsageError(`--ula ${text}: the nodes' prefix is a /48. ${right}`)
  if (servers === undefined || servers === null) return { nodes6 }
  if (servers.bits !== 64) throw new UsageError(`--ula ${text}: the servers' prefix is a /64. ${right}`)
  if (overlaps(nodes6, servers)) {
    throw new UsageError(`--ula ${text}: the servers' prefix must lie outside the nodes'. ${right}`)
  }
  return { nodes6, servers }
}

function prefix(text: string): Prefix {
  const parsed = parsePrefix(text)
  invariant(parsed !== null, `a prefix: ${text}`)
  return parsed
}

/** RFC 4193 §3.1: locally assigned. */
const ULA = prefix('fd00::/8')
/** RFC 6890: this network, loopback, link-local, multicast and reserved. */
const NEVER = ['0.0.0.0/8', '127.0.0.0/8', '169.254.0.0/16', '224.0.0.0/3'].map(prefix)
