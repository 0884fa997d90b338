import type { HostShown } from '#bridge/host-list.ts'
import { recall } from '#bridge/memory.ts'
import type { BridgeDirected, BridgeIn, PresentHost } from '#bridge/types.ts'
import { systemCalendar, systemClock } from '#io/clock.ts'
import { IoFault } from '#io/fault.ts'
import { Keystore } from '#io/keystore.ts'
import { type Link, listLinks } from '#io/links.ts'
import { parsePrefix, prefixText } from '#ntm-lib/addr/prefix.ts'
import type { Directed, NodeEvent } from '#ntm-lib/negotiate/node-events.ts'
import { CounterMap } from '#ntm-lib/ports/counters.ts'
import type { Log } from '#ntm-lib/ports/log.ts'
import { ROLE_BRIDGE, ROLE_NODE } from '#ntm-lib/wire/certificate.ts'
import type { HostClaim } from '#ntm-lib/wire/messages/common.ts'
import type { RegistrationResponse } from '#ntm-lib/wire/messages/registration.ts'
import type { BridgeConfig } from '../config/schema.ts'
import type { BridgeFromPlane, BridgeToPlane } from '../worker/bridge-words.ts'
import { openBox } from './box.ts'
import { onBoxEvent } from './box-events.ts'
import { boxShell } from './box-shell.ts'
import { BoxStatus } from './box-status.ts'
import { offerStatus, type Status } from './control.ts'
import { makeNode, type NtmNode } from './ntm-node.ts'
import type { PacketHost } from './packet-host.ts'
import { tellCounters, type Undo } from './process.ts'
import { rehearse } from './rehearsal.ts'
import { followSubnets } from './subnets.ts'
import { startPacketHost } from './thread-host.ts'
import { followWays } from './uplinks.ts'
import { Visits } from './visits.ts'
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
  // Before anybody waits for us: what is done for the first time takes several times as long as later.
  rehearse(undo)
  const show = await offerStatus(config.control.socket, 'bridge', undo)
  const links = await listLinks()
  const names = config.bridge
  // The ports may come later, as they may leave and return: without them it is a member of its network that has no hosts.
  const bridge = needLink(links, names.bridge, 'bridge.bridge')
  const counters = new CounterMap()
  const made = makeNode({ box, roles: ROLE_NODE | ROLE_BRIDGE, underlayMtuBytes: bridge.mtuBytes, log, counters })
  const told = new BoxStatus(made, box)
  const host = await startPacketHost<BridgeToPlane, BridgeFromPlane>({
    kind: 'bridge',
    role: null,
    udp: { port: config.udp.port },
    workers: config.packets.workers,
    cells: made.cells,
    log,
    counters,
    onOut: (out) => shell.onOut(out),
    onFail: fail,
  })
  undo.add(() => host.stop())
  tellCounters(
    log,
    counters,
    () => ({ paths: made.node.tunnels.size }),
    () => host.refresh(),
  )
  const shell: BridgeShell = new BridgeShell({
    ...{ config, bridge, made, told, host, log, undo, fail },
    touch: () => nodeShell.touch(),
  })
  const nodeShell = boxShell({ made, host, told, undo, onEvent: (event) => shell.onEvent(event) })
  show(() => shell.status())
  await shell.resume()
  const notPlaces = [names.tap, names.host, names.net]
  const mover = { made, port: config.udp.port, log, touch: () => nodeShell.touch() }
  followWays(undo, fail, mover, { interfaces: notPlaces })
  nodeShell.start()
  // Ready means: names work. Without its coordinator the box still bridges; that is said, and not waited for.
  const waited = new Promise((resolve) => setTimeout(resolve, READY_MS).unref())
  await Promise.race([shell.registered, waited, undo.stopping])
}

type ShellParts = {
  readonly config: BridgeConfig
  readonly bridge: Link
  readonly made: NtmNode
  readonly told: BoxStatus
  readonly host: PacketHost<BridgeToPlane>
  readonly log: Log
  readonly undo: Undo
  readonly fail: (why: Error) => void
  /** The node was used: its outputs are due. */
  readonly touch: () => void
}

/** Between the bridge's packet side and its negotiation: each asks the other through here. */
class BridgeShell {
  readonly #p: ShellParts
  readonly #store: Keystore
  readonly #visits: Visits
  /** Null until the network's plan is known; before that the packet side has nothing to look after. */
  #keeper: WireKeeper | null = null
  /** The network's plan that the wire is on; null before it is known. */
  #plan: Plan | null = null
  #following: Promise<void> = Promise.resolve()
  #tellRegistered: () => void = () => {}
  /** Resolves with the first registration. */
  readonly registered = new Promise<void>((resolve) => {
    this.#tellRegistered = resolve
  })

  constructor(parts: ShellParts) {
    this.#p = parts
    this.#store = new Keystore(parts.config.state)
    this.#visits = new Visits(parts.log, parts.made.hash, (input) => this.#tell(input))
  }

  /** Starts the wire on the plan of the last run, so that a rebooted box works before its coordinator answers. */
  async resume(): Promise<void> {
    const kept = this.#store.load(PLAN)
    if (kept === null) return
    // Written by an earlier version, it has no zones.
    const { virtual, zones = [] } = kept as { virtual: string[]; zones?: string[] }
    await this.#startWire({ virtual, zones })
    this.#tell({ in: 'zones', zones })
  }

  /** As `docs/operating.md` lists it. */
  async status(): Promise<Status> {
    const { host, told, config } = this.#p
    const hosts = (await host.ask({ say: 'hosts' })) as HostShown[]
    const { host: hostPort, net } = config.bridge
    const wire = { ...(this.#keeper?.state ?? { state: 'down', missing: null }), host: hostPort, net }
    return { ...told.head(), zones: this.#plan?.zones ?? [], wire, hosts, ...told.tail(systemClock.now()) }
  }

  onOut(out: BridgeFromPlane): void {
    if (out.out === 'port-gone') return this.#keeper?.lost()
    if (out.out === 'claim-hosts') return this.#claim(out.hosts)
    if (out.out === 'remember') return this.#store.save(HOSTS, out.hosts)
    const { sought, why, sources } = out
    this.#p.told.asked(String(out.id), sought)
    this.#p.made.node.direct(String(out.id), { sought, why, sources }, systemClock.now())
    this.#p.touch()
  }

  onEvent(event: NodeEvent): void {
    const { made, log } = this.#p
    switch (event.event) {
      case 'enrolled':
      case 'renewed':
      case 'refused':
        return onBoxEvent(made, log, event)
      case 'registered':
        // One after the other: a second answer while the first still brings the wire up must not count as ready.
        this.#following = this.#following.then(() => this.#onRegistered(event.answer, event.first)).catch(this.#p.fail)
        return
      case 'offline':
        this.#tell({ in: 'online', online: false })
        return onBoxEvent(made, log, event)
      case 'directed':
        return this.#onDirected(Number(event.tag), event.result)
      case 'asked':
        // Whom it is for, the coordinator has decided; what may go to whom, the contract says and the packet side sees to.
        return made.node.accept(event.transaction, event.message, this.#visits.asked(event.message), systemClock.now())
      case 'path-open':
      case 'path-way':
      case 'path-gone':
        // The packet side sees paths for itself.
        return this.#visits.onPath(event)
      case 'relay-asked':
      case 'path-mtu':
        return
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
    } else if (String(old.zones) !== String(plan.zones)) await this.#keeper?.close(this.#closed(plan))
    if (first) this.#p.log.info('box.registered', { hosts: answer.hosts.length })
    this.#tell({ in: 'online', online: true })
    this.#tell({ in: 'zones', zones: answer.zones })
    this.#tell({ in: 'granted', hosts: answer.hosts })
    this.#visits.granted(answer.hosts)
    this.#tellRegistered()
  }

  async #startWire(plan: Plan): Promise<void> {
    const { config, bridge, host, log, undo, fail } = this.#p
    this.#plan = plan
    const box = bridge.linkAddr
    if (box === null) throw new IoFault(`use ${bridge.name}`, new Error('it has no link address'))
    const virtual = plan.virtual.flatMap((text) => parsePrefix(text) ?? [])
    const closed = config.bridge.fail === 'closed'
    host.tell({ say: 'begin', config: { box, virtual, holdMillis: config.dns.hold_ms, closed } })
    this.#keeper = new WireKeeper({
      host,
      bridge: bridge.name,
      names: { host: config.bridge.host, net: config.bridge.net, tap: config.bridge.tap },
      plan: { box, virtual, closed: this.#closed(plan) },
      log,
      fail,
    })
    this.#tell({ in: 'remembered', hosts: recall(this.#store.load(HOSTS)) })
    await this.#keeper.start(undo)
    if (!config.bridge.seek) return
    followSubnets(undo, fail, bridge.name, (subnets) => this.#tell({ in: 'subnets', subnets }))
  }

  #closed(plan: Plan): readonly string[] {
    return this.#p.config.bridge.fail === 'closed' ? plan.zones : []
  }

  #claim(hosts: readonly PresentHost[]): void {
    const { where, node } = this.#p.made
    this.#visits.present(hosts)
    const names = (all: readonly HostClaim[]): string => String(all.flatMap((h) => [h.host, h.name]))
    if (names(hosts) === names(where.hosts)) return
    where.hosts = hosts
    where.version++
    node.changed(systemClock.now())
    this.#p.touch()
  }

  #onDirected(id: number, result: Directed): void {
    const { log } = this.#p
    this.#tell({ in: 'directed', id, result: this.#directed(result) })
    if (!result.ok) log.info('direction.refused', { code: result.code, text: result.text })
  }

  #directed(result: Directed): BridgeDirected {
    if (!result.ok) return { ok: false, why: result.code === 'timeout' ? 'unreachable' : result.code }
    if (result.target === null) return { ok: false, why: 'unsupported' }
    const { vip4, vip6, ttlSeconds, families } = result.target
    return { ok: true, vip4, vip6, ttlSeconds, families, tunnel: result.row }
  }

  /** Before the network's plan is known there are no hosts that it could concern. */
  #tell(input: Exclude<BridgeIn, { in: 'tunnel-mtu' | 'tunnel-ends' | 'tunnel-gone' }>): void {
    if (this.#keeper !== null) this.#p.host.tell({ say: 'core', input })
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
/** Hosts behind the bridge, `bridge/memory.ts`. */
const HOSTS = 'hosts.json'
const READY_MS = 10_000
