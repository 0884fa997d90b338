import { type Ip, ipText } from '#ntm-lib/addr/ip.ts'
import { type Ip4, parseIp4 } from '#ntm-lib/addr/ip4.ts'
import { type Ip6, parseIp6 } from '#ntm-lib/addr/ip6.ts'
import { type LinkAddr, linkText, parseLink } from '#ntm-lib/addr/link.ts'
import type { Host } from './host.ts'

/**
 * What is kept of a host between runs of the program, as JSON has it: an old machine may say nothing for weeks, and is to be reachable all the
 * same after the box was restarted. Addresses as text; `tag`: TPID ≪ 16 | TCI.
 */
export type HostMemory = {
  readonly link: string
  readonly name?: string
  readonly tag?: number
  readonly gateway?: string
  readonly gatewayIp?: string
  readonly ip4?: readonly string[]
  readonly ip6?: readonly string[]
}

/** The same, read. */
export type Recalled = {
  readonly link: LinkAddr
  readonly name: string | null
  readonly tag: number
  readonly gatewayLink: LinkAddr | null
  readonly gatewayIp: Ip4 | null
  readonly ip4s: readonly Ip4[]
  readonly ip6s: readonly Ip6[]
}

/** Null for a host of which nothing is known that would help to reach it. */
export function memoryOf(h: Host): HostMemory | null {
  if (h.ip4s.length === 0 && h.ip6s.length === 0) return null
  const texts = (ips: readonly Ip[]): string[] => ips.map(ipText)
  return {
    link: linkText(h.link),
    ...(h.name === null ? {} : { name: h.name }),
    ...(h.tag === 0 ? {} : { tag: h.tag }),
    ...(h.gatewayLink === null ? {} : { gateway: linkText(h.gatewayLink) }),
    ...(h.gatewayIp === null ? {} : { gatewayIp: ipText(h.gatewayIp) }),
    ...(h.ip4s.length === 0 ? {} : { ip4: texts(h.ip4s) }),
    ...(h.ip6s.length === 0 ? {} : { ip6: texts(h.ip6s) }),
  }
}

/** The same for hosts whose addresses merely come in another order, which changes with every packet: not worth a disk write. */
export const memoryKey = (all: readonly HostMemory[]): string =>
  JSON.stringify(all.map((m) => ({ ...m, ip4: [...(m.ip4 ?? [])].sort(), ip6: [...(m.ip6 ?? [])].sort() })))

/** Reads what was kept. Total: what is not understood is left out. */
export function recall(kept: unknown): Recalled[] {
  if (!Array.isArray(kept)) return []
  return kept.flatMap((one: unknown) => {
    const m: Record<string, unknown> = typeof one === 'object' && one !== null ? { ...one } : {}
    const link = read(m['link'], parseLink)
    if (link === null) return []
    const tag = m['tag']
    return [
      {
        link,
        name: read(m['name'], (text) => (LABEL.test(text) ? text : null)),
        tag: typeof tag === 'number' && Number.isInteger(tag) && tag >= 0 && tag < 2 ** 32 ? tag : 0,
        gatewayLink: read(m['gateway'], parseLink),
        gatewayIp: read(m['gatewayIp'], parseIp4),
        ip4s: list(m['ip4'], parseIp4),
        ip6s: list(m['ip6'], parseIp6),
      },
    ]
  })
}

const read = <T>(value: unknown, parse: (text: string) => T | null): T | null =>
  typeof value === 'string' ? parse(value) : null

const list = <T extends Ip>(value: unknown, parse: (text: string) => T | null): T[] =>
  (Array.isArray(value) ? value : []).flatMap((text: unknown) => read(text, parse) ?? []).slice(0, MOST)

/** One DNS label. RFC 1035 §2.3.1. */
const LABEL = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/
const MOST = 8
