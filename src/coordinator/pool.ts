import type { NodeId } from '#ntm-lib/addr/ids.ts'
import { type Ip, isIp4 } from '#ntm-lib/addr/ip.ts'
import { type Ip4, ip4FromWord } from '#ntm-lib/addr/ip4.ts'
import type { Ip6 } from '#ntm-lib/addr/ip6.ts'
import {
  isStandIn6,
  type RouterStandIns,
  routerStandIns,
  type VirtualPair,
  type VirtualPlan,
} from '#ntm-lib/addr/virtual.ts'
import { ascii, be32 } from '#ntm-lib/base/bytes.ts'
import { invariant } from '#ntm-lib/base/invariant.ts'
import { type WallTime, wallTime } from '#ntm-lib/base/time.ts'
import type { CryptoSuite } from '#ntm-lib/crypto/suite.ts'
import type { CoordinatorStore, ServerRow } from '#ntm-lib/ports/coordinator-store.ts'
import { filled, firstUsable, isUsable, lastUsable } from './ranges.ts'
import { UntilHeap } from './until-heap.ts'

/** Latest time at which this node may have sent a packet through a terminator. */
export type LastPacket = (node: NodeId, today: WallTime) => WallTime

/**
 * The only minter of ordinary servers' virtual addresses: one pair per (node, name). An address names no second server
 * before its TTL has passed and then max(24 h, 10 × TTL, last packet + 2 h). Never-used addresses go first, then the
 * longest unused, so that a clock that jumps forward does most of its harm to nobody.
 *
 * `reserve` promises in memory, `commit` writes: what was never told to a node leaves no row. Between the two, while a
 * terminator is asked, `writeAhead` may put the promise on disk, so that the answer does not wait for the disk; what then
 * fails is taken off again. A promise that a crash leaves behind is only an address in quarantine.
 */
export class ServerPool {
  readonly #store: CoordinatorStore
  readonly #plan: VirtualPlan
  readonly #suite: Pick<CryptoSuite, 'hash'>
  readonly #lastPacket: LastPacket
  readonly #perNode: number
  readonly #rows = new Map<string, ServerRow>()
  readonly #held = new Map<string, VirtualPair>()
  readonly #byVip = new Map<number | string, string>()
  /** Promises since the last `writeAhead`. */
  readonly #unwritten = new Map<string, Pick<ServerRow, 'node' | 'name' | 'pair'>>()
  /** On disk and not told to anybody yet. */
  readonly #ahead = new Map<string, ServerRow>()
  /** On disk, and nobody will ever be told: goes with the next write, before it. */
  readonly #dropped: ServerRow[] = []
  readonly #counts = new Map<string, number>()
  readonly #reusable = new UntilHeap<ServerRow>()
  /** Promised and cancelled, by whom they were promised to; oldest first. */
  readonly #returned = new Map<string, Ip4>()
  readonly #standIns: RouterStandIns
  #cursor: number

  /** `perNode` bounds the names of one node, so that none can starve the others. */
  constructor(
    store: CoordinatorStore,
    plan: VirtualPlan,
    suite: Pick<CryptoSuite, 'hash'>,
    lastPacket: LastPacket,
    perNode: number,
  ) {
    this.#store = store
    this.#plan = plan
    this.#suite = suite
    this.#lastPacket = lastPacket
    this.#perNode = perNode
    this.#standIns = routerStandIns(plan.servers4, plan.servers6)
    this.#cursor = firstUsable(plan.servers4)
    for (const row of store.servers()) this.#index(row)
  }

  /**
   * The pair of this (node, name), the one it already has or a new one; null when the pool or the node's share is
   * exhausted. Ends with `commit` or `cancel`.
   */
  reserve(node: NodeId, name: string, today: WallTime): VirtualPair | null {
    const key = rowKey(node, name)
    const known = this.#held.get(key) ?? this.#rows.get(key)?.pair
    if (known !== undefined) {
      this.#hold(key, node, name, known)
      return known
    }
    const owner = bytesKey(node)
    if ((this.#counts.get(owner) ?? 0) >= this.#perNode) return null
    const vip4 = this.#givenBack(key) ?? this.#neverUsed() ?? this.#givenBack(null) ?? this.#reclaim(today)
    if (vip4 === null) return null
    const pair = { vip4, vip6: this.#vip6(node, name) }
    this.#hold(key, node, name, pair)
    this.#byVip.set(vip4, key)
    this.#byVip.set(bytesKey(pair.vip6), key)
    this.#counts.set(owner, (this.#counts.get(owner) ?? 0) + 1)
    return pair
  }

  /**
   * Puts open promises on disk, in one transaction, as if for TTLs of up to `AHEAD_TTL_SECONDS`; longer ones are written
   * again by `commit`. To be called when nobody waits; leaving it out costs time, nothing else.
   */
  writeAhead(today: WallTime): void {
    const until = wallTime(today + quarantine(AHEAD_TTL_SECONDS) + HOUR)
    const rows = [...this.#unwritten]
      .filter(([key]) => (this.#rows.get(key)?.quarantinedUntil ?? 0) < until - HOUR)
      .map(([key, promise]) => [key, { ...promise, lastUsed: today, quarantinedUntil: until }] as const)
    if (rows.length + this.#dropped.length > 0) {
      this.#store.transaction(() => {
        this.#removeDropped()
        for (const [, row] of rows) this.#store.putServer(row)
      })
    }
    this.#dropped.length = 0
    this.#unwritten.clear()
    for (const [key, row] of rows) this.#ahead.set(key, row)
  }

  /**
   * The node is about to be told: writes the pair, inside the caller's transaction. What comes back is to be called once
   * the transaction stands; until then memory does not believe it. `ttlSeconds` is what the node is told.
   */
  commit(node: NodeId, name: string, ttlSeconds: number, today: WallTime): () => void {
    const key = rowKey(node, name)
    const pair = this.#held.get(key)
    invariant(pair !== undefined, 'commit follows reserve')
    const before = this.#ahead.get(key) ?? this.#rows.get(key)
    // Writing an hour too much keeps a busy name from a disk write per question.
    const until = wallTime(today + quarantine(ttlSeconds) + HOUR)
    const enough = before !== undefined && before.quarantinedUntil >= today + quarantine(ttlSeconds)
    const row = enough ? before : { node, name, pair, lastUsed: today, quarantinedUntil: until }
    if (!enough) {
      this.#removeDropped()
      this.#store.putServer(row)
    }
    return () => {
      this.#letGo(key)
      if (!enough) this.#dropped.length = 0
      if (this.#rows.get(key) === row) return
      this.#rows.set(key, row)
      this.#reusable.push(row, row.quarantinedUntil)
    }
  }

  /** The direction failed: a pair that was never told to the node is free again, an older one stays as it was. */
  cancel(node: NodeId, name: string): void {
    const key = rowKey(node, name)
    const pair = this.#held.get(key)
    if (pair === undefined) return
    const ahead = this.#ahead.get(key)
    this.#letGo(key)
    if (this.#rows.has(key)) return
    if (ahead !== undefined) this.#dropped.push(ahead)
    this.#forget(node, pair)
    this.#returned.set(key, pair.vip4)
  }

  /** Whom a server's virtual address belongs to; null when nobody remembers it. */
  serverByVip(vip: Ip): { readonly node: NodeId; readonly name: string } | null {
    const key = this.#byVip.get(isIp4(vip) ? vip : bytesKey(vip))
    return key === undefined ? null : (this.#rows.get(key) ?? null)
  }

  /** Promises still open; 0 when nothing is half-made. */
  get provisional(): number {
    return this.#held.size
  }

  /**
   * The address that was promised to this name before, or the oldest of all. A terminator that answered too late knows the
   * name by it already, and takes no other address for the same name.
   */
  #givenBack(key: string | null): Ip4 | null {
    const [oldest] = this.#returned.keys()
    const from = key ?? oldest
    const vip4 = from === undefined ? undefined : this.#returned.get(from)
    if (from === undefined || vip4 === undefined) return null
    this.#returned.delete(from)
    return vip4
  }

  #hold(key: string, node: NodeId, name: string, pair: VirtualPair): void {
    this.#held.set(key, pair)
    this.#unwritten.set(key, { node, name, pair })
  }

  #letGo(key: string): void {
    this.#held.delete(key)
    this.#unwritten.delete(key)
    this.#ahead.delete(key)
  }

  #removeDropped(): void {
    for (const { node, name } of this.#dropped) this.#store.removeServer(node, name)
  }

  #neverUsed(): Ip4 | null {
    for (const end = lastUsable(this.#plan.servers4); this.#cursor <= end; this.#cursor++) {
      const at = this.#cursor
      if (isUsable(at) && at !== this.#standIns.router4 && !this.#byVip.has(at)) {
        this.#cursor++
        return ip4FromWord(at)
      }
    }
    return null
  }

  #reclaim(today: WallTime): Ip4 | null {
    // One busy node may own thousands of the rows looked at: it is asked about once.
    const lastPackets = new Map<string, WallTime>()
    const lastPacket = (node: NodeId): WallTime => {
      const known = lastPackets.get(bytesKey(node)) ?? this.#lastPacket(node, today)
      lastPackets.set(bytesKey(node), known)
      return known
    }
    for (;;) {
      const row = this.#reusable.take(today)
      if (row === null) return null
      const key = rowKey(row.node, row.name)
      // Its successor was pushed when it was replaced.
      if (this.#rows.get(key) !== row) continue
      const stillUsed = this.#held.has(key) ? today + HOUR : lastPacket(row.node) + 2 * HOUR
      if (stillUsed > today) {
        this.#reusable.push(row, wallTime(stillUsed))
        continue
      }
      this.#store.removeServer(row.node, row.name)
      this.#rows.delete(key)
      this.#forget(row.node, row.pair)
      return row.pair.vip4
    }
  }

  #index(row: ServerRow): void {
    const key = rowKey(row.node, row.name)
    this.#rows.set(key, row)
    this.#byVip.set(row.pair.vip4, key)
    this.#byVip.set(bytesKey(row.pair.vip6), key)
    this.#counts.set(bytesKey(row.node), (this.#counts.get(bytesKey(row.node)) ?? 0) + 1)
    this.#reusable.push(row, row.quarantinedUntil)
  }

  #forget(node: NodeId, pair: VirtualPair): void {
    const owner = bytesKey(node)
    this.#byVip.delete(pair.vip4)
    this.#byVip.delete(bytesKey(pair.vip6))
    const left = (this.#counts.get(owner) ?? 1) - 1
    if (left === 0) this.#counts.delete(owner)
    else this.#counts.set(owner, left)
  }

  /** From node and name alone, so the same question gives the same address for ever; the counter only meets collisions. */
  #vip6(node: NodeId, name: string): Ip6 {
    for (let n = 0; ; n++) {
      const vip6 = filled(
        this.#plan.servers6,
        8,
        this.#suite.hash(ascii('ntm1 server vip6'), node, ascii(name), be32(n)),
      )
      if (!isStandIn6(this.#standIns, vip6) && !this.#byVip.has(bytesKey(vip6))) return vip6
    }
  }
}

/** Milliseconds from the last answer until the address may name another server. A TTL beyond a day counts as a day. */
function quarantine(ttlSeconds: number): number {
  const ttl = Math.min(ttlSeconds * 1000, 24 * HOUR)
  return ttl + Math.max(24 * HOUR, 10 * ttl)
}

/** A map key of few bytes: these maps hold every server of the network. */
const bytesKey = (b: Uint8Array): string => String.fromCharCode(...b)
const rowKey = (node: NodeId, name: string): string => `${bytesKey(node)}/${name}`
const HOUR = 3_600_000
/** Nearly every name of the Internet says less, and its quarantine is a day all the same. */
const AHEAD_TTL_SECONDS = 3600
