import { CoordinatorCore } from '#coordinator/core.ts'
import { Links } from '#coordinator/links.ts'
import { nodeCrypto } from '#io/crypto-node.ts'
import { mirrorCells } from '#io/mirror-cells.ts'
import type { Endpoint } from '#ntm-lib/addr/endpoint.ts'
import { type Ip, isIp4 } from '#ntm-lib/addr/ip.ts'
import type { Ip4 } from '#ntm-lib/addr/ip4.ts'
import type { Via } from '#ntm-lib/addr/via.ts'
import { type Instant, seconds, sooner, type WallTime, wallTime } from '#ntm-lib/base/time.ts'
import { isCoordinator, verifyChain } from '#ntm-lib/crypto/certificate.ts'
import { identityOf } from '#ntm-lib/crypto/identity.ts'
import { CHACHA20_POLY1305, type CryptoSuite } from '#ntm-lib/crypto/suite.ts'
import { ControlClient } from '#ntm-lib/negotiate/control-client.ts'
import { ControlServer } from '#ntm-lib/negotiate/control-server.ts'
import type { MirrorEvent } from '#ntm-lib/negotiate/mirror.ts'
import { Node } from '#ntm-lib/negotiate/node.ts'
import type { Directed, NodeEvent } from '#ntm-lib/negotiate/node-events.ts'
import { type Path, Tunnels } from '#ntm-lib/negotiate/tunnels.ts'
import { CounterMap } from '#ntm-lib/ports/counters.ts'
import type { Candidate, HostClaim } from '#ntm-lib/wire/messages/common.ts'
import type { RefusalCode } from '#ntm-lib/wire/messages/refusal.ts'
import type { RegistrationResponse } from '#ntm-lib/wire/messages/registration.ts'
import type { Disk, Home } from './home.ts'
import type { Plugged } from './internet.ts'
import { mode } from './mirror-mode.ts'
import { PlaneWorker } from './plane-worker.ts'
import type { Actor } from './world.ts'

type Sent = { readonly to: Endpoint; readonly bytes: Uint8Array; readonly via?: Via | null }

/** What a terminator says to a direction: what its resolution found, a refusal, or nothing at all. */
export type Verdict = { readonly ttlSeconds: number; readonly families: number } | RefusalCode | 'silent'

/** One start of a box's program: the real negotiation with nothing around it but the world's wire. */
export class BoxActor implements Actor {
  readonly name: string
  readonly disk: Disk
  readonly node: Node
  readonly tunnels: Tunnels
  readonly counters = new CounterMap()
  readonly events: NodeEvent[] = []
  readonly received: Uint8Array[] = []
  readonly directed = new Map<string, { readonly result: Directed; readonly at: Instant }>()
  readonly asked: string[] = []
  candidates: readonly Candidate[]
  hosts: readonly HostClaim[] = []
  version = 1
  vias: readonly Via[] = []
  /** Called with every inner packet that is let in. */
  onInner: ((inner: Uint8Array, now: Instant) => void) | null = null
  verdict: (server: string) => Verdict = () => ({ ttlSeconds: 60, families: 2 })
  registration: RegistrationResponse | null = null
  /** Where packets are opened and sealed when not here. */
  readonly worker: PlaneWorker | null
  readonly suite: CryptoSuite
  readonly #heard: MirrorEvent[] = []
  readonly #out: Sent[] = []
  #now: Instant

  constructor(system: Home, actorName: string, disk: Disk, candidates: readonly Candidate[], suite: CryptoSuite) {
    this.name = actorName
    this.disk = disk
    this.candidates = candidates
    this.suite = suite
    this.#now = system.now
    const { root, coordinator } = system.network
    const bootId = suite.random(8)
    const today = (): WallTime => system.today()
    const trust = { rootPublicKey: root.public, now: today, floor: () => wallTime(0), revoked: () => false }
    const log = system.logOf(actorName)
    const cells = mode.mirror ? mirrorCells(64) : null
    const emit = (event: MirrorEvent): void => void this.#heard.push(event)
    this.worker = cells === null ? null : new PlaneWorker({ suite, cells, counters: this.counters, emit })
    this.tunnels = new Tunnels({
      suite,
      mirror: cells === null ? null : { cells },
      identity: identityOf(suite, disk.key, disk.chain),
      trust,
      random: { bytes: (n) => suite.random(n) },
      log,
      counters: this.counters,
      bootId,
      revocationVersion: () => 0,
      settings: {
        innerMtuBytes: 1500,
        underlayMtuBytes: 1500,
        suites: [CHACHA20_POLY1305],
        resetSecret: disk.resetSecret,
      },
    })
    const coordinatorKey = coordinator.static.public
    const control = new ControlClient({
      caller: { suite, self: disk.key, fingerprint: root.fingerprint, coordinatorKey, bootId, roles: disk.roles },
      endpoints: system.endpoints,
      enrol: disk.enrol,
      log,
      counters: this.counters,
    })
    this.node = new Node({
      control,
      tunnels: this.tunnels,
      self: {
        bootId,
        presence: () => ({
          name: disk.chain.length === 0 ? '' : disk.name,
          candidates: this.candidates,
          hosts: this.hosts,
          mtuBytes: 1500,
        }),
        version: () => this.version,
      },
      membership: { chain: disk.chain, today },
      hash: (bytes) => suite.hash(bytes),
      counters: this.counters,
      random: { bytes: (n) => suite.random(n) },
      trusts: (chain) => {
        const proven = verifyChain({ suite, chain, ...trust, now: today(), floor: wallTime(0) })
        return proven.ok && isCoordinator(proven.value) && suite.equal(proven.value.leaf.subject, coordinatorKey)
      },
      directionTimeout: seconds(1.8),
    })
    this.node.start(this.#now)
  }

  handle(from: Endpoint, bytes: Uint8Array, now: Instant, local?: Ip): void {
    this.#now = now
    if (((bytes[0] ?? 0) & 15) !== 4) return this.node.handle(from, bytes, now)
    const inner =
      this.worker !== null
        ? this.worker.take(from, bytes, now, local)
        : (this.tunnels.open(from, bytes, now, local)?.bytes ?? null)
    if (inner !== null) this.received.push(inner)
    if (inner !== null) this.onInner?.(inner, now)
    this.#told(now)
    this.node.settle(now)
  }

  /** As the shell does: other interfaces are other candidates and other ways out. */
  replugged(plugs: readonly Plugged[], now: Instant): void {
    this.#now = now
    const port = 4330
    this.candidates = plugs.flatMap(({ ips }) =>
      ips.map((ip) => ({ type: 'local' as const, endpoint: { ip, port }, priority: isIp4(ip) ? 100 : 110 })),
    )
    this.version++
    this.vias = plugs.flatMap(({ ifindex, ips }) => ips.map((ip) => ({ ifindex, ip })))
    this.node.setVias(this.vias, now)
  }

  tick(now: Instant): void {
    this.#now = now
    this.node.tick(now)
  }

  deadline(): Instant | null {
    return this.node.deadline()
  }

  poll(): Sent | null {
    for (let o = this.node.poll(); o !== null; o = this.node.poll()) {
      if (o.out === 'send') {
        this.worker?.passes(o.bytes)
        this.#out.push(o)
      } else if (o.out === 'mirror') this.worker?.apply(o.command, this.#now)
      else this.#onEvent(o.event)
    }
    return this.#out.shift() ?? null
  }

  get registered(): boolean {
    return this.node.state === 'registered'
  }

  /** Asks for a name, as the DNS function would; the answer lands in `directed`. */
  ask(server: string, now: Instant, sources: readonly Ip4[] = []): void {
    this.node.direct(server, { sought: { by: 'name', name: server }, why: 'dns', sources }, now)
  }

  answered(server: string): Directed | null {
    return this.directed.get(server)?.result ?? null
  }

  say(path: Path, inner: Uint8Array, now: Instant): boolean {
    const arena = new Uint8Array(inner.length + 128)
    arena.set(inner, 64)
    const emit = (to: Endpoint, bytes: Uint8Array, via: Via | null = null): void =>
      void this.#out.push({ to, bytes: bytes.slice(), via })
    const memory = { arena, view: new DataView(arena.buffer) }
    const sealed =
      this.worker !== null
        ? this.worker.put(path.row, inner, emit, now)
        : this.tunnels.seal(path, memory, 64, inner.length, emit, now)
    this.#told(now)
    this.node.settle(now)
    return sealed.ok
  }

  told<E extends NodeEvent['event']>(event: E): Extract<NodeEvent, { event: E }>[] {
    return this.events.filter((e): e is Extract<NodeEvent, { event: E }> => e.event === event)
  }

  /** What the worker said goes to the negotiation. */
  #told(now: Instant): void {
    for (let e = this.#heard.shift(); e !== undefined; e = this.#heard.shift()) this.node.onMirror(e, now)
  }

  #onEvent(event: NodeEvent): void {
    this.events.push(event)
    if (event.event === 'enrolled' || event.event === 'renewed') {
      this.disk.chain = event.chain
      this.disk.enrol = null
      this.tunnels.setIdentity(identityOf(nodeCrypto, this.disk.key, event.chain))
    } else if (event.event === 'registered') this.registration = event.answer
    else if (event.event === 'directed') this.directed.set(event.tag, { result: event.result, at: this.#now })
    else if (event.event === 'asked') {
      const server = event.message.target?.name ?? ''
      this.asked.push(server)
      const verdict = this.verdict(server)
      if (verdict === 'silent') return
      if (typeof verdict === 'string') return this.node.decline(event.transaction, verdict, server, this.#now)
      this.node.accept(event.transaction, event.message, verdict, this.#now)
    }
  }
}

/** One start of the coordinator's program. */
export class CoordinatorActor implements Actor {
  readonly name: string
  readonly server: ControlServer
  readonly links: Links
  readonly core: CoordinatorCore
  readonly counters = new CounterMap()
  readonly #system: Home
  #now: Instant

  constructor(system: Home, suite: CryptoSuite, name = 'dc') {
    this.name = name
    this.#system = system
    this.#now = system.now
    const { root, issuer, coordinator } = system.network
    const { fingerprint } = root
    const calendar = { today: () => system.today() }
    const log = system.logOf(name)
    const counters = this.counters
    this.links = new Links({
      ...{ suite, calendar, log, counters, fingerprint, rootKey: root.public, chain: coordinator.chain },
      ...{ self: coordinator.static, endpoints: system.endpoints, zone: system.settings.zone },
    })
    for (const { zone, lead } of system.federation) this.links.configure(zone, lead, this.#now)
    this.server = new ControlServer({
      callee: { suite, self: coordinator.static, fingerprint },
      policy: {
        admits: (node, key, roles) => this.core.admits(node, key, roles),
        tokenPsk: (id) => this.core.tokenPsk(id),
      },
      words: () => ({ time: system.today(), keepAliveSeconds: 20, revocationVersion: 0 }),
      log,
      counters: this.counters,
    })
    this.core = new CoordinatorCore({
      sessions: this.server,
      zones: this.links,
      store: system.store,
      suite,
      calendar,
      random: { bytes: (n) => suite.random(n) },
      log,
      counters: this.counters,
      settings: system.settings,
      keys: { node: coordinator.nodeId, fingerprint, rootKey: root.public, chain: coordinator.chain, issuer },
    })
  }

  handle(from: Endpoint, bytes: Uint8Array, now: Instant): void {
    this.#now = now
    if (!this.links.handle(from, bytes, now)) this.server.handle(from, bytes, now)
  }

  tick(now: Instant): void {
    this.#now = now
    this.server.tick(now)
    this.links.tick(now)
    this.core.tick(now)
  }

  deadline(): Instant | null {
    return sooner(sooner(this.server.deadline(), this.links.deadline()), this.core.deadline())
  }

  poll(): Sent | null {
    for (;;) {
      const out = this.server.poll()
      if (out?.out === 'event') this.core.handle(out.event, this.#now)
      if (out?.out === 'send') return out
      const link = this.links.poll()
      if (link?.out === 'send') return link
      if (link?.out === 'event') this.core.onLink(link.event, this.#now)
      if (link?.out === 'find') this.links.found(link.name, this.#system.lookUp(link.name), this.#now)
      while (this.core.poll() !== null);
      if (out === null && link === null) return null
    }
  }
}
