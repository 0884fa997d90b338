import type { Customer } from '#cli/worker/tt-customers.ts'
import { TtFollow } from '#cli/worker/tt-follow.ts'
import { TtLead } from '#cli/worker/tt-lead.ts'
import type { TtLoop } from '#cli/worker/tt-loop.ts'
import { TtWire } from '#cli/worker/tt-wire.ts'
import { type Ip, isIp4, parseIp } from '#ntm-lib/addr/ip.ts'
import { parseIp4 } from '#ntm-lib/addr/ip4.ts'
import { ip6Key, parseIp6 } from '#ntm-lib/addr/ip6.ts'
import { type Prefix, parsePrefix } from '#ntm-lib/addr/prefix.ts'
import type { VirtualPair } from '#ntm-lib/addr/virtual.ts'
import { BugError } from '#ntm-lib/base/invariant.ts'
import { type Instant, instant, millis, seconds } from '#ntm-lib/base/time.ts'
import type { PacketMemory } from '#ntm-lib/plane/parts.ts'
import { CounterMap } from '#ntm-lib/ports/counters.ts'
import { type Outgoing, type SuperBatch, type SuperPort, slotAt, superBatch } from '#ntm-lib/ports/packet-port.ts'
import { EgressPolicy } from '#tt/egress.ts'
import { type FlowNode, newFlowNode } from '#tt/flow-node.ts'
import type { PacketPath } from '#tt/packet-path.ts'
import { LeadShare } from '#tt/share/lead-share.ts'
import { TranslationTable } from '#tt/translation-table.ts'
import { MemoryLink } from './memory-link.ts'
import { segment } from './segments.ts'

/** A packet as it left: towards a tunnel's row, or (row 0) to the edge; `by` this worker. */
export type Left = { readonly by: number; readonly row: number; readonly bytes: Uint8Array; readonly gso: number }
type Packet = readonly [bytes: Uint8Array, gso: number]

/** One packet worker of the terminator: what waits for it, and what drives it. */
export class Worker {
  readonly tunnel: (readonly [row: number, packet: Packet])[] = []
  readonly edge: FakeEdge
  readonly loop: TtLoop<PacketPath>
  readonly #world: TtShareWorld
  readonly #inner: SuperBatch = superBatch(4)
  readonly #afterOpen: () => void

  constructor(world: TtShareWorld, loop: TtLoop<PacketPath>, edge: FakeEdge, afterOpen: () => void) {
    this.#world = world
    this.loop = loop
    this.edge = edge
    this.#afterOpen = afterOpen
  }

  /** One opening: as many of the waiting inner packets as fit. */
  open(): void {
    const some = this.tunnel.splice(0, this.#inner.lens.length)
    for (const [i, [, packet]] of some.entries()) fill(this.#inner, i, packet)
    for (const [i, [row]] of some.entries()) {
      this.loop.fromTunnel(row, this.#world.customer(row), this.#inner, i, this.#world.now)
    }
    this.#afterOpen()
    this.#inner.arena.fill(0xee)
  }
}

/**
 * A terminator's packet side with several workers, whose links deliver when they are told to. The edge remembers which worker sent a flow last,
 * as the kernel does, and gives it the flow's answers.
 */
export class TtShareWorld {
  static readonly host = { 4: '198.18.0.5', 6: 'fd00:1:2::5' } as const
  static readonly virtual = { 4: '198.19.0.7', 6: 'fd00:1:3::7' } as const
  readonly counters = new CounterMap()
  readonly left: Left[] = []
  readonly workers: Worker[] = []
  readonly links: { readonly up: MemoryLink; readonly down: MemoryLink }[] = []
  readonly lead: TtLead
  readonly wire: TtWire
  readonly share: LeadShare
  readonly followers: TtFollow[] = []
  readonly policy: EgressPolicy
  readonly node: FlowNode = newFlowNode('box', { burst: 1e6, perSecond: 1e6 })
  now: Instant = instant(1000.5)
  /** Of a flow's packets out, by their ports: who sent the last one. */
  readonly lastWriter = new Map<number, number>()
  readonly #host = pairOf(TtShareWorld.host)

  constructor(real: string, workers: number) {
    const table = new TranslationTable(8)
    table.install('box', 'web.example', pairOf(TtShareWorld.virtual), [known(parseIp(real))], seconds(600), this.now)
    const allow = ['2001:db8::/32', '192.0.2.0/24'].map(prefix)
    this.policy = new EgressPolicy({ allow, deny: [], own: [], subnets: [], virtual: [] })
    const parts = (index: number) => ({
      edge: new FakeEdge(this, index),
      plane: new FakePlane(this, index),
      counters: this.counters,
      clock: { now: () => this.now },
      virtual: {
        nodes4: prefix('198.18.0.0/16'),
        servers4: prefix('198.19.0.0/16'),
        nodes6: prefix('fd00:1:2::/48'),
        servers6: prefix('fd00:1:3::/64'),
      },
      uplinkMtuBytes: 1500,
      kernelSpendsHop: true,
      seed: 7,
      segment: segment,
      share: { index, of: workers },
    })
    for (let k = 1; k < workers; k++) this.links.push(MemoryLink.pair())
    const customers = { at: (row: number) => this.customer(row), nodeOf: () => this.node }
    this.share = new LeadShare({
      use: (flow, out, back, now) => this.wire.flows.used(flow, out, back, now),
      policy: this.policy,
      followers: workers - 1,
    })
    const first = parts(0)
    const onRound = (): void => this.lead.settle()
    this.wire = new TtWire({ ...first, table, egress: this.policy, watch: this.share, onRound })
    const links = this.links.map(({ down }) => down)
    const { wire, share, counters } = this
    this.lead = new TtLead({ links, share, wire, customers, counters, clock: first.clock })
    this.workers.push(
      new Worker(this, wire, first.edge, () => {
        wire.afterOpen(this.now)
        this.lead.settle()
      }),
    )
    for (const [i, { up }] of this.links.entries()) {
      const p = parts(i + 1)
      const follow = new TtFollow({ ...p, link: up, customers })
      this.followers.push(follow)
      this.workers.push(
        new Worker(this, follow.loop, p.edge, () => {
          follow.loop.afterOpen(this.now)
          follow.endRound()
        }),
      )
    }
    this.node.via = 1
  }

  customer(_row: number): Customer {
    const host = this.#host
    const is = (ip: Ip): boolean => (isIp4(ip) ? ip === host.vip4 : ip6Key(ip) === ip6Key(host.vip6))
    return { node: this.node, pairOf: (ip) => (is(ip) ? host : null) }
  }

  /** Everything that waits anywhere is taken, until nothing waits. */
  settle(): void {
    for (let busy = true; busy; ) {
      busy = false
      for (const w of this.workers) {
        if (w.tunnel.length > 0) w.open()
        else if (w.edge.waiting.length > 0) w.edge.wake()
        else continue
        busy = true
      }
      for (const { up, down } of this.links) while (up.deliver(down) || down.deliver(up)) busy = true
    }
  }

  /** A second passes. */
  tick(): void {
    this.now = instant(this.now + millis(1000))
    this.wire.tick(this.now)
    this.lead.settle()
    for (const f of this.followers) f.tick(this.now)
  }
}

/** Looks at what was put when it is flushed, as the real one does. */
class FakePlane {
  readonly #world: TtShareWorld
  readonly #by: number
  #put: { readonly row: number; readonly memory: PacketMemory; readonly at: number; readonly len: number; readonly gso: number }[] = [] // biome-ignore format: one line

  constructor(world: TtShareWorld, by: number) {
    this.#world = world
    this.#by = by
  }

  put(row: number, memory: PacketMemory, at: number, len: number, gso: number): 'queued' {
    if (this.#put.some((p) => p.memory.arena !== memory.arena)) this.flush()
    this.#put.push({ row, memory, at, len, gso })
    return 'queued'
  }

  flush(): void {
    for (const { row, memory, at, len, gso } of this.#put) {
      this.#world.left.push({ by: this.#by, row, bytes: memory.arena.slice(at, at + len), gso })
    }
    this.#put = []
  }

  innerMtu(): number {
    return 1440
  }
}

class FakeEdge implements SuperPort {
  readonly waiting: Packet[] = []
  readonly #world: TtShareWorld
  readonly #by: number
  wake: () => void = () => {}

  constructor(world: TtShareWorld, by: number) {
    this.#world = world
    this.#by = by
  }

  recvSuper(into: SuperBatch): number {
    const some = this.waiting.splice(0, into.lens.length)
    for (const [i, packet] of some.entries()) fill(into, i, packet)
    return some.length
  }

  sendSuper(arena: Uint8Array, { jobs, count }: Outgoing): number {
    for (let k = 0; k < count; k++) {
      const [at, len, gso] = [jobs[3 * k] ?? 0, jobs[3 * k + 1] ?? 0, jobs[3 * k + 2] ?? 0]
      const bytes = arena.slice(at, at + len)
      this.#world.lastWriter.set(hostPort(bytes), this.#by)
      this.#world.left.push({ by: this.#by, row: 0, bytes, gso })
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

/** The host's port, of a packet without IP options on its way to the server. */
export const hostPort = (p: Uint8Array): number => {
  const at = (p[0] ?? 0) >> 4 === 4 ? 20 : 40
  return ((p[at] ?? 0) << 8) | (p[at + 1] ?? 0)
}

function fill(b: SuperBatch, i: number, [bytes, gso]: Packet): void {
  b.arena.set(bytes, slotAt(b, i))
  b.lens[i] = bytes.length
  b.gso[i] = gso
}

const pairOf = (a: { readonly 4: string; readonly 6: string }): VirtualPair => ({
  vip4: known(parseIp4(a[4])),
  vip6: known(parseIp6(a[6])),
})
const prefix = (text: string): Prefix => known(parsePrefix(text))

function known<T>(value: T | null): T {
  if (value === null) throw new BugError('not an address')
  return value
}
