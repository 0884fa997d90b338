import { Alarm } from '#io/alarm.ts'
import { systemRandom } from '#io/clock.ts'
import type { PortCounters } from '#io/native.ts'
import { BugError } from '#ntm-lib/base/invariant.ts'
import { after, type Instant, seconds, sooner } from '#ntm-lib/base/time.ts'
import type { MirrorCommand } from '#ntm-lib/negotiate/mirror.ts'
import type { SuperBatch } from '#ntm-lib/ports/packet-port.ts'
import { EgressPolicy } from '#tt/egress.ts'
import { watchAll } from '#tt/flows.ts'
import { Resolver } from '#tt/resolver.ts'
import { Servers, type ServersOut } from '#tt/servers.ts'
import { LeadShare } from '#tt/share/lead-share.ts'
import { TranslationTable } from '#tt/translation-table.ts'
import { flowLog } from './flow-log.ts'
import { ResolverSockets } from './resolver-sockets.ts'
import type { RoleParts, RolePlane, StartRole } from './role-plane.ts'
import { Customers } from './tt-customers.ts'
import { type EdgePort, openEdgePort, segmenter } from './tt-edge.ts'
import { TtFollowPlane } from './tt-follow-plane.ts'
import { TtLead } from './tt-lead.ts'
import { TtWire } from './tt-wire.ts'
import type { EdgeKind, TtIn, TtOut, TtPlaneConfig, TtTables, VirtualPlan } from './tt-words.ts'

export const startTtPlane: StartRole<TtPlaneConfig, TtIn, TtOut> = async (config, parts) => ({
  role: parts.lead ? new TtPlane(config, parts) : new TtFollowPlane(config, parts),
})

/** What runs once the network's ranges are known. */
type Running = {
  readonly table: TranslationTable
  readonly servers: Servers
  readonly wire: TtWire
  readonly edge: EdgePort
  readonly sockets: ResolverSockets
  readonly policy: EgressPolicy
  readonly lead: TtLead
}

/** The terminator's packet side: its tables, its resolver and its packet loop, in the packet worker. */
class TtPlane implements RolePlane<TtIn> {
  readonly #p: RoleParts<TtOut>
  readonly #alarm: Alarm
  readonly #customers = new Customers()
  #config: TtPlaneConfig
  #running: Running | null = null

  constructor(config: TtPlaneConfig, parts: RoleParts<TtOut>) {
    this.#p = parts
    this.#config = config
    this.#alarm = new Alarm(parts.clock, () => {
      const now = parts.clock.now()
      this.#running?.servers.tick(now)
      this.#settle(now)
    })
  }

  handle(input: TtIn, now: Instant): unknown {
    const running = this.#running
    switch (input.say) {
      case 'open':
        if (running !== null) throw new BugError('the edge is open already')
        this.#open(input.virtual, input.edge)
        return this.#settle(now)
      case 'server':
        if (running === null) throw new BugError('a server asked for before the edge is open')
        running.servers.ask(input.asked, now)
        return this.#settle(now)
      case 'addresses': {
        const { egress, families } = input
        this.#config = { ...this.#config, egress: { ...this.#config.egress, ...egress }, families }
        running?.policy.update(egress)
        return running?.servers.setFamilies(families)
      }
      case 'tables': {
        const tables: TtTables = {
          customers: this.#customers.size,
          flows: running?.wire.flows.size ?? 0,
          servers: running?.table.total ?? 0,
          serversEach: SERVERS_PER_NODE,
        }
        return tables
      }
      default:
        return input satisfies never
    }
  }

  mirrored(command: MirrorCommand, now: Instant): void {
    const gone = this.#customers.mirrored(command)
    if (gone === null || this.#running === null) return
    this.#running.servers.forget(gone.key, now)
    this.#running.wire.traffic.removeNode(gone)
    this.#settle(now)
  }

  inner(row: number, b: SuperBatch, i: number, now: Instant): void {
    const customer = this.#customers.at(row)
    // Before the edge is open nobody has been told of a server here.
    if (customer === null || this.#running === null) return this.#p.counters.count('tt.drop.not-open')
    this.#running.wire.fromTunnel(row, customer, b, i, now)
  }

  afterOpen(): void {
    this.#running?.wire.afterOpen(this.#p.clock.now())
    this.#running?.lead.settle()
  }

  *ports(): Iterable<readonly [string, PortCounters]> {
    if (this.#running !== null) yield ['edge', this.#running.edge.counters()]
  }

  stop(): void {
    this.#alarm.stop()
    this.#running?.sockets.closeAll()
    this.#running?.edge.port.close()
  }

  #open(virtual: VirtualPlan, kind: EdgeKind): void {
    const { counters, plane, clock, log, fail, io, links, workers } = this.#p
    const { resolvers, egress, families, seed, uplinkMtuBytes, flowLog: isLogged } = this.#config
    const policy = new EgressPolicy({
      ...egress,
      virtual: [virtual.nodes4, virtual.servers4, virtual.nodes6, virtual.servers6],
    })
    const table = new TranslationTable(SERVERS_PER_NODE)
    const settings = { resolvers, families: [4, 6] as const, leastTtl: 5, mostTtl: 86_400 }
    const servers = new Servers(table, new Resolver(settings, systemRandom, counters), policy, families, counters)
    const segment = segmenter(io)
    const edge = openEdgePort(kind, segment, fail, workers > 1)
    const share = new LeadShare({
      use: (flow, out, back, now) => wire.flows.used(flow, out, back, now),
      policy,
      followers: links.length,
    })
    const watches = [...(isLogged ? [flowLog(log)] : []), ...(links.length > 0 ? [share] : [])]
    const wire: TtWire = new TtWire({
      edge: edge.port,
      kernelSpendsHop: edge.kernelSpendsHop,
      plane,
      table,
      egress: policy,
      counters,
      clock,
      virtual,
      uplinkMtuBytes,
      seed,
      watch: watches.length === 0 ? null : watchAll(watches),
      segment,
      share: { index: 0, of: workers },
      onRound: () => lead.settle(),
    })
    const lead: TtLead = new TtLead({ links, share, wire, customers: this.#customers, counters, clock })
    const sockets = new ResolverSockets((socket, from, bytes) => {
      const now = clock.now()
      servers.datagram({ kind: 'datagram', from, bytes, socket }, now)
      this.#settle(now)
    })
    this.#running = { table, servers, wire, edge, sockets, policy, lead }
  }

  /** Performs what the servers have to say and sets the one timer anew. */
  #settle(now: Instant): void {
    const running = this.#running
    if (running === null) return
    for (let out = running.servers.poll(); out !== null; out = running.servers.poll()) this.#onServers(out, running)
    running.wire.tick(now)
    running.lead.settle()
    // Flows are swept at least this often.
    this.#alarm.set(sooner(running.servers.deadline(), after(now, SWEEP)))
  }

  #onServers(out: ServersOut, { sockets }: Running): void {
    const { tell } = this.#p
    switch (out.kind) {
      case 'send':
        return sockets.send(out.socket, out.to, out.bytes)
      case 'ask-tcp':
        return sockets.askTcp(out.socket, out.to, out.bytes)
      case 'close':
        return sockets.close(out.socket)
      case 'ready': {
        const { id, ttlSeconds, families, entry } = out
        return tell({ say: 'ready', id, name: entry.name, ttlSeconds, families })
      }
      case 'refused':
        return tell({ say: 'refused', id: out.id, code: out.code, text: out.text })
      default:
        return out satisfies never
    }
  }
}

const SERVERS_PER_NODE = 16_384
const SWEEP = seconds(10)
