import type { BridgeDirected } from '#bridge/types.ts'
import { systemCalendar, systemClock } from '#io/clock.ts'
import { nodeCrypto } from '#io/crypto-node.ts'
import { IoFault } from '#io/fault.ts'
import { Keystore } from '#io/keystore.ts'
import { type Link, listLinks } from '#io/links.ts'
import { openUdp } from '#io/udp-native.ts'
import { parsePrefix, prefixText } from '#ntm-lib/addr/prefix.ts'
import type { Directed, NodeEvent } from '#ntm-lib/negotiate/node-events.ts'
import { rehearse } from '#ntm-lib/negotiate/rehearse.ts'
import { CounterMap } from '#ntm-lib/ports/counters.ts'
import type { Log } from '#ntm-lib/ports/log.ts'
import type { Batch } from '#ntm-lib/ports/packet-port.ts'
import { ROLE_BRIDGE, ROLE_NODE } from '#ntm-lib/wire/certificate.ts'
import type { HostClaim } from '#ntm-lib/wire/messages/common.ts'
import type { RegistrationResponse } from '#ntm-lib/wire/messages/registration.ts'
import type { BridgeConfig } from '../config/schema.ts'
import { followAddresses, locate } from './addresses.ts'
import { openBox } from './box.ts'
import { NodeShell } from './node-shell.ts'
import { makeNode, type NtmNode, REHEARSALS } from './ntm-node.ts'
import { tellCounters, type Undo } from './process.ts'
import { TunnelRefs } from './tunnel-refs.ts'
import { WireKeeper } from './wire-keeper.ts'

/** Joins the bridge's core to its node, its ports and its rules. Resolves when the wire is being watched. */
export async function startBridge(
  file: string,
  config: BridgeConfig,
  log: Log,
  undo: Undo,
  fail: (why: Error) => void,
): Promise<void> {
  const box = openBox({ file, state: config.state, network: config.network }, systemCalendar.today())
  // Before anybody waits for us: a first handshake in cold code takes three times as long as the next.
  rehearse(nodeCrypto, systemCalendar.today(), REHEARSALS)
  const links = await listLinks()
  const names = config.bridge
  const bridge = needLink(links, names.bridge, 'bridge.bridge')
  for (const key of ['host', 'net'] as const) needLink(links, names[key], `bridge.${key}`)
  const counters = new CounterMap()
  const made = makeNode({ box, roles: ROLE_NODE | ROLE_BRIDGE, underlayMtuBytes: bridge.mtuBytes, log, counters })
  tellCounters(log, counters, () => ({ paths: made.node.tunnels.size }))
  const udp = openUdp({ port: config.udp.port })
  undo.add(() => udp.close())
  const shell = new BridgeShell({ config, bridge, made, log, counters, undo, fail })
  const nodeShell = new NodeShell({
    node: made.node,
    udp,
    clock: systemClock,
    onEvent: (event) => shell.onEvent(event),
    onInner: (_path, bytes) => shell.keeper?.fromTunnel(bytes),
    onBurstEnd: () => shell.keeper?.flush(),
  })
  shell.send = (tunnel, memory, at, len) => {
    const key = shell.refs.keyOf(tunnel)
    const path = key === null ? null : made.node.tunnels.byKey(key)
    if (path === null) return counters.count('bridge.drop.no-path')
    made.node.tunnels.seal(path, memory, at, len, (to, bytes) => udp.send(to, bytes), systemClock.now())
  }
  shell.touch = () => nodeShell.touch()
  undo.add(() => nodeShell.stop())
  await shell.resume()
  const notPlaces = [names.tap, names.host, names.net]
  await locate(made, config.udp.port, notPlaces)
  nodeShell.start()
  followAddresses(undo, fail, async () => {
    if (undo.isStopping || !(await locate(made, config.udp.port, notPlaces))) return
    log.info('box.moved', { candidates: made.where.candidates.length })
    made.node.changed(systemClock.now())
    nodeShell.touch()
  })
  // Ready means: names work. Without its coordinator the box still bridges; that is said, and not waited for.
  const waited = new Promise((resolve) => setTimeout(resolve, READY_MS).unref())
  await Promise.race([shell.registered, waited, undo.stopping])
}

type ShellParts = {
  readonly config: BridgeConfig
  readonly bridge: Link
  readonly made: NtmNode
  readonly log: Log
  readonly counters: CounterMap
  readonly undo: Undo
  readonly fail: (why: Error) => void
}

class BridgeShell {
  readonly refs = new TunnelRefs()
  keeper: WireKeeper | null = null
  send: (tunnel: number, memory: Batch, at: number, len: number) => void = () => {}
  touch: () => void = () => {}
  readonly #p: ShellParts
  readonly #store: Keystore
  /** The network's plan that the wire is on; null before it is known. */
  #plan: Plan | null = null
  #tellRegistered: () => void = () => {}
  /** Resolves with the first registration. */
  readonly registered = new Promise<void>((resolve) => {
    this.#tellRegistered = resolve
  })

  constructor(parts: ShellParts) {
    this.#p = parts
    this.#store = new Keystore(parts.config.state)
  }

  /** Starts the wire on the plan of the last run, so that a rebooted box works before its coordinator answers. */
  async resume(): Promise<void> {
    const kept = this.#store.load(PLAN)
    if (kept === null) return
    // Written by an earlier version, it has no zones.
    const { virtual, zones = [] } = kept as { virtual: string[]; zones?: string[] }
    await this.#startWire({ virtual, zones })
    this.keeper?.handle({ in: 'zones', zones })
  }

  onEvent(event: NodeEvent): void {
    const { made, log } = this.#p
    switch (event.event) {
      case 'enrolled':
      case 'renewed':
        made.enrolled(event.chain)
        return log.info(`box.${event.event}`)
      case 'registered':
        void this.#onRegistered(event.answer, event.first).catch(this.#p.fail)
        return
      case 'refused':
        return log.error('box.refused', { code: event.code, text: event.text })
      case 'offline':
        this.keeper?.handle({ in: 'online', online: false })
        return log.warn('coordinator.lost')
      case 'directed':
        return this.#onDirected(Number(event.tag), event.result)
      case 'asked':
        // Directions towards the host behind us come with a later capability; until then they are refused, not ignored.
        return made.node.decline(
          event.transaction,
          'unsupported',
          'this bridge takes no inbound paths',
          systemClock.now(),
        )
      case 'path-open':
      case 'path-mtu':
        return this.#tellMtu(event.contractHash)
      case 'path-gone': {
        const ref = this.refs.remove(event.contractHash)
        if (ref !== null) this.keeper?.handle({ in: 'tunnel-gone', tunnel: ref })
        return
      }
      default:
        return event satisfies never
    }
  }

  async #onRegistered(answer: RegistrationResponse, first: boolean): Promise<void> {
    const plan: Plan = { virtual: answer.virtual.map(prefixText), zones: answer.zones }
    const old = this.#plan
    if (JSON.stringify(old) !== JSON.stringify(plan)) {
      this.#store.save(PLAN, plan)
      this.#plan = plan
    }
    if (old === null) await this.#startWire(plan)
    else if (String(old.virtual) !== String(plan.virtual)) {
      throw new IoFault('follow the network', new Error('its virtual ranges changed; start again to use the new ones'))
    } else if (String(old.zones) !== String(plan.zones)) await this.keeper?.close(this.#closed(plan))
    if (first) this.#p.log.info('box.registered', { hosts: answer.hosts.length })
    this.keeper?.handle({ in: 'online', online: true })
    this.keeper?.handle({ in: 'zones', zones: answer.zones })
    this.keeper?.handle({ in: 'granted', hosts: answer.hosts })
    this.#tellRegistered()
  }

  async #startWire(plan: Plan): Promise<void> {
    const { config, bridge, log, undo, fail, counters, made } = this.#p
    this.#plan = plan
    const { host, net, tap } = config.bridge
    const box = bridge.linkAddr
    if (box === null) throw new IoFault(`use ${bridge.name}`, new Error('it has no link address'))
    const virtual = plan.virtual.flatMap((text) => parsePrefix(text) ?? [])
    this.keeper = new WireKeeper({
      bridge: bridge.name,
      names: { host, net, tap },
      plan: { box, virtual, closed: this.#closed(plan) },
      holdMillis: config.dns.hold_ms,
      closed: config.bridge.fail === 'closed',
      log,
      fail,
      counters,
      toTunnel: (tunnel, memory, at, len) => this.send(tunnel, memory, at, len),
      onOut: (out) => {
        if (out.out === 'claim-hosts') return this.#claim(out.hosts)
        const { sought, why, sources } = out
        made.node.direct(String(out.id), { sought, why, sources }, systemClock.now())
        this.touch()
      },
      touched: () => this.touch(),
    })
    await this.keeper.start(undo)
  }

  #closed(plan: Plan): readonly string[] {
    return this.#p.config.bridge.fail === 'closed' ? plan.zones : []
  }

  #claim(hosts: readonly HostClaim[]): void {
    const { where, node } = this.#p.made
    where.hosts = hosts
    where.version++
    node.changed(systemClock.now())
    this.touch()
  }

  #onDirected(id: number, result: Directed): void {
    const { log } = this.#p
    this.keeper?.handle({ in: 'directed', id, result: this.#directed(result) })
    if (!result.ok) log.info('direction.refused', { code: result.code, text: result.text })
  }

  #directed(result: Directed): BridgeDirected {
    if (!result.ok) return { ok: false, why: result.code === 'timeout' ? 'unreachable' : result.code }
    if (result.target === null) return { ok: false, why: 'unsupported' }
    const { vip4, vip6, ttlSeconds } = result.target
    this.#tellMtu(result.contractHash)
    return { ok: true, vip4, vip6, ttlSeconds, tunnel: this.refs.refOf(result.contractHash) }
  }

  #tellMtu(contractHash: Uint8Array): void {
    const { tunnels } = this.#p.made.node
    const path = tunnels.byContract(contractHash)
    if (path === null) return
    const tunnel = this.refs.refOf(contractHash)
    const [innerBytes, wholeBytes] = [tunnels.innerMtu(path), tunnels.clampMtu(path)]
    this.keeper?.handle({ in: 'tunnel-mtu', tunnel, innerBytes, wholeBytes })
  }
}

function needLink(links: readonly Link[], name: string, key: string): Link {
  const link = links.find((l) => l.name === name)
  if (link !== undefined) return link
  const there = links.map((l) => l.name).join(', ')
  throw new IoFault(`use ${name}`, new Error(`no such interface (${key}); this machine has ${there}`))
}

/** What the wire needs of the network, kept between runs: prefixes as text, zones normalised. */
type Plan = { readonly virtual: readonly string[]; readonly zones: readonly string[] }

const PLAN = 'plan.json'
const READY_MS = 10_000
