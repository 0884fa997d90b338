import type { HoldOut } from '#dnsfn/flow.ts'
import { Hold } from '#dnsfn/hold.ts'
import { isSubdomainOf } from '#dnsfn/names.ts'
import type { Fingerprint } from '#ntm-lib/addr/ids.ts'
import { type Ip, ipText, sameIp } from '#ntm-lib/addr/ip.ts'
import { type Prefix, prefixText } from '#ntm-lib/addr/prefix.ts'
import type { VirtualPair } from '#ntm-lib/addr/virtual.ts'
import { type Instant, sooner } from '#ntm-lib/base/time.ts'
import type { Counters } from '#ntm-lib/ports/counters.ts'
import type { Machine, Random } from '#ntm-lib/ports/machine.ts'
import { ForeignZones, type Held } from './foreign-zones.ts'
import type { NodeCoreOut, NodeDirected, NodeFlow, NodeIn } from './types.ts'

export type NodeCoreConfig = {
  /** A program never waits longer for an answer about an NTM name; milliseconds. */
  readonly holdMillis: number
  /** Ordinary servers too are reached through a terminator, whatever families they have. */
  readonly tunnelsAll?: boolean
  /** Our network's; with it zones are found that the coordinator did not name. */
  readonly fingerprint?: Fingerprint
}

/**
 * The NTM terminal's Machine: decides what becomes of each DNS message of this machine's programs (SEED 003 §4.1), and asks for paths to
 * virtual addresses that packets go to. Until the network is known, every message is forwarded untouched.
 */
export class NodeCore<A> implements Machine<NodeIn<A>, NodeCoreOut<A>> {
  readonly #config: NodeCoreConfig
  readonly #random: Random
  readonly #counters: Counters
  #hold: Hold<NodeFlow<A>> | null = null
  #virtual: readonly Prefix[] = []
  /** As the coordinator told. */
  #zones: readonly string[] = []
  readonly #foreign: ForeignZones<A> | null
  #pair: VirtualPair | null = null
  #hasIp4 = true
  #hasGlobalIp6 = true
  /** Virtual addresses asked for on behalf of packets, by tag. */
  readonly #sought = new Map<string, Ip>()
  #nextTag = 1
  #out: NodeCoreOut<A>[] = []

  constructor(config: NodeCoreConfig, random: Random, counters: Counters) {
    this.#config = config
    this.#random = random
    this.#counters = counters
    const { fingerprint } = config
    this.#foreign = fingerprint === undefined ? null : new ForeignZones(fingerprint, random, counters)
  }

  handle(input: NodeIn<A>, now: Instant): void {
    switch (input.in) {
      case 'network':
        return this.#onNetwork(input, now)
      case 'families':
        this.#hasIp4 = input.hasIp4
        this.#hasGlobalIp6 = input.hasGlobalIp6
        return
      case 'query':
        return this.#onQuery(input, now)
      case 'reply':
        return this.#onReply(input.flow, input.bytes, now)
      case 'wanted':
        return this.#onWanted(input.vip)
      case 'directed':
        return this.#onDirected(input.tag, input.result, now)
      default:
        return input satisfies never
    }
  }

  tick(now: Instant): void {
    this.#hold?.tick(now)
    this.#goOn(this.#foreign?.tick(now) ?? [], now)
  }

  deadline(): Instant | null {
    return sooner(this.#hold?.deadline() ?? null, this.#foreign?.deadline() ?? null)
  }

  poll(): NodeCoreOut<A> | null {
    const first = this.#out.shift()
    if (first !== undefined) return first
    const held = this.#hold?.poll() ?? null
    return held === null ? null : this.#held(held)
  }

  #onNetwork({ name, pair, zones, virtual }: Extract<NodeIn<A>, { in: 'network' }>, now: Instant): void {
    if (this.#hold === null || String(virtual.map(prefixText)) !== String(this.#virtual.map(prefixText))) {
      const { holdMillis } = this.#config
      this.#hold = new Hold({ holdMillis, virtual, countedAs: 'node.dns' }, this.#random, this.#counters)
      this.#virtual = virtual
    }
    this.#pair = pair
    this.#zones = zones
    this.#setZones()
    // Nobody else can be asked the way to ourselves.
    this.#hold.known.learn(SELF, name, pair, OWN_NAME_SECONDS, now)
  }

  #onQuery({ asker, from, port, transport, bytes }: Extract<NodeIn<A>, { in: 'query' }>, now: Instant): void {
    const flow: NodeFlow<A> = {
      asker,
      transport,
      host: SELF,
      hostPort: transport === 'udp' ? port : port + TCP_PORTS,
      // All former resolvers are one to us; the asker's address keeps equal ports of two askers apart.
      resolver: from,
      granted: this.#pair !== null,
      hasIp4: this.#hasIp4,
      hasGlobalIp6: this.#hasGlobalIp6,
      tunnelsAll: this.#config.tunnelsAll ?? false,
    }
    if (this.#hold?.onQuery(bytes, flow, now) === 'taken') return
    this.#counters.count('node.dns.forwarded')
    this.#out.push({ out: 'forward', flow, transport, bytes })
    const beside = this.#hold === null ? null : (this.#foreign?.passing(bytes, flow, now) ?? null)
    if (beside !== null) this.#out.push({ out: 'forward', flow, transport: 'udp', bytes: beside })
  }

  #onReply(flow: NodeFlow<A>, bytes: Uint8Array, now: Instant): void {
    const found = this.#foreign?.reply(bytes, flow, now) ?? 'no'
    if (found === 'held') return
    if (found !== 'no') return this.#goOn(found.settled, now)
    this.#pass(flow, bytes, now)
  }

  /** Answers that waited: those of zones that turned out to be ours are asked for as NTM names. */
  #goOn(held: readonly Held<A>[], now: Instant): void {
    if (held.length > 0) this.#setZones()
    for (const { flow, query, reply } of held) {
      // The first asking was passed on; this one is another, of the same asker.
      const again = { ...flow, hostPort: flow.hostPort + ASKED_AGAIN }
      if (this.#hold?.onQuery(query, again, now) !== 'taken') this.#pass(flow, reply, now)
    }
  }

  #setZones(): void {
    this.#hold?.setZones([...this.#zones, ...(this.#foreign?.zones ?? [])])
  }

  #pass(flow: NodeFlow<A>, bytes: Uint8Array, now: Instant): void {
    if (this.#hold?.onReply(bytes, bytes, flow, now) === 'taken') return
    this.#out.push({ out: 'answer', asker: flow.asker, bytes })
  }

  #held(o: HoldOut<NodeFlow<A>>): NodeCoreOut<A> {
    switch (o.out) {
      case 'answer':
        return { out: 'answer', asker: o.flow.asker, bytes: o.bytes }
      case 'release':
        return { out: 'answer', asker: o.flow.asker, bytes: o.frame }
      case 'ask':
        return { out: 'forward', flow: o.flow, transport: 'udp', bytes: o.bytes }
      case 'direct':
        return this.#direct(`${NAME}${o.id}`, { by: this.#isForeign(o.name) ? 'peer' : 'name', name: o.name }, 'dns')
      default:
        return o satisfies never
    }
  }

  /** A name of a zone that our coordinator may not know of yet. */
  #isForeign(name: string): boolean {
    return this.#foreign?.has(name) === true && !this.#zones.some((zone) => isSubdomainOf(name, zone))
  }

  #onWanted(vip: Ip): void {
    const own = this.#pair
    if (own === null || sameIp(vip, own.vip4) || sameIp(vip, own.vip6)) {
      this.#out.push({ out: 'no-path', vip })
      return
    }
    // Several packet workers may have packets for the same address.
    for (const asked of this.#sought.values()) if (sameIp(asked, vip)) return
    const tag = `${VIP}${this.#nextTag++} ${ipText(vip)}`
    this.#sought.set(tag, vip)
    this.#out.push(this.#direct(tag, { by: 'vip', vip }, 'data'))
  }

  #onDirected(tag: string, result: NodeDirected, now: Instant): void {
    const vip = this.#sought.get(tag)
    this.#sought.delete(tag)
    if (result.ok) {
      const vips = result.pair === null ? [] : [result.pair.vip4, result.pair.vip6]
      if (vip !== undefined && !vips.some((ip) => sameIp(ip, vip))) vips.push(vip)
      this.#out.push({ out: 'route', vips, row: result.row })
    } else if (vip !== undefined) this.#out.push({ out: 'no-path', vip })
    if (!tag.startsWith(NAME)) return
    const id = Number(tag.slice(NAME.length))
    if (!result.ok) this.#hold?.directed(id, result, now)
    else if (result.pair === null) this.#hold?.directed(id, { ok: false, why: 'unsupported' }, now)
    else this.#hold?.directed(id, { ok: true, ...result.pair, ttlSeconds: result.ttlSeconds }, now)
  }

  #direct(
    tag: string,
    sought: Extract<NodeCoreOut<A>, { out: 'direct' }>['sought'],
    why: 'dns' | 'data',
  ): NodeCoreOut<A> {
    const own = this.#pair
    return { out: 'direct', tag, sought, why, sources: own === null ? [] : [own.vip4, own.vip6] }
  }
}

/** All programs of this machine are one host. */
const SELF = 'self'
/** TCP ports are counted on from the UDP ones. */
const TCP_PORTS = 65_536
/** Beyond both. */
const ASKED_AGAIN = 2 * TCP_PORTS
/** Renewed with every registration, which comes much sooner. */
const OWN_NAME_SECONDS = 3600
const NAME = 'name '
const VIP = 'vip '
