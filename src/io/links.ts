import { type Ip, isIp4, parseIp } from '#ntm-lib/addr/ip.ts'
import { type LinkAddr, parseLink } from '#ntm-lib/addr/link.ts'
import { host, type Prefix, parsePrefix } from '#ntm-lib/addr/prefix.ts'
import { IoFault } from './fault.ts'
import { run } from './run.ts'

/** A network interface as the kernel shows it now. */
export type Link = {
  readonly ifindex: number
  readonly name: string
  readonly linkAddr: LinkAddr | null
  readonly mtuBytes: number
  readonly up: boolean
  readonly carrier: boolean
  /** `veth`, `bridge`, `tun`, …; null for a plain device. */
  readonly kind: string | null
  /** The bridge or bond it belongs to. */
  readonly master: string | null
}

export type InterfaceAddress = {
  readonly ifindex: number
  readonly ifname: string
  readonly ip: Ip
  readonly bits: number
  readonly scope: string
  /** IPv6 duplicate detection is not finished, or failed: not usable. */
  readonly tentative: boolean
}

export type Route = {
  /** null: the default route. */
  readonly to: Prefix | null
  readonly family: 4 | 6
  readonly via: Ip | null
  readonly ifname: string | null
  readonly metric: number
  /** `unicast`, `blackhole`, … */
  readonly type: string
}

/** Runs `ip` with these arguments. IoFault with what it said when it refuses. */
export const ip = (...args: readonly string[]): Promise<string> => run('ip', args)

/** Runs many `ip` command lines in one process; stops at the first that fails (those before it are done). */
export async function ipBatch(lines: readonly string[]): Promise<void> {
  if (lines.length > 0) await run('ip', ['-batch', '-'], { input: `${lines.join('\n')}\n` })
}

export async function listLinks(): Promise<Link[]> {
  return (await json(['-details', 'link', 'show'])).map((row) => {
    const flags = list(row['flags'])
    return {
      ifindex: num(row['ifindex']),
      name: text(row['ifname']),
      linkAddr: parseLink(text(row['address'])),
      mtuBytes: num(row['mtu']),
      up: flags.includes('UP'),
      carrier: flags.includes('LOWER_UP'),
      kind: text(record(row['linkinfo'])['info_kind']) || null,
      master: text(row['master']) || null,
    }
  })
}

export async function listAddresses(): Promise<InterfaceAddress[]> {
  return (await json(['address', 'show'])).flatMap((row) =>
    list(row['addr_info']).flatMap((value) => {
      const info = record(value)
      const address = parseIp(text(info['local']))
      if (address === null) return []
      return [
        {
          ifindex: num(row['ifindex']),
          ifname: text(row['ifname']),
          ip: address,
          bits: num(info['prefixlen']),
          scope: text(info['scope']),
          tentative: info['tentative'] === true || info['dadfailed'] === true,
        },
      ]
    }),
  )
}

/** The main table, or another one. */
export async function listRoutes(family: 4 | 6, table = 'main'): Promise<Route[]> {
  return (await json([`-${family}`, 'route', 'show', 'table', table])).flatMap((row) => {
    const dst = text(row['dst'])
    const to = dst === 'default' ? null : prefixOf(dst)
    if (to === undefined) return []
    // An IPv4 route via an IPv6 router is written as an object with its family.
    const via = parseIp(text(row['gateway']) || text(record(row['via'])['host']))
    return [
      {
        to,
        family,
        via,
        ifname: text(row['dev']) || null,
        metric: num(row['metric']),
        type: text(row['type']) || 'unicast',
      },
    ]
  })
}

function prefixOf(dst: string): Prefix | undefined {
  const single = parseIp(dst)
  return single !== null ? host(single) : (parsePrefix(dst) ?? undefined)
}

/** Whether an address is of use beyond its link. RFC 4291 §2.5.6, RFC 3927. */
export function isRoutable(address: InterfaceAddress): boolean {
  return address.scope === 'global' && !address.tentative && (isIp4(address.ip) || (address.ip[0] ?? 0) !== 0xfe)
}

async function json(args: readonly string[]): Promise<Readonly<Record<string, unknown>>[]> {
  const said = await run('ip', ['-j', ...args])
  try {
    // Empty objects stand for entries that `ip` filtered out.
    const rows: unknown = said.trim() === '' ? [] : JSON.parse(said)
    return list(rows).map(record)
  } catch (cause) {
    throw new IoFault(`read the output of ip -j ${args.join(' ')}`, cause)
  }
}

const list = (v: unknown): unknown[] => (Array.isArray(v) ? v : [])
const text = (v: unknown): string => (typeof v === 'string' ? v : '')
const num = (v: unknown): number => (typeof v === 'number' ? v : 0)
const record = (v: unknown): Readonly<Record<string, unknown>> =>
  typeof v === 'object' && v !== null ? (v as Readonly<Record<string, unknown>>) : {}
