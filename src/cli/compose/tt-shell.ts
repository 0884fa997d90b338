import { systemClock, systemRandom } from '#io/clock.ts'
import { IoFault } from '#io/fault.ts'
import type { Endpoint } from '#ntm-lib/addr/endpoint.ts'
import type { NodeId } from '#ntm-lib/addr/ids.ts'
import type { Family } from '#ntm-lib/addr/ip.ts'
import type { Prefix } from '#ntm-lib/addr/prefix.ts'
import type { NodeEvent } from '#ntm-lib/negotiate/node-events.ts'
import type { Path } from '#ntm-lib/negotiate/tunnels.ts'
import type { Counters } from '#ntm-lib/ports/counters.ts'
import type { Log } from '#ntm-lib/ports/log.ts'
import type { PathExtend, RouteDirection } from '#ntm-lib/wire/messages/direction.ts'
import type { RegistrationResponse } from '#ntm-lib/wire/messages/registration.ts'
import { EgressPolicy, type EgressSettings } from '#tt/egress.ts'
import type { FlowWatch } from '#tt/flows.ts'
import { Resolver } from '#tt/resolver.ts'
import { Servers, type ServersOut } from '#tt/servers.ts'
import { TranslationTable } from '#tt/translation-table.ts'
import { Customers, pairKey } from './customers.ts'
import type { EdgePort } from './edge-port.ts'
import type { NtmNode } from './ntm-node.ts'
import { ResolverSockets } from './resolver-sockets.ts'
import { TtWire } from './tt-wire.ts'

export type TtShellParts = {
  readonly made: NtmNode
  readonly log: Log
  readonly counters: Counters
  readonly resolvers: readonly Endpoint[]
  readonly egress: Omit<EgressSettings, 'virtual'>
  readonly uplinkMtuBytes: number
  readonly send: (to: Endpoint, bytes: Uint8Array) => void
  readonly touch: () => void
  readonly seed: number
  /** Families that the uplink can reach. */
  readonly families: readonly Family[]
  readonly watch: FlowWatch | null
  /** Opens the edge for the nodes' prefixes. */
  readonly openEdge: (nodes: readonly Prefix[]) => Promise<Pick<EdgePort, 'port' | 'kernelSpendsHop'>>
  readonly ready: () => void
  readonly fail: (why: Error) => void
}

/** What runs once the network's ranges are known. */
type Running = {
  readonly table: TranslationTable
  readonly servers: Servers
  readonly wire: TtWire
  readonly sockets: ResolverSockets
  readonly policy: EgressPolicy
  readonly virtual: string
}

/** The terminator between its node, its servers and its packet loop. */
export class TtShell {
  readonly #p: TtShellParts
  readonly #customers: Customers
  readonly #asked = new Map<string, RouteDirection | PathExtend>()
  #running: Running | null = null
  #starting: Promise<void> = Promise.resolve()
  #timer: NodeJS.Timeout | undefined

  constructor(parts: TtShellParts) {
    this.#p = parts
    this.#customers = new Customers(parts.made.node.tunnels)
  }

  onEvent(event: NodeEvent): void {
    const { made, log } = this.#p
    switch (event.event) {
      case 'enrolled':
      case 'renewed':
        made.enrolled(event.chain)
        return log.info(`box.${event.event}`)
      case 'registered':
        this.#starting = this.#onRegistered(event.answer).catch(this.#p.fail)
        return
      case 'refused':
        return log.error('box.refused', { code: event.code, text: event.text })
      case 'offline':
        return log.warn('coordinator.lost')
      case 'asked':
        return this.#onAsked(event.transaction, event.message)
      case 'path-gone':
        return this.#onGone(event.peer)
      case 'directed':
      case 'path-open':
      case 'path-mtu':
        return
      default:
        return event satisfies never
    }
  }

  onInner(path: Path, bytes: Uint8Array): void {
    const customer = this.#customers.of(path)
    this.#running?.wire.fromTunnel(bytes, customer.node, (source) => customer.pairs.get(pairKey(source)) ?? null)
  }

  flush(): void {
    this.#running?.wire.flush()
  }

  /** Settles when nothing is being set up any more. */
  get starting(): Promise<void> {
    return this.#starting
  }

  /** This machine's addresses or routes changed. */
  onAddresses(egress: Pick<EgressSettings, 'own' | 'subnets'>, families: readonly Family[]): void {
    this.#running?.policy.update(egress)
    this.#running?.servers.setFamilies(families)
  }

  /** How full the packet side's tables are. */
  get tables(): { readonly customers: number; readonly flows: number; readonly servers: number } {
    const running = this.#running
    return {
      customers: this.#customers.size,
      flows: running?.wire.flows.size ?? 0,
      servers: running?.table.total ?? 0,
    }
  }

  stop(): void {
    clearTimeout(this.#timer)
    this.#running?.sockets.closeAll()
  }

  async #onRegistered(answer: RegistrationResponse): Promise<void> {
    const virtual = JSON.stringify(answer.virtual)
    if (this.#running !== null) {
      if (this.#running.virtual === virtual) return
      throw new IoFault('follow the network', new Error('its virtual ranges changed; start again to use the new ones'))
    }
    const [nodes4, servers4, nodes6, servers6] = answer.virtual
    if (nodes4 === undefined || servers4 === undefined || nodes6 === undefined || servers6 === undefined) {
      throw new IoFault('join the network', new Error('the coordinator did not tell its four virtual ranges'))
    }
    const { counters, egress, families, resolvers, made, send, seed, uplinkMtuBytes, watch } = this.#p
    const policy = new EgressPolicy({ ...egress, virtual: answer.virtual })
    const table = new TranslationTable(SERVERS_PER_NODE)
    const settings = { resolvers, families: [4, 6] as const, leastTtl: 5, mostTtl: 86_400 }
    const servers = new Servers(table, new Resolver(settings, systemRandom, counters), policy, families, counters)
    const edge = await this.#p.openEdge([nodes4, nodes6])
    const wire = new TtWire({
      edge: edge.port,
      kernelSpendsHop: edge.kernelSpendsHop,
      watch,
      innerMtu: (node) => {
        const customer = this.#customers.get(node.key)
        return customer === undefined ? LEAST_INNER_MTU : made.node.tunnels.innerMtu(customer.path)
      },
      table,
      egress: policy,
      counters,
      servers4,
      servers6,
      uplinkMtuBytes,
      seed,
      toTunnel: (node, memory, at, len) => {
        const customer = this.#customers.get(node.key)
        // Too big only when the path shrank since `innerMtu` was asked: counted there, and the sender tries again.
        if (customer !== undefined) made.node.tunnels.seal(customer.path, memory, at, len, send, systemClock.now())
      },
      touched: this.#p.touch,
    })
    const sockets = new ResolverSockets((socket, from, bytes) => {
      servers.datagram({ kind: 'datagram', from, bytes, socket }, systemClock.now())
      this.#settle()
    })
    this.#running = { table, servers, wire, sockets, policy, virtual }
    this.#p.log.info('box.registered')
    this.#p.ready()
    this.#settle()
  }

  #onAsked(transaction: string, message: RouteDirection | PathExtend): void {
    const { made } = this.#p
    const now = systemClock.now()
    if (this.#running === null) return made.node.decline(transaction, 'busy', 'not ready yet', now)
    const node = this.#customers.keyFor(message)
    if (message.target === null || node === null) {
      return made.node.accept(transaction, message, { ttlSeconds: 0, families: 0 }, now)
    }
    const { name, vip4, vip6 } = message.target
    this.#asked.set(transaction, message)
    this.#running.servers.ask({ id: transaction, node, name, pair: { vip4, vip6 } }, now)
    this.#settle()
  }

  #settle(): void {
    const running = this.#running
    if (running === null) return
    for (let out = running.servers.poll(); out !== null; out = running.servers.poll()) this.#onServers(out, running)
    running.wire.tick()
    this.#p.touch()
    clearTimeout(this.#timer)
    const due = running.servers.deadline()
    const wait = due === null ? IDLE_TICK : Math.min(IDLE_TICK, Math.max(0, Math.ceil(due - systemClock.now())))
    this.#timer = setTimeout(() => {
      running.servers.tick(systemClock.now())
      this.#settle()
    }, wait)
  }

  #onServers(out: ServersOut, running: Running): void {
    const { made, log } = this.#p
    const now = systemClock.now()
    switch (out.kind) {
      case 'send':
        return running.sockets.send(out.socket, out.to, out.bytes)
      case 'ask-tcp':
        return running.sockets.askTcp(out.socket, out.to, out.bytes)
      case 'close':
        return running.sockets.close(out.socket)
      case 'ready': {
        const message = this.#asked.get(out.id)
        this.#asked.delete(out.id)
        if (message === undefined) return
        const { ttlSeconds, families } = out
        log.debug('server.ready', { name: out.entry.name, ttlSeconds, families })
        return made.node.accept(out.id, message, { ttlSeconds, families }, now)
      }
      case 'refused':
        this.#asked.delete(out.id)
        log.info('server.refused', { code: out.code, text: out.text })
        return made.node.decline(out.id, out.code, out.text, now)
      default:
        return out satisfies never
    }
  }

  #onGone(peer: NodeId): void {
    const gone = this.#customers.gone(peer)
    if (gone === null) return
    this.#running?.servers.forget(gone.key, systemClock.now())
    if (gone.customer !== undefined) this.#running?.wire.traffic.removeNode(gone.customer.node)
  }
}

const SERVERS_PER_NODE = 16_384
/** RFC 8200 §5: every path takes this. */
const LEAST_INNER_MTU = 1280
/** Flows are swept at least this often, in milliseconds. */
const IDLE_TICK = 10_000
