import type { NodeId } from '#ntm-lib/addr/ids.ts'
import { type Ip4, ip4FromWord } from '#ntm-lib/addr/ip4.ts'
import type { Ip6 } from '#ntm-lib/addr/ip6.ts'
import { contains, type Prefix } from '#ntm-lib/addr/prefix.ts'
import { ascii } from '#ntm-lib/base/bytes.ts'
import type { CryptoSuite } from '#ntm-lib/crypto/suite.ts'
import type { CoordinatorStore } from '#ntm-lib/ports/coordinator-store.ts'
import { filled, firstUsable, isUsable, lastUsable } from './ranges.ts'
import type { CoordinatorSettings } from './settings.ts'

/** The virtual address of a host behind a bridge: the nodes' /48 and 80 bits of a hash of (node, host). */
export const hostVip6 = (nodes6: Prefix, suite: Pick<CryptoSuite, 'hash'>, node: NodeId, host: Uint8Array): Ip6 =>
  filled(nodes6, 6, suite.hash(ascii('ntm1 host vip6'), node, host))

/** The next IPv4 address for a member or a host; these are never given twice. Null when the slice is used up. */
export function nextNodeVip4(store: CoordinatorStore, { plan, slice }: NodeRanges): Ip4 | null {
  const own = slice?.own ?? plan.nodes4
  const highest = store.highestNodeVip4()
  for (let at = highest === null ? firstUsable(own) : highest + 1; at <= lastUsable(own); at++) {
    const ip = ip4FromWord(at)
    const given = slice?.given.find((p) => contains(p, ip))
    if (given !== undefined) at = lastUsable(given) + 1
    else if (isUsable(at)) return ip
  }
  return null
}

type NodeRanges = Pick<CoordinatorSettings, 'plan' | 'slice'>
