import { systemClock } from '#io/clock.ts'
import type { Prefix } from '#ntm-lib/addr/prefix.ts'
import { routerStandIns } from '#ntm-lib/addr/virtual.ts'
import * as ip4 from '#ntm-lib/packet/ip4.ts'
import * as ip6 from '#ntm-lib/packet/ip6.ts'
import type { Counters } from '#ntm-lib/ports/counters.ts'
import { type Batch, batch, HEADROOM, type PacketPort, slotAt } from '#ntm-lib/ports/packet-port.ts'
import type { EgressPolicy } from '#tt/egress.ts'
import type { FlowNode } from '#tt/flow-node.ts'
import { FlowTable, type FlowWatch } from '#tt/flows.ts'
import { Traffic } from '#tt/traffic.ts'
import type { PairOf } from '#tt/traffic-parts.ts'
import type { TranslationTable } from '#tt/translation-table.ts'
import type { Verdict } from '#tt/verdict.ts'
import { PairMap } from '#tt/xlat/addr.ts'
import type { XlatContext } from '#tt/xlat/context.ts'

export type TtWireParts = {
  readonly edge: PacketPort
  readonly table: TranslationTable
  readonly egress: EgressPolicy
  readonly counters: Counters
  readonly servers4: Prefix
  readonly servers6: Prefix
  readonly uplinkMtuBytes: number
  /** The kernel's route spends the packet's hop (TUN); where it does not (raw socket), we do. */
  readonly kernelSpendsHop: boolean
  readonly innerMtu: (node: FlowNode) => number
  readonly seed: number
  /** Told of every flow; null when nobody wants to know. */
  readonly watch: FlowWatch | null
  /** An inner packet for a node: `len` bytes at `at`, which may be destroyed. */
  readonly toTunnel: (node: FlowNode, memory: Batch, at: number, len: number) => void
  /** Something left for a tunnel: the node's outputs are due. */
  readonly touched: () => void
}

/**
 * The terminator's packet loop: inner packets become ordinary ones on the edge port, packets from the edge go back into
 * their tunnel. Batches are made once.
 */
export class TtWire {
  readonly flows: FlowTable
  readonly traffic: Traffic
  readonly #p: TtWireParts
  readonly #in = batch(SLOTS, SLOT_BYTES)
  readonly #one = batch(1, SLOT_BYTES)
  readonly #edgeOut = batch(SLOTS, SLOT_BYTES)
  readonly #out: XlatContext
  readonly #back: XlatContext
  #tokens = REPLIES_PER_SECOND
  #filledAt = 0
  #id = 0

  constructor(parts: TtWireParts) {
    this.#p = parts
    const { router4, router6, routers6 } = routerStandIns(parts.servers4, parts.servers6)
    const pairs = new PairMap(routers6, router4)
    this.#id = parts.seed & 0xffff
    const context = (own: Pick<XlatContext, 'lastHop' | 'own4' | 'own6'>): XlatContext => ({
      ...own,
      map: pairs,
      mtu4: parts.uplinkMtuBytes,
      mtu6: parts.uplinkMtuBytes,
      fragmentTo: 1280,
      copyTrafficClass: true,
      udpZero: 'compute',
      nextId: (count) => this.#nextId(count),
      mayReply: () => this.#mayReply(),
      reply: batch(SLOTS, SLOT_BYTES),
      spill: batch(SLOTS, SLOT_BYTES),
    })
    this.#out = context({ lastHop: 1, own4: router4, own6: router6 })
    // Errors to servers come from the host's own virtual address: source NAT knows whose flow they belong to.
    this.#back = context({ lastHop: 0, own4: null, own6: null })
    this.flows = new FlowTable({ total: 262_144, perNode: 65_536 }, parts.seed, parts.watch)
    this.traffic = new Traffic({
      ...parts,
      flows: this.flows,
      pairs,
      router4,
      router6,
      out: this.#out,
      back: this.#back,
    })
    parts.edge.onReadable(() => this.#onEdge())
  }

  /** A genuine inner packet; sent at `flush`. */
  fromTunnel(inner: Uint8Array, node: FlowNode, pairOf: PairOf): void {
    for (let p: Uint8Array | null = inner; p !== null; p = this.traffic.released()) this.#outward(p, node, pairOf)
  }

  flush(): void {
    if (this.#edgeOut.count > 0) this.#p.edge.send(this.#edgeOut)
    this.#edgeOut.count = 0
  }

  tick(): void {
    this.traffic.tick(systemClock.now())
  }

  #outward(inner: Uint8Array, node: FlowNode, pairOf: PairOf): void {
    if (inner.length > SLOT_BYTES - 2 * HEADROOM) return this.#p.counters.count('tt.drop.jumbo')
    const b = this.#one
    const [low, at] = [0, slotAt(b, 0)]
    b.arena.set(inner, at)
    const verdict = this.traffic.outward(b.view, low, at, inner.length, 0, node, pairOf, systemClock.now())
    this.#emit(verdict, b, this.#out, (memory, from, len) => this.#toEdge(memory, from, len))
    this.#replies(this.#out, (memory, from, len) => this.#p.toTunnel(node, memory, from, len))
  }

  #onEdge(): void {
    const b = this.#in
    for (let round = 0; round < ROUNDS; round++) {
      const n = this.#p.edge.recv(b)
      const now = systemClock.now()
      for (let i = 0; i < n; i++) {
        const at = slotAt(b, i)
        const verdict = this.traffic.inward(b.view, i * b.slotBytes, at, b.lens[i] ?? 0, 0, now)
        const node = this.traffic.flow?.node
        if (node !== undefined) {
          this.#emit(verdict, b, this.#back, (memory, from, len) => this.#p.toTunnel(node, memory, from, len))
        }
        this.#replies(this.#back, (memory, from, len) => this.#toEdge(memory, from, len))
      }
      if (n < SLOTS) break
    }
    this.flush()
    this.#p.touched()
  }

  #emit(verdict: Verdict, b: Batch, ctx: XlatContext, send: (memory: Batch, at: number, len: number) => void): void {
    if (verdict === 'forward') send(b, this.traffic.result.at, this.traffic.result.len)
    else if (verdict === 'split') each(ctx.spill, send)
  }

  #replies(ctx: XlatContext, send: (memory: Batch, at: number, len: number) => void): void {
    if (ctx.reply.count > 0) each(ctx.reply, send)
    ctx.reply.count = 0
  }

  #toEdge(memory: Batch, at: number, len: number): void {
    const out = this.#edgeOut
    if (out.count === SLOTS) this.flush()
    const to = slotAt(out, out.count)
    out.arena.set(memory.arena.subarray(at, at + len), to)
    if (!this.#p.kernelSpendsHop) spendHop(out.view, to)
    out.lens[out.count++] = len
  }

  #nextId(count: number): number {
    const id = (this.#id + 1) & 0xffff
    this.#id = (this.#id + count) & 0xffff
    return id
  }

  /** RFC 7915 §4.4, RFC 4443 §2.4(f): errors are rate-limited. */
  #mayReply(): boolean {
    const now = systemClock.now()
    this.#tokens = Math.min(REPLIES_PER_SECOND, this.#tokens + ((now - this.#filledAt) / 1000) * REPLIES_PER_SECOND)
    this.#filledAt = now
    if (this.#tokens < 1) return false
    this.#tokens--
    return true
  }
}

/** Our own errors start at 64 and everything else was checked to have a hop to spend. */
function spendHop(v: DataView, at: number): void {
  if (ip4.version(v, at) === 4) ip4.setTtl(v, at, Math.max(0, ip4.ttl(v, at) - 1))
  else v.setUint8(at + 7, Math.max(0, ip6.hopLimit(v, at) - 1))
}

function each(b: Batch, send: (memory: Batch, at: number, len: number) => void): void {
  for (let i = 0; i < b.count; i++) send(b, slotAt(b, i), b.lens[i] ?? 0)
}

const SLOTS = 64
const SLOT_BYTES = 10_240
const ROUNDS = 4
const REPLIES_PER_SECOND = 1000
