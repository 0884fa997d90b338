import { Alarm } from '#io/alarm.ts'
import { systemClock, systemRandom } from '#io/clock.ts'
import type { DnsAsked } from '#io/dns-server.ts'
import { IoFault } from '#io/fault.ts'
import type { Keystore } from '#io/keystore.ts'
import { NodeCore } from '#node/core.ts'
import { reverseZones } from '#node/reverse.ts'
import type { NodeCoreOut, NodeDirected, NodeIn } from '#node/types.ts'
import { ipText, isIp4 } from '#ntm-lib/addr/ip.ts'
import { prefixText } from '#ntm-lib/addr/prefix.ts'
import type { VirtualPair } from '#ntm-lib/addr/virtual.ts'
import type { Directed, NodeEvent } from '#ntm-lib/negotiate/node-events.ts'
import type { Counters } from '#ntm-lib/ports/counters.ts'
import type { Log } from '#ntm-lib/ports/log.ts'
import type { RegistrationResponse } from '#ntm-lib/wire/messages/registration.ts'
import type { NodeConfig } from '../config/schema.ts'
import type { TunIn, TunOut } from '../worker/tun-words.ts'
import { onBoxEvent } from './box-events.ts'
import type { BoxStatus } from './box-status.ts'
import { giveAddresses } from './node-device.ts'
import { NodeNames } from './node-names.ts'
import type { NodeFacts } from './node-status.ts'
import type { NtmNode } from './ntm-node.ts'
import type { PacketHost } from './packet-host.ts'
import type { Undo } from './process.ts'

export type TerminalParts = {
  readonly config: NodeConfig
  readonly store: Keystore
  readonly made: NtmNode
  readonly box: BoxStatus
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
  #answer: RegistrationResponse | null = null
  #following: Promise<void> = Promise.resolve()
  #tellRegistered: () => void = () => {}
  /** Resolves when NTM names work for the first time. */
  readonly registered = new Promise<void>((resolve) => {
    this.#tellRegistered = resolve
  })

  constructor(parts: TerminalParts) {
    this.#p = parts
    const { config, store, device, log, counters, fail } = parts
    const { fingerprint } = parts.made
    const core = { holdMillis: config.dns.hold_ms, tunnelsAll: config.node.servers === 'tt', fingerprint }
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
  facts(): Pick<NodeFacts, 'zones' | 'names'> {
    return { zones: this.#answer?.zones ?? [], names: this.#names }
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
      case 'refused':
      case 'offline':
        return onBoxEvent(made, log, event)
      case 'registered':
        // One after the other: a second answer while the first still gives addresses must not count as ready.
        this.#following = this.#following.then(() => this.#onRegistered(event.answer, event.first)).catch(this.#p.fail)
        return
      case 'directed':
        return this.#onDirected(event.tag, event.result)
      case 'asked':
        // A terminal is there to be reached.
        made.node.accept(event.transaction, event.message, { ttlSeconds: 0, families: 0 }, now)
        return touch()
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
    if (!result.ok) this.#p.log.info('direction.refused', { code: result.code, text: result.text })
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
    const { made, box, host, touch } = this.#p
    switch (o.out) {
      case 'answer':
        return o.asker.reply(o.bytes)
      case 'forward':
        return this.#names.forwarder.forward(o.bytes, o.transport, (bytes) =>
          this.#feed({ in: 'reply', flow: o.flow, bytes }),
        )
      case 'direct':
        box.asked(o.tag, o.sought)
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
}

function directed(result: Directed): NodeDirected {
  if (!result.ok) return { ok: false, why: result.code === 'timeout' ? 'unreachable' : result.code }
  const { row, target } = result
  return { ok: true, row, ttlSeconds: target?.ttlSeconds ?? 0, pair: target }
}

const pairText = (p: VirtualPair): string => `${ipText(p.vip4)} ${ipText(p.vip6)}`
