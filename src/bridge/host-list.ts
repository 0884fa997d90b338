import { ipText } from '#ntm-lib/addr/ip.ts'
import { linkText } from '#ntm-lib/addr/link.ts'
import { between, type Instant } from '#ntm-lib/base/time.ts'
import type { Host } from './host.ts'

/** One host behind the bridge as a status page shows it; plain values. */
export type HostShown = {
  /** Its own word by DHCP; empty when it said none. */
  readonly name: string
  readonly linkAddr: string
  /** Its virtual pair; empty before the coordinator granted one. */
  readonly virtual: readonly string[]
  /** Its real addresses, newest first. */
  readonly real: readonly string[]
  readonly families: readonly (4 | 6)[]
  /** Whether it has spoken since the program started; else it is only remembered. */
  readonly heard: boolean
  readonly seenSecondsAgo: number
}

export const hostList = (hosts: Iterable<Host>, now: Instant): HostShown[] =>
  [...hosts].map((h) => ({
    name: h.name ?? '',
    linkAddr: linkText(h.link),
    virtual: [h.vip4, h.vip6].flatMap((ip) => (ip === null ? [] : [ipText(ip)])),
    real: [...h.ip4s, ...h.ip6s].map(ipText),
    families: [...(h.ip4s.length > 0 ? [4 as const] : []), ...(h.ip6s.length > 0 ? [6 as const] : [])],
    heard: h.heard,
    seenSecondsAgo: Math.floor(between(h.seen, now) / 1000),
  }))
