import { type Ip, ipText, isIp4 } from '#ntm-lib/addr/ip.ts'
import { ip6Key } from '#ntm-lib/addr/ip6.ts'
import type { VirtualPair } from '#ntm-lib/addr/virtual.ts'
import { Expiring } from '#ntm-lib/base/expiring.ts'
import { after, type Instant, instant, type Millis, millis, sooner } from '#ntm-lib/base/time.ts'
import { avoid, type ServerEntry, stableOrder } from './server-entry.ts'
import { TT_TIMERS } from './timers.ts'

/** Why a server was not taken in. */
export type InstallFault = 'node-full' | 'virtual-address-in-use' | 'no-address'

/**
 * Virtual ↔ real addresses of ordinary servers (SEED 000 §4.2), per node: what one node's host may reach says nothing
 * about another's. Replies are not looked up here but in the flow table, since several names may share a real address.
 */
export class TranslationTable {
  readonly #perNode: number
  readonly #nodes = new Map<string, NodeServers>()
  /** (node, virtual address) → the name it once meant. */
  readonly #past: Expiring<string, string>

  /** `perNode` bounds the servers of one node. */
  constructor(perNode: number, quarantined = 65_536) {
    this.#perNode = perNode
    this.#past = new Expiring(quarantined)
  }

  /** Takes in or renews a server. `addresses` passed the egress policy. A virtual address never changes its name. */
  install(
    node: string,
    name: string,
    pair: VirtualPair,
    addresses: readonly Ip[],
    ttl: Millis,
    now: Instant,
  ): ServerEntry | InstallFault {
    if (addresses.length === 0) return 'no-address'
    const servers = this.#nodes.get(node) ?? { byName: new Map(), byFour: new Map(), bySix: new Map() }
    const known = servers.byName.get(name)
    if (known !== undefined) {
      if (known.pair.vip4 === pair.vip4 && ip6Key(known.pair.vip6) === ip6Key(pair.vip6)) {
        this.refresh(known, addresses, ttl, now)
        return known
      }
      // The coordinator writes an address down before it tells it: another one for the same name means that ours was
      // never told, because it was killed in between or did not wait for us.
      if (known.flows > 0) return 'virtual-address-in-use'
      this.#remove(known, now)
    }
    const six = ip6Key(pair.vip6)
    if (servers.byFour.has(pair.vip4) || servers.bySix.has(six)) return 'virtual-address-in-use'
    const pasts = [this.#past.get(`${node} ${pair.vip4}`), this.#past.get(`${node} ${six}`)]
    if (pasts.some((past) => past !== undefined && past !== name)) return 'virtual-address-in-use'
    if (servers.byName.size >= this.#perNode) return 'node-full'
    const at = instant(0)
    const avoid = new Map<string, Instant>()
    const entry: ServerEntry = { node, name, pair, addresses: [], expires: at, resolveAt: at, resolving: false, lastUsed: now, flows: 0, avoid } // biome-ignore format: one record
    this.refresh(entry, addresses, ttl, now)
    servers.byName.set(name, entry)
    servers.byFour.set(pair.vip4, entry)
    servers.bySix.set(six, entry)
    this.#nodes.set(node, servers)
    return entry
  }

  /** The node's server behind a virtual address of either family. IPv4 lookups allocate nothing. */
  byVirtual(node: string, ip: Ip): ServerEntry | null {
    const servers = this.#nodes.get(node)
    return (isIp4(ip) ? servers?.byFour.get(ip) : servers?.bySix.get(ip6Key(ip))) ?? null
  }

  byName(node: string, name: string): ServerEntry | null {
    return this.#nodes.get(node)?.byName.get(name) ?? null
  }

  /** A resolution came back. Open flows keep the address they have; new ones choose among these. */
  refresh(entry: ServerEntry, addresses: readonly Ip[], ttl: Millis, now: Instant): void {
    entry.resolving = false
    if (addresses.length > 0) {
      entry.addresses = stableOrder(entry.node, addresses)
      for (const key of [...entry.avoid.keys()]) if (!addresses.some((a) => ipText(a) === key)) entry.avoid.delete(key)
      entry.expires = after(now, ttl)
    }
    // Before the TTL ends, so that no new flow waits for DNS; a failed resolution keeps the old answer and tries again.
    const early = addresses.length > 0 ? millis(ttl * 0.8) : millis(0)
    entry.resolveAt = after(now, millis(Math.max(early, TT_TIMERS.resolveAgain)))
  }

  /** The resolution failed or gave nothing allowed: what was good stays until the entry dies. */
  resolutionFailed(entry: ServerEntry, now: Instant): void {
    this.refresh(entry, [], millis(0), now)
  }

  /** An ICMP unreachable said that `ip` is not there. (Silent servers are the flow table's to notice.) */
  unreachable(entry: ServerEntry, ip: Ip, now: Instant): void {
    avoid(entry, ip, now)
  }

  /** Entries in use whose records should be asked for again now; each is handed out once per resolution. */
  due(now: Instant): ServerEntry[] {
    const out: ServerEntry[] = []
    for (const entry of this.#entries()) {
      if (entry.resolving || entry.resolveAt > now || !inUse(entry, now)) continue
      entry.resolving = true
      out.push(entry)
    }
    return out
  }

  /** Drops entries whose record has expired, that have no flow and were not used lately. Their addresses rest. */
  tick(now: Instant): void {
    this.#past.sweep(now)
    for (const entry of [...this.#entries()]) {
      if (inUse(entry, now)) continue
      if (entry.expires <= now) this.#remove(entry, now)
      // Nobody uses it: asked for again only if somebody does when the record ends.
      else if (entry.resolveAt <= now) entry.resolveAt = entry.expires
    }
  }

  deadline(): Instant | null {
    let first: Instant | null = null
    for (const e of this.#entries()) {
      const dies = e.flows > 0 ? null : latest(e.expires, after(e.lastUsed, TT_TIMERS.entryIdle))
      first = sooner(first, sooner(e.resolving ? null : e.resolveAt, dies))
    }
    return first
  }

  /** The path is gone: all its servers. */
  removeNode(node: string, now: Instant): void {
    for (const entry of [...(this.#nodes.get(node)?.byName.values() ?? [])]) this.#remove(entry, now)
  }

  /** Entries of all nodes. */
  get total(): number {
    let sum = 0
    for (const servers of this.#nodes.values()) sum += servers.byName.size
    return sum
  }

  size(node: string): number {
    return this.#nodes.get(node)?.byName.size ?? 0
  }

  #remove(entry: ServerEntry, now: Instant): void {
    const servers = this.#nodes.get(entry.node)
    if (servers === undefined) return
    const rest = after(now, TT_TIMERS.quarantine)
    const six = ip6Key(entry.pair.vip6)
    this.#past.set(`${entry.node} ${entry.pair.vip4}`, entry.name, rest)
    this.#past.set(`${entry.node} ${six}`, entry.name, rest)
    servers.byName.delete(entry.name)
    servers.byFour.delete(entry.pair.vip4)
    servers.bySix.delete(six)
    if (servers.byName.size === 0) this.#nodes.delete(entry.node)
  }

  *#entries(): IterableIterator<ServerEntry> {
    for (const servers of this.#nodes.values()) yield* servers.byName.values()
  }
}

type NodeServers = {
  readonly byName: Map<string, ServerEntry>
  readonly byFour: Map<number, ServerEntry>
  readonly bySix: Map<string, ServerEntry>
}

const inUse = (e: ServerEntry, now: Instant): boolean => e.flows > 0 || after(e.lastUsed, TT_TIMERS.entryIdle) > now
const latest = (a: Instant, b: Instant): Instant => (a > b ? a : b)
