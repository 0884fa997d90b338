import { type NodeId, nodeKey } from '#ntm-lib/addr/ids.ts'
import { type Ip, ip16 } from '#ntm-lib/addr/ip.ts'
import type { Ip4 } from '#ntm-lib/addr/ip4.ts'
import { ip6Key } from '#ntm-lib/addr/ip6.ts'
import type { VirtualPair } from '#ntm-lib/addr/virtual.ts'
import { hex } from '#ntm-lib/base/hex.ts'
import { invariant } from '#ntm-lib/base/invariant.ts'
import {
  type ContractRow,
  type CoordinatorStore,
  type ForeignRow,
  type HostRow,
  type Member,
  type NumberKey,
  pairKey,
  type ServerRow,
  type Token,
} from '#ntm-lib/ports/coordinator-store.ts'

type Tables = {
  members: Map<string, Member>
  tokens: Map<string, Token>
  pins: Map<string, NodeId>
  hosts: Map<string, HostRow>
  servers: Map<string, ServerRow>
  contracts: Map<string, ContractRow>
  foreigners: Map<string, ForeignRow>
  numbers: Map<NumberKey, number>
}

/** A store that lives as long as the object: for tests, and to show what the durable one must do. */
export class MemoryStore implements CoordinatorStore {
  #t: Tables = {
    members: new Map(),
    tokens: new Map(),
    pins: new Map(),
    hosts: new Map(),
    servers: new Map(),
    contracts: new Map(),
    foreigners: new Map(),
    numbers: new Map(),
  }
  /** IPv4 address → key of the server row that took it last; may be stale, so the row is looked at too. */
  readonly #owners = new Map<Ip4, string>()
  /** Undoes the open transaction's writes, newest last; null outside one. */
  #undo: (() => void)[] | null = null

  transaction<T>(work: () => T): T {
    if (this.#undo !== null) return work()
    const undo: (() => void)[] = []
    this.#undo = undo
    try {
      return work()
    } catch (why) {
      for (const step of undo.reverse()) step()
      throw why
    } finally {
      this.#undo = null
    }
  }

  member(node: NodeId): Member | null {
    return this.#t.members.get(nodeKey(node)) ?? null
  }
  memberByName(name: string): Member | null {
    return this.members().find((m) => m.name === name) ?? null
  }
  memberByVip(vip: Ip): Member | null {
    return this.members().find((m) => has(m.pair, vip)) ?? null
  }
  members(): Member[] {
    return [...this.#t.members.values()]
  }
  putMember(member: Member): void {
    const clash = this.members().find((m) => m.name === member.name || has(member.pair, m.pair.vip4))
    invariant(clash === undefined || nodeKey(clash.node) === nodeKey(member.node), 'one member per name and address')
    this.#put(this.#t.members, nodeKey(member.node), member)
  }

  token(id: Uint8Array): Token | null {
    return this.#t.tokens.get(hex(id)) ?? null
  }
  putToken(token: Token): void {
    this.#put(this.#t.tokens, hex(token.id), token)
  }

  pinnedTo(name: string): NodeId | null {
    return this.#t.pins.get(name) ?? null
  }
  pin(name: string, node: NodeId): void {
    this.#put(this.#t.pins, name, node)
  }

  host(node: NodeId, host: Uint8Array): HostRow | null {
    return this.#t.hosts.get(hostKey(node, host)) ?? null
  }
  hostByVip(vip: Ip): HostRow | null {
    return [...this.#t.hosts.values()].find((h) => has(h.pair, vip)) ?? null
  }
  hostsOf(node: NodeId): HostRow[] {
    const of = nodeKey(node)
    return [...this.#t.hosts.values()].filter((h) => nodeKey(h.node) === of)
  }
  putHost(row: HostRow): void {
    this.#put(this.#t.hosts, hostKey(row.node, row.host), row)
  }
  highestNodeVip4(): Ip4 | null {
    let highest: Ip4 | null = null
    for (const { pair } of [...this.#t.members.values(), ...this.#t.hosts.values()])
      if (highest === null || pair.vip4 > highest) highest = pair.vip4
    return highest
  }

  servers(): ServerRow[] {
    return [...this.#t.servers.values()]
  }
  putServer(row: ServerRow): void {
    const key = `${nodeKey(row.node)}/${row.name}`
    const owner = this.#owners.get(row.pair.vip4) ?? key
    invariant(owner === key || this.#t.servers.get(owner)?.pair.vip4 !== row.pair.vip4, 'one server per address')
    this.#owners.set(row.pair.vip4, key)
    this.#put(this.#t.servers, `${nodeKey(row.node)}/${row.name}`, row)
  }
  removeServer(node: NodeId, name: string): void {
    this.#put(this.#t.servers, `${nodeKey(node)}/${name}`, null)
  }

  contract(a: NodeId, b: NodeId): ContractRow | null {
    return this.#t.contracts.get(pairKey(a, b)) ?? null
  }
  contractByHash(hash: Uint8Array): ContractRow | null {
    const wanted = hex(hash)
    return [...this.#t.contracts.values()].find((c) => hex(c.hash) === wanted) ?? null
  }
  contractsOf(node: NodeId): ContractRow[] {
    const of = nodeKey(node)
    return [...this.#t.contracts.values()].filter((c) => nodeKey(c.initiator) === of || nodeKey(c.correspondent) === of)
  }
  contractCount(node: NodeId): number {
    return this.contractsOf(node).length
  }
  putContract(row: ContractRow): void {
    this.#put(this.#t.contracts, pairKey(row.initiator, row.correspondent), row)
  }
  removeContract(a: NodeId, b: NodeId): void {
    this.#put(this.#t.contracts, pairKey(a, b), null)
  }

  foreign(node: NodeId): ForeignRow | null {
    return this.#t.foreigners.get(nodeKey(node)) ?? null
  }
  putForeign(row: ForeignRow): void {
    this.#put(this.#t.foreigners, nodeKey(row.node), row)
  }

  number(key: NumberKey): number {
    return this.#t.numbers.get(key) ?? 0
  }
  putNumber(key: NumberKey, value: number): void {
    this.#put(this.#t.numbers, key, value)
  }
  close(): void {}

  #put<K, V>(table: Map<K, V>, key: K, value: V | null): void {
    const before = table.get(key)
    this.#undo?.push(() => {
      if (before === undefined) table.delete(key)
      else table.set(key, before)
    })
    if (value === null) table.delete(key)
    else table.set(key, value)
  }
}

const hostKey = (node: NodeId, host: Uint8Array): string => `${nodeKey(node)}/${hex(host)}`
const has = (pair: VirtualPair, vip: Ip): boolean =>
  pair.vip4 === vip || (typeof vip !== 'number' && ip6Key(pair.vip6) === ip6Key(ip16(vip)))
