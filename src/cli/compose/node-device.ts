import { readFileSync } from 'node:fs'
import { IoFault } from '#io/fault.ts'
import { ipBatch, type Link, listLinks, listRoutes } from '#io/links.ts'
import { findOverlap } from '#node/overlap.ts'
import { ipText, isIp4 } from '#ntm-lib/addr/ip.ts'
import { type Prefix, prefixText } from '#ntm-lib/addr/prefix.ts'
import type { VirtualPair } from '#ntm-lib/addr/virtual.ts'

/**
 * Gives the device both virtual addresses and the routes to every virtual range; on a machine without IPv6 those of IPv4 alone. IoFault when this machine reaches one of the ranges by
 * another way already: neither network may take the other's addresses.
 */
export async function giveAddresses(device: string, pair: VirtualPair, virtual: readonly Prefix[]): Promise<void> {
  const routes = [...(await listRoutes(4)), ...(await listRoutes(6))]
  const overlap = findOverlap(virtual, routes, device)
  if (overlap !== null) {
    const { range, route, ifname } = overlap
    const why = `${prefixText(range)} overlaps this machine's route ${prefixText(route)}${ifname === null ? '' : ` (${ifname})`}; remove that route, or make the network with other ranges (ntm network init --nodes4 …)`
    throw new IoFault('use the virtual ranges of the network', new Error(why))
  }
  const six = hasIp6(device)
  await ipBatch([
    `address replace ${ipText(pair.vip4)}/32 dev ${device}`,
    ...(six ? [`address replace ${ipText(pair.vip6)}/128 dev ${device} nodad`] : []),
    ...virtual.flatMap((p) => {
      if (!isIp4(p.base) && !six) return []
      const src = ipText(isIp4(p.base) ? pair.vip4 : pair.vip6)
      return `route replace ${prefixText(p)} dev ${device} src ${src}`
    }),
  ])
}

/** Whether the operator lets the device have IPv6; a kernel without it has no such file. */
function hasIp6(device: string): boolean {
  try {
    return readFileSync(`/proc/sys/net/ipv6/conf/${device}/disable_ipv6`, 'utf8').trim() === '0'
  } catch {
    return false
  }
}

/** The smallest MTU of the interfaces that default routes leave by; Ethernet's when there is none yet. */
export async function uplinkMtu(): Promise<number> {
  const links = await listLinks()
  const routes = [...(await listRoutes(4)), ...(await listRoutes(6))]
  const ways: readonly Link[] = links.filter((l) => routes.some((r) => r.to === null && r.ifname === l.name))
  return Math.max(1280, Math.min(ETHERNET_MTU, ...ways.map((l) => l.mtuBytes)))
}

const ETHERNET_MTU = 1500
