import { type Ip, isIp4, parseIp } from '#ntm-lib/addr/ip.ts'
import { parseIp4 } from '#ntm-lib/addr/ip4.ts'
import { ip6Key, parseIp6 } from '#ntm-lib/addr/ip6.ts'
import { parsePrefix } from '#ntm-lib/addr/prefix.ts'
import { routerStandIns, type VirtualPair } from '#ntm-lib/addr/virtual.ts'
import { BugError } from '#ntm-lib/base/invariant.ts'
import { type Instant, instant, seconds } from '#ntm-lib/base/time.ts'
import { icmp, packet4, packet6, viewOf } from '#ntm-lib/packet/build.ts'
import { ICMP4, ICMP6 } from '#ntm-lib/packet/protocol.ts'
import { CounterMap } from '#ntm-lib/ports/counters.ts'
import { type Batch, batch, HEADROOM, slotAt } from '#ntm-lib/ports/packet-port.ts'
import { EgressPolicy } from '#tt/egress.ts'
import { type FlowNode, newFlowNode } from '#tt/flow-node.ts'
import { FlowTable } from '#tt/flows.ts'
import type { ServerEntry } from '#tt/server-entry.ts'
import { Traffic } from '#tt/traffic.ts'
import { TranslationTable } from '#tt/translation-table.ts'
import type { Verdict } from '#tt/verdict.ts'
import { PairMap } from '#tt/xlat/addr.ts'
import type { XlatContext } from '#tt/xlat/context.ts'

const four = (text: string) => known(parseIp4(text), text)
const six = (text: string) => known(parseIp6(text), text)

/** What became of a packet: the packets that go on, or the answer to its sender, or why neither. */
export type Went = {
  readonly verdict: Verdict
  readonly reason: string | null
  readonly packets: readonly Uint8Array[]
  /** Of the packet of `forward`. */
  readonly gso: number
  readonly reply: Uint8Array | null
  /** Inward only: through whose tunnel. */
  readonly node: string | null
}

/** A box with hosts behind it, as the terminator knows it. */
export type Box = { readonly node: FlowNode; readonly pairs: readonly VirtualPair[] }

/**
 * A terminator's whole packet path with a table, flows and egress policy of its own. Every packet stands between bytes
 * that are watched.
 */
export class TrafficBench {
  static readonly servers4 = known(parsePrefix('198.19.0.0/16'), 'servers4')
  static readonly servers6 = known(parsePrefix('fd00:1:3::/64'), 'servers6')
  readonly standIns = routerStandIns(TrafficBench.servers4, TrafficBench.servers6)
  readonly counters = new CounterMap()
  readonly table = new TranslationTable(100)
  readonly egress = new EgressPolicy({
    allow: ['2001:db8::/32', '192.0.2.0/24'].map((p) => known(parsePrefix(p), p)),
    deny: [],
    own: ['192.0.2.1/32', '2001:db8::1/128'].map((p) => known(parsePrefix(p), p)),
    subnets: [],
    virtual: ['198.18.0.0/16', 'fd00:1:2::/48', '198.19.0.0/16', 'fd00:1:3::/64'].map((p) => known(parsePrefix(p), p)),
  })
  readonly flows: FlowTable
  readonly traffic: Traffic
  readonly out: XlatContext
  readonly back: XlatContext
  /** M of every tunnel. */
  innerMtu = 1440
  now: Instant = instant(1000)
  #ids = 0

  constructor(seed = 7) {
    const { router4, router6, routers6 } = this.standIns
    const pairs = new PairMap(routers6, router4)
    const context = (own: Pick<XlatContext, 'lastHop' | 'own4' | 'own6'>): XlatContext => ({
      ...own,
      map: pairs,
      mtu4: 1500,
      mtu6: 1500,
      fragmentTo: 1280,
      copyTrafficClass: true,
      udpZero: 'compute',
      nextId: (count) => {
        const id = this.#ids + 1
        this.#ids += count
        return id
      },
      mayReply: () => true,
      reply: batch(4, HEADROOM + 2048),
      spill: batch(64, HEADROOM + 2048),
    })
    this.out = context({ lastHop: 1, own4: router4, own6: router6 })
    this.back = context({ lastHop: 0, own4: null, own6: null })
    this.flows = new FlowTable({ total: 10_000, perNode: 5000 }, seed)
    const { table, egress, counters, flows, out, back } = this
    const innerMtu = (): number => this.innerMtu
    this.traffic = new Traffic({ table, flows, egress, counters, pairs, router4, router6, innerMtu, out, back, seed })
  }

  box(key: string, ...hosts: readonly (readonly [vip4: string, vip6: string])[]): Box {
    return { node: newFlowNode(key), pairs: hosts.map(([vip4, vip6]) => ({ vip4: four(vip4), vip6: six(vip6) })) }
  }

  /** A server that the box may reach, at these real addresses. */
  server(box: Box, name: string, vip4: string, vip6: string, ...real: readonly string[]): ServerEntry {
    const addresses = real.map((r) => known(parseIp(r), r))
    const pair = { vip4: four(vip4), vip6: six(vip6) }
    const entry = this.table.install(box.node.key, name, pair, addresses, seconds(60), this.now)
    if (typeof entry === 'string') throw new BugError(entry)
    return entry
  }

  outward(box: Box, packet: Uint8Array, gso = 0): Went {
    const pairOf = (source: Ip): VirtualPair | null =>
      box.pairs.find((p) => (isIp4(source) ? p.vip4 === source : ip6Key(p.vip6) === ip6Key(source))) ?? null
    return this.#run(packet, this.out, (v, low, at, len) =>
      this.traffic.outward(v, low, at, len, gso, box.node, pairOf, this.now),
    )
  }

  inward(packet: Uint8Array, gso = 0): Went {
    return this.#run(packet, this.back, (v, low, at, len) => this.traffic.inward(v, low, at, len, gso, this.now))
  }

  #run(
    packet: Uint8Array,
    ctx: XlatContext,
    take: (v: DataView, low: number, at: number, len: number) => Verdict,
  ): Went {
    const guard = 32
    const arena = new Uint8Array(guard + HEADROOM + packet.length + guard).fill(0xa5)
    const at = guard + HEADROOM
    arena.set(packet, at)
    ctx.reply.count = ctx.spill.count = 0
    const verdict = take(viewOf(arena), guard, at, packet.length)
    const clean = (from: number, to: number): boolean => arena.subarray(from, to).every((b) => b === 0xa5)
    if (!clean(0, guard) || !clean(at + packet.length, arena.length)) throw new BugError('wrote outside the slot')
    const { result } = this.traffic
    const whole = verdict === 'forward' ? [arena.slice(result.at, result.at + result.len)] : []
    return {
      verdict,
      reason: verdict === 'drop' || verdict === 'reply' ? result.reason : null,
      gso: result.gso,
      packets: verdict === 'split' ? all(ctx.spill) : whole,
      reply: all(ctx.reply)[0] ?? null,
      node: this.traffic.flow?.node.key ?? null,
    }
  }
}

/** Addresses of one packet or flow by text. */
export type Ends = { readonly from: string; readonly to: string }

/** A whole packet between two addresses of one family; ICMP gets the family's number. */
export function packet(
  { from, to }: Ends,
  protocol: number,
  payload: Uint8Array,
  more: { readonly hops?: number; readonly dontFragment?: boolean } = {},
): Uint8Array {
  const [source, destination] = [known(parseIp(from), from), known(parseIp(to), to)]
  const hops = more.hops ?? 64
  if (isIp4(source) && isIp4(destination)) {
    return packet4({ source, destination, protocol, payload, ttl: hops, dontFragment: more.dontFragment ?? false })
  }
  if (isIp4(source) || isIp4(destination)) throw new BugError('one family')
  return packet6({ source, destination, protocol, payload, hopLimit: hops })
}

/** An ICMP error of either family. */
export const error = (ends: Ends, type: number, code: number, rest: number, about: Uint8Array): Uint8Array =>
  packet(ends, ends.from.includes(':') ? ICMP6 : ICMP4, icmp(type, code, rest, about))

/** The first `bytes` bytes of a packet behind its IP header: as little as routers quote. */
export const quoted = (whole: Uint8Array, bytes: number): Uint8Array =>
  whole.slice(0, ((whole[0] ?? 0) >> 4 === 4 ? 20 : 40) + bytes)

const all = (b: Batch): Uint8Array[] =>
  Array.from({ length: b.count }, (_, i) => b.arena.slice(slotAt(b, i), slotAt(b, i) + (b.lens[i] ?? 0)))

function known<T>(value: T | null, text: string): T {
  if (value === null) throw new BugError(`not an address: ${text}`)
  return value
}
