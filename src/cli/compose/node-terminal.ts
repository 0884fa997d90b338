import { Alarm } from '#io/alarm.ts'
import { systemClock, systemRandom } from '#io/clock.ts'
import type { DnsAsked } from '#io/dns-server.ts'
import { IoFault } from '#io/fault.ts'
import type { Keystore } from '#io/keystore.ts'
import { NodeCore } from '#node/core.ts'
import { reverseZones } from '#node/reverse.ts'
import type { NodeCoreOut, NodeDirected, NodeIn } from '#node/types.ts'
import { nodeKey } from '#ntm-lib/addr/ids.ts'
import { type Ip, ipText, isIp4 } from '#ntm-lib/addr/ip.ts'
import { prefixText } from '#ntm-lib/addr/prefix.ts'
import type { VirtualPair } from '#ntm-lib/addr/virtual.ts'
import type { Directed, NodeEvent } from '#ntm-lib/negotiate/node-events.ts'
import type { Counters } from '#ntm-lib/ports/counters.ts'
import type { Log } from '#ntm-lib/ports/log.ts'
import type { RegistrationResponse } from '#ntm-lib/wire/messages/registration.ts'
import type { NodeConfig } from '../config/schema.ts'
import type { TunIn, TunOut } from '../worker/tun-words.ts'
import { giveAddresses } from './node-device.ts'
import { NodeNames } from './node-names.ts'
import { type NodeFacts, Troubles } from './node-status.ts'
import type { NtmNode } from './ntm-node.ts'
import type { PacketHost } from './packet-host.ts'
import type { Undo } from './process.ts'

export type TerminalParts = {
  readonly config: NodeConfig
  readonly store: Keystore
  readonly made: NtmNode
  readonly host: PacketHost<TunIn>
  /** The TUN device's name. */
  readonly device: string
  readonly log: Log
  readonly counters: Counters
  readonly undo: Undo
  readonly fail: (why: Error) => void
  /** The node was used: its outputs are due. */
  readonly touch: () => void
}

/** Between an NTM terminal's core and everything it needs: negotiation, packets, this machine's names. */
export class Terminal {
  readonly #p: TerminalParts
  readonly #core: NodeCore<DnsAsked>
  readonly #alarm: Alarm
  readonly #names: NodeNames
  readonly #troubles = new Troubles()
  /** What was asked for, by tag, for the trouble's name. */
  readonly #asked = new Map<string, string>()
  /** Names of the boxes we had paths with, by `nodeKey`. */
  readonly #peers = new Map<string, string>()
  #answer: RegistrationResponse | null = null
  #following: Promise<void> = Promise.resolve()
  #tellRegistered: () => void = () => {}
  /** Why the coordinator did not serve us lately; null when it does. */
  coordinatorError: string | null = null
  /** Resolves when NTM names work for the first time. */
  readonly registered = new Promise<void>((resolve) => {
    this.#tellRegistered = resolve
  })

  constructor(parts: TerminalParts) {
    this.#p = parts
    const { config, store, device, log, counters, fail } = parts
    const core = { holdMillis: config.dns.hold_ms, tunnelsAll: config.node.servers === 'tt' }
    this.#core = new NodeCore(core, systemRandom, counters)
    this.#alarm = new Alarm(systemClock, () => {
      this.#core.tick(systemClock.now())
      this.#perform()
    })
    parts.undo.add(() => this.#alarm.stop())
    const take = (bytes: Uint8Array, asked: DnsAsked): void => {
      const { from, transport } = asked
      this.#feed({ in: 'query', asker: asked, from: from.ip, port: from.port, transport, bytes })
    }
    this.#names = new NodeNames({ dns: config.dns, store, device, take, log, counters, fail })
  }

  /** What the status shows of us. */
  facts(): Pick<NodeFacts, 'name' | 'pair' | 'zones' | 'names' | 'troubles'> {
    const { made } = this.#p
    return {
      name: made.name,
      pair: this.#answer,
      zones: this.#answer?.zones ?? [],
      names: this.#names,
      troubles: this.#troubles,
    }
  }

  /** This machine's addresses were found, or changed. */
  moved(): void {
    const ips = this.#p.made.where.candidates.map((c) => c.endpoint.ip)
    const hasGlobalIp6 = ips.some((ip) => !isIp4(ip) && (ip[0] ?? 0) >> 5 === 1)
    this.#feed({ in: 'families', hasIp4: ips.some(isIp4), hasGlobalIp6 })
  }

  onOut(out: TunOut): void {
    this.#feed({ in: 'wanted', vip: out.vip })
  }

  onEvent(event: NodeEvent): void {
    const { made, log, touch } = this.#p
    const now = systemClock.now()
    switch (event.event) {
      case 'enrolled':
      case 'renewed':
        made.enrolled(event.chain)
        return log.info(`box.${event.event}`)
      case 'registered':
        // One after the other: a second answer while the first still gives addresses must not count as ready.
        this.#following = this.#following.then(() => this.#onRegistered(event.answer, event.first)).catch(this.#p.fail)
        return
      case 'refused':
        this.coordinatorError = `${event.code}: ${event.text}`
        return log.error('box.refused', { code: event.code, text: event.text })
      case 'offline':
        this.coordinatorError = 'does not answer'
        return log.warn('coordinator.lost')
      case 'directed':
        return this.#onDirected(event.tag, event.result)
      case 'asked':
        // A terminal is there to be reached.
        made.node.accept(event.transaction, event.message, { ttlSeconds: 0, families: 0 }, now)
        return touch()
      case 'path-open':
        return this.#met(event.contractHash)
      case 'path-gone':
        this.#troubles.note(this.#peers.get(nodeKey(event.peer)) ?? nodeKey(event.peer), event.why, now)
        return
      default:
        // The packet side sees paths for itself.
        return
    }
  }

  async #onRegistered(answer: RegistrationResponse, first: boolean): Promise<void> {
    const { undo, device, log, made } = this.#p
    if (undo.isStopping) return
    const before = this.#answer
    const ranges = String(answer.virtual.map(prefixText))
    if (before !== null && String(before.virtual.map(prefixText)) !== ranges) {
      throw new IoFault('follow the network', new Error('its virtual ranges changed; start again to use the new ones'))
    }
    this.coordinatorError = null
    if (before === null || pairText(before) !== pairText(answer)) await giveAddresses(device, answer, answer.virtual)
    this.#answer = answer
    const { zones, virtual } = answer
    this.#feed({ in: 'network', name: made.name, pair: answer, zones, virtual })
    const domains = [...zones, ...virtual.flatMap(reverseZones)]
    if (this.#names.mode === null) await this.#names.start(domains, undo)
    else await this.#names.follow(domains)
    if (first) log.info('box.registered', { vip4: ipText(answer.vip4), vip6: ipText(answer.vip6) })
    this.#tellRegistered()
  }

  #onDirected(tag: string, result: Directed): void {
    const about = this.#asked.get(tag) ?? tag
    this.#asked.delete(tag)
    if (!result.ok) {
      this.#troubles.note(about, `${result.code}: ${result.text}`, systemClock.now())
      this.#p.log.info('direction.refused', { code: result.code, text: result.text })
    }
    this.#feed({ in: 'directed', tag, result: directed(result) })
  }

  #feed(input: NodeIn<DnsAsked>): void {
    this.#core.handle(input, systemClock.now())
    this.#perform()
  }

  #perform(): void {
    for (let out = this.#core.poll(); out !== null; out = this.#core.poll()) this.#do(out)
    this.#alarm.set(this.#core.deadline())
  }

  #do(o: NodeCoreOut<DnsAsked>): void {
    const { made, host, touch } = this.#p
    switch (o.out) {
      case 'answer':
        return o.asker.reply(o.bytes)
      case 'forward':
        return this.#names.forwarder.forward(o.bytes, o.transport, (bytes) =>
          this.#feed({ in: 'reply', flow: o.flow, bytes }),
        )
      case 'direct':
        this.#asked.set(o.tag, o.sought.by === 'name' ? o.sought.name : o.sought.by === 'vip' ? text(o.sought.vip) : '')
        made.node.direct(o.tag, { sought: o.sought, why: o.why, sources: o.sources }, systemClock.now())
        return touch()
      case 'route':
        return host.tell({ say: 'route', vips: o.vips, row: o.row })
      case 'no-path':
        return host.tell({ say: 'no-path', vip: o.vip })
      default:
        return o satisfies never
    }
  }

  /** Keeps the peer's name beyond the life of its path. */
  #met(contractHash: Uint8Array): void {
    const peer = this.#p.made.node.tunnels.byContract(contractHash)?.peer
    if (peer === undefined) return
    const oldest = this.#peers.keys().next().value
    if (this.#peers.size >= MOST_PEERS && oldest !== undefined) this.#peers.delete(oldest)
    this.#peers.set(nodeKey(peer.node), peer.name)
  }
}

function directed(result: Directed): NodeDirected {
  if (!result.ok) return { ok: false, why: result.code === 'timeout' ? 'unreachable' : result.code }
  const { row, target } = result
  return { ok: true, row, ttlSeconds: target?.ttlSeconds ?? 0, pair: target }
}

const MOST_PEERS = 1024
const text = (ip: Ip): string => ipText(ip)
const pairText = (p: VirtualPair): string => `${ipText(p.vip4)} ${ipText(p.vip6)}`
