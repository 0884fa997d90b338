import type { Family, Ip } from '#ntm-lib/addr/ip.ts'
import type { Prefix } from '#ntm-lib/addr/prefix.ts'
import { currentLinks } from './link-tables.ts'
import { NETLINK_ROUTE, type NetlinkMessage, openNetlinkEvents } from './netlink.ts'
import * as rt from './rtnetlink.ts'

export type LinkEvent =
  /** Appeared (`isNew`), or changed name, flags, carrier, MTU, address or master. */
  | { readonly kind: 'link'; readonly isNew: boolean; readonly link: rt.LinkState }
  | { readonly kind: 'link-gone'; readonly ifindex: number; readonly name: string }
  | {
      readonly kind: 'address-added' | 'address-removed'
      readonly ifindex: number
      readonly ip: Ip
      readonly bits: number
      /** IPv6 duplicate detection has not finished: another event follows when it has. */
      readonly tentative: boolean
    }
  | {
      readonly kind: 'route-added' | 'route-removed'
      readonly family: Family
      /** null: the default route. */
      readonly to: Prefix | null
      readonly via: Ip | null
      readonly ifindex: number
      readonly table: number
    }
  /** The kernel dropped events: read links, addresses and routes anew. */
  | { readonly kind: 'lost' }

/** Follows links, addresses and routes of our network namespace. IoFault when netlink cannot be opened. */
export function watchLinks(take: (event: LinkEvent) => void): { close(): void } {
  const events = openNetlinkEvents(NETLINK_ROUTE, GROUPS)
  // Subscribed first, listed second: a link that appears in between is told as a change, never missed.
  const known = new Set(currentLinks().map((l) => l.ifindex))
  events.onEvent(
    (message) => {
      const event = linkEvent(message, known)
      if (event !== null) take(event)
    },
    () => take({ kind: 'lost' }),
  )
  return { close: () => events.close() }
}

/** The event in a message; null for what does not concern us. Updates `known`, the interface indexes seen so far. */
export function linkEvent(m: NetlinkMessage, known: Set<number>): LinkEvent | null {
  switch (m.type) {
    case rt.RTM_NEWLINK: {
      const link = rt.linkOf(m.body)
      if (link === null) return null
      const isNew = !known.has(link.ifindex)
      known.add(link.ifindex)
      return { kind: 'link', isNew, link }
    }
    case rt.RTM_DELLINK: {
      const link = rt.linkOf(m.body)
      if (link === null) return null
      known.delete(link.ifindex)
      return { kind: 'link-gone', ifindex: link.ifindex, name: link.name }
    }
    case rt.RTM_NEWADDR:
    case rt.RTM_DELADDR:
      return addressEvent(m.type === rt.RTM_NEWADDR ? 'address-added' : 'address-removed', m.body)
    case rt.RTM_NEWROUTE:
    case rt.RTM_DELROUTE:
      return routeEvent(m.type === rt.RTM_NEWROUTE ? 'route-added' : 'route-removed', m.body)
    default:
      return null
  }
}

function addressEvent(kind: 'address-added' | 'address-removed', body: Uint8Array): LinkEvent | null {
  const address = rt.addressOf(body)
  if (address === null) return null
  const { ifindex, ip, bits, tentative } = address
  return { kind, ifindex, ip, bits, tentative }
}

/** Of several next hops the first. */
function routeEvent(kind: 'route-added' | 'route-removed', body: Uint8Array): LinkEvent | null {
  const [route] = rt.routesOf(body)
  if (route === undefined) return null
  const { family, to, via, ifindex, table } = route
  return { kind, family, to, via, ifindex, table }
}

/** RTMGRP_LINK, IPV4_IFADDR, IPV4_ROUTE, IPV6_IFADDR, IPV6_ROUTE. */
const GROUPS = 0x1 | 0x10 | 0x40 | 0x100 | 0x400
