import type { Customer } from '#cli/worker/tt-customers.ts'
import { TtWire } from '#cli/worker/tt-wire.ts'
import { type Ip, isIp4, parseIp } from '#ntm-lib/addr/ip.ts'
import { parseIp4 } from '#ntm-lib/addr/ip4.ts'
import { ip6Key, parseIp6 } from '#ntm-lib/addr/ip6.ts'
import { type Prefix, parsePrefix } from '#ntm-lib/addr/prefix.ts'
import type { VirtualPair } from '#ntm-lib/addr/virtual.ts'
import { BugError } from '#ntm-lib/base/invariant.ts'
import { type Instant, instant, seconds } from '#ntm-lib/base/time.ts'
import type { PacketMemory, PutVerdict } from '#ntm-lib/plane/parts.ts'
import { CounterMap } from '#ntm-lib/ports/counters.ts'
import { type Outgoing, type SuperBatch, type SuperPort, slotAt, superBatch } from '#ntm-lib/ports/packet-port.ts' // biome-ignore format: one import
import { EgressPolicy } from '#tt/egress.ts'
import { newFlowNode } from '#tt/flow-node.ts'
import { TranslationTable } from '#tt/translation-table.ts'
import { segment } from './segments.ts'

/** A packet as it left: towards a tunnel's row, or (row 0) to the edge. */
export type Left = { readonly row: number; readonly bytes: Uint8Array; readonly gso: number }

/** A host's box with one server, and the terminator's packet loop between a tunnel plane and an edge that only remember. */
export class TtWireWorld {
  static readonly host = { 4: '198.18.0.5', 6: 'fd00:1:2::5' } as const
  static readonly virtual = { 4: '198.19.0.7', 6: 'fd00:1:3::7' } as const
  /** Row of the box's tunnel. */
  static readonly row = 3
  readonly counters = new CounterMap()
  readonly left: Left[] = []
  readonly wire: TtWire
  readonly customer: Customer
  readonly inner: SuperBatch = superBatch(8)
  innerMtu = 1440
  /** T of the plane: UDP super-packets with longer segments are to be cut first. */
  wholeMtu = 1440
  /** Remember nothing: for measuring. */
  forgets = false
  now: Instant = instant(1000.5)
  readonly edge = new FakeEdge(this)
  #put: { readonly memory: PacketMemory; readonly at: number; readonly len: number; readonly gso: number }[] = []

  constructor(real: string, kernelSpendsHop = true) {
    const table = new TranslationTable(8)
    const [pair, host] = [pairOf(TtWireWorld.virtual), pairOf(TtWireWorld.host)]
    table.install('box', 'web.example', pair, [known(parseIp(real))], seconds(600), this.now)
    const allow = ['2001:db8::/32', '192.0.2.0/24'].map(prefix)
    this.wire = new TtWire({
      edge: this.edge,
      plane: {
        put: (row, memory, at, len, gso) => this.#take(row, memory, at, len, gso),
        flush: () => this.#flush(),
        innerMtu: () => this.innerMtu,
      },
      table,
      egress: new EgressPolicy({ allow, deny: [], own: [], subnets: [], virtual: [] }),
      counters: this.counters,
      clock: { now: () => this.now },
      virtual: {
        nodes4: prefix('198.18.0.0/16'),
        servers4: prefix('198.19.0.0/16'),
        nodes6: prefix('fd00:1:2::/48'),
        servers6: prefix('fd00:1:3::/64'),
      },
      uplinkMtuBytes: 1500,
      kernelSpendsHop,
      seed: 7,
      watch: null,
      segment,
    })
    const node = newFlowNode('box')
    node.via = TtWireWorld.row
    this.customer = {
      node,
      pairOf: (ip: Ip) => ((isIp4(ip) ? ip === host.vip4 : ip6Key(ip) === ip6Key(host.vip6)) ? host : null),
    }
  }

  /** One opening with these inner packets in it; what left because of it. */
  fromTunnel(...packets: readonly (Uint8Array | readonly [Uint8Array, number])[]): Left[] {
    for (const [i, p] of packets.entries()) this.fill(this.inner, i, ...parts(p))
    for (const i of packets.keys()) this.wire.fromTunnel(TtWireWorld.row, this.customer, this.inner, i, this.now)
    this.wire.afterOpen(this.now)
    // The memory is used again at once.
    this.inner.arena.fill(0xee)
    return this.left.splice(0)
  }

  /** One reading of the edge with these packets. */
  fromEdge(...packets: readonly (Uint8Array | readonly [Uint8Array, number])[]): Left[] {
    this.edge.waiting.push(...packets)
    this.edge.wake()
    return this.left.splice(0)
  }

  fill(b: SuperBatch, i: number, bytes: Uint8Array, gso: number): void {
    b.arena.set(bytes, slotAt(b, i))
    b.lens[i] = bytes.length
    b.gso[i] = gso
  }

  #take(row: number, memory: PacketMemory, at: number, len: number, gso: number): PutVerdict {
    if (row !== TtWireWorld.row) throw new BugError(`row ${row}`)
    if (this.forgets) return 'queued'
    if (this.#put.some((p) => p.memory.arena !== memory.arena)) throw new BugError('two arenas between flushes')
    const isUdp =
      (memory.view.getUint8(at) >> 4 === 4 ? memory.view.getUint8(at + 9) : memory.view.getUint8(at + 6)) === 17
    if (gso !== 0 && gso !== 0xffff && isUdp && gso + 48 > this.wholeMtu) return 'cut-first'
    this.#put.push({ memory, at, len, gso })
    return 'queued'
  }

  /** Only now are the bytes looked at, as the real plane does. */
  #flush(): void {
    if (this.#put.length === 0) return
    for (const { memory, at, len, gso } of this.#put)
      this.left.push({ row: TtWireWorld.row, bytes: memory.arena.slice(at, at + len), gso })
    this.#put = []
  }
}

class FakeEdge implements SuperPort {
  readonly waiting: (Uint8Array | readonly [Uint8Array, number])[] = []
  readonly #world: TtWireWorld
  wake: () => void = () => {}
  again = 0
  #again: Uint8Array | null = null
  #left = 0

  constructor(world: TtWireWorld) {
    this.#world = world
  }

  recvSuper(into: SuperBatch): number {
    if (this.#again !== null) return this.#fill(into, this.#again)
    const batch = this.waiting.splice(0, into.lens.length)
    into.arena.fill(0xdd, 0, into.slotBytes)
    for (const [i, p] of batch.entries()) this.#world.fill(into, i, ...parts(p))
    return batch.length
  }

  /** One reading full of this packet, plain and as a super-packet by turns. How many it was. */
  fillAgain(p: Uint8Array): number {
    this.#again = p
    this.#left = this.again
    this.wake()
    this.#again = null
    return this.again
  }

  #fill(into: SuperBatch, p: Uint8Array): number {
    const n = Math.min(this.#left, into.lens.length)
    this.#left -= n
    for (let i = 0; i < n; i++) this.#world.fill(into, i, p, i % 2 === 0 ? 0 : 1000)
    return n
  }

  sendSuper(arena: Uint8Array, { jobs, count }: Outgoing): number {
    if (this.#world.forgets) return count
    for (let k = 0; k < count; k++) {
      const [at, len, gso] = [jobs[3 * k] ?? 0, jobs[3 * k + 1] ?? 0, jobs[3 * k + 2] ?? 0]
      this.#world.left.push({ row: 0, bytes: arena.slice(at, at + len), gso })
    }
    return count
  }

  recv(): number {
    throw new BugError('super-packets only')
  }

  send(): number {
    throw new BugError('super-packets only')
  }

  onReadable(wake: () => void): void {
    this.wake = wake
  }

  close(): void {}
}

const parts = (p: Uint8Array | readonly [Uint8Array, number]): readonly [Uint8Array, number] =>
  p instanceof Uint8Array ? [p, 0] : p

const pairOf = (a: { readonly 4: string; readonly 6: string }): VirtualPair => ({
  vip4: known(parseIp4(a[4])),
  vip6: known(parseIp6(a[6])),
})
const prefix = (text: string): Prefix => known(parsePrefix(text))

function known<T>(value: T | null): T {
  if (value === null) throw new BugError('not an address')
  return value
}
