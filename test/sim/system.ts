import { CoordinatorCore } from '#coordinator/core.ts'
import { makeNetwork, makeToken } from '#coordinator/network.ts'
import { type CoordinatorSettings, DEFAULT_SETTINGS } from '#coordinator/settings.ts'
import { MemoryStore } from '#coordinator/store-memory.ts'
import { nodeCrypto } from '#io/crypto-node.ts'
import { mirrorCells } from '#io/mirror-cells.ts'
import type { Endpoint } from '#ntm-lib/addr/endpoint.ts'
import { type Ip4, ip4FromWord } from '#ntm-lib/addr/ip4.ts'
import { hex } from '#ntm-lib/base/hex.ts'
import { BugError } from '#ntm-lib/base/invariant.ts'
import { type Instant, type Millis, seconds, sooner, type WallTime, wallTime } from '#ntm-lib/base/time.ts'
import { isCoordinator, verifyChain } from '#ntm-lib/crypto/certificate.ts'
import { identityOf, makeMembership, type Signer } from '#ntm-lib/crypto/identity.ts'
import { nodeIdOf } from '#ntm-lib/crypto/schedule.ts'
import { CHACHA20_POLY1305, type CryptoSuite, type KeyPair } from '#ntm-lib/crypto/suite.ts'
import { ControlClient } from '#ntm-lib/negotiate/control-client.ts'
import { ControlServer } from '#ntm-lib/negotiate/control-server.ts'
import type { MirrorEvent } from '#ntm-lib/negotiate/mirror.ts'
import { Node } from '#ntm-lib/negotiate/node.ts'
import type { Directed, NodeEvent } from '#ntm-lib/negotiate/node-events.ts'
import { type Path, Tunnels } from '#ntm-lib/negotiate/tunnels.ts'
import { CounterMap } from '#ntm-lib/ports/counters.ts'
import type { Log, LogFields } from '#ntm-lib/ports/log.ts'
import { decodeSignedCertificate, ROLE_BRIDGE, ROLE_NODE, ROLE_TT } from '#ntm-lib/wire/certificate.ts'
import type { HostClaim } from '#ntm-lib/wire/messages/common.ts'
import type { RefusalCode } from '#ntm-lib/wire/messages/refusal.ts'
import type { RegistrationResponse } from '#ntm-lib/wire/messages/registration.ts'
import { innerPacket } from '#test/support/inner.ts'
import { endpointOf } from '#test/support/route.ts'
import { seededCrypto } from '#test/support/seeded-crypto.ts'
import { mode } from './mirror-mode.ts'
import { Nat } from './nat.ts'
import { PlaneWorker } from './plane-worker.ts'
import { calm, type Weather } from './weather.ts'
import { type Actor, World } from './world.ts'

//  bridge 192.168.1.2 ── NAT 203.0.113.5 ──┬── coordinator 198.51.100.1
//                                          └── terminator  198.51.100.9
export const DC = endpointOf('198.51.100.1:4330')
export const TT = endpointOf('198.51.100.9:4330')
export const HOME = endpointOf('192.168.1.2:4330')
export const OUTSIDE = endpointOf('203.0.113.5:40000')
export const EVE = endpointOf('192.0.2.66:6666')

export type Logged = { readonly event: string; readonly fields: LogFields }
type Sent = { to: Endpoint; bytes: Uint8Array }

/** What one box keeps on disk. */
export type Disk = {
  readonly name: string
  readonly roles: number
  readonly key: KeyPair
  readonly resetSecret: Uint8Array
  chain: readonly Uint8Array[]
  enrol: ConstructorParameters<typeof ControlClient>[0]['enrol']
}

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
  hosts: readonly HostClaim[] = []
  version = 1
  verdict: (server: string) => Verdict = () => ({ ttlSeconds: 60, families: 2 })
  registration: RegistrationResponse | null = null
  /** Where packets are opened and sealed when not here. */
  readonly worker: PlaneWorker | null
  readonly #heard: MirrorEvent[] = []
  readonly #out: Sent[] = []
  #now: Instant

  constructor(system: System, actorName: string, disk: Disk, at: Endpoint, suite: CryptoSuite) {
    this.name = actorName
    this.disk = disk
    this.#now = system.world.now
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
      endpoints: [DC],
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
          candidates: [{ type: 'local', endpoint: at, priority: 100 }],
          hosts: this.hosts,
          mtuBytes: 1500,
        }),
        version: () => this.version,
      },
      membership: { chain: disk.chain, today },
      hash: (bytes) => suite.hash(bytes),
      counters: this.counters,
      trusts: (chain) => {
        const proven = verifyChain({ suite, chain, ...trust, now: today(), floor: wallTime(0) })
        return proven.ok && isCoordinator(proven.value) && suite.equal(proven.value.leaf.subject, coordinatorKey)
      },
      directionTimeout: seconds(1.8),
    })
    this.node.start(this.#now)
  }

  handle(from: Endpoint, bytes: Uint8Array, now: Instant): void {
    this.#now = now
    if (((bytes[0] ?? 0) & 15) !== 4) return this.node.handle(from, bytes, now)
    const inner =
      this.worker !== null ? this.worker.take(from, bytes, now) : (this.tunnels.open(from, bytes, now)?.bytes ?? null)
    if (inner !== null) this.received.push(inner)
    this.#told(now)
    this.node.settle(now)
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
    const emit = (to: Endpoint, bytes: Uint8Array): void => void this.#out.push({ to, bytes: bytes.slice() })
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
  readonly name = 'dc'
  readonly server: ControlServer
  readonly core: CoordinatorCore
  readonly counters = new CounterMap()
  #now: Instant

  constructor(system: System, suite: CryptoSuite) {
    this.#now = system.world.now
    const { root, issuer, coordinator } = system.network
    const { fingerprint } = root
    const calendar = { today: () => system.today() }
    const log = system.logOf('dc')
    this.server = new ControlServer({
      callee: { suite, self: coordinator.static, fingerprint },
      policy: { admits: (node, key) => this.core.admits(node, key), tokenPsk: (id) => this.core.tokenPsk(id) },
      words: () => ({ time: system.today(), keepAliveSeconds: 20, revocationVersion: 0 }),
      log,
      counters: this.counters,
    })
    this.core = new CoordinatorCore({
      sessions: this.server,
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
    this.server.handle(from, bytes, now)
  }

  tick(now: Instant): void {
    this.#now = now
    this.server.tick(now)
    this.core.tick(now)
  }

  deadline(): Instant | null {
    return sooner(this.server.deadline(), this.core.deadline())
  }

  poll(): Sent | null {
    for (;;) {
      const out = this.server.poll()
      if (out === null || out.out === 'send') {
        while (this.core.poll() !== null);
        return out
      }
      this.core.handle(out.event, this.#now)
    }
  }
}

export type SystemWish = {
  readonly seed?: number
  readonly weather?: Weather
  readonly settings?: Partial<CoordinatorSettings>
}

/** The whole product in virtual time: a coordinator with a store, a bridge behind a NAT and a terminator. */
export class System {
  readonly world: World
  readonly store = new MemoryStore()
  readonly network: ReturnType<typeof makeNetwork>
  readonly settings: CoordinatorSettings
  readonly logged: Record<string, Logged[]> = {}
  readonly nat = new Nat(OUTSIDE.ip)
  dc: CoordinatorActor
  bridge: BoxActor
  tt: BoxActor
  /** Added to the calendar: memberships age without anybody's keep-alives being played. */
  aged = 0
  readonly #seed: number
  #starts = 0

  constructor({ seed = 1, weather = calm, settings = {} }: SystemWish = {}) {
    this.#seed = seed
    this.world = new World(weather)
    const calendar = { today: () => this.today() }
    this.network = makeNetwork({ name: 'dc.ntm.example', zone: 'ntm.example', suite: this.suite(), calendar })
    const plan = { ...this.network.plan, ...settings.plan }
    const own = { zone: 'ntm.example', endpoints: [DC], nameServers: ['ns.ntm.example'] }
    this.settings = { ...DEFAULT_SETTINGS, ...own, ...settings, plan }
    this.dc = this.startCoordinator()
    this.tt = this.start('tt', this.disk('tt1', ROLE_TT))
    this.bridge = this.start('bridge', this.disk('plc', ROLE_NODE | ROLE_BRIDGE))
  }

  today(): WallTime {
    return wallTime(1_800_000_000_000 + Math.floor(this.world.now) + this.aged)
  }

  suite(): CryptoSuite {
    return seededCrypto(`system ${this.#seed} ${this.#starts++}`)
  }

  logOf(who: string): Log {
    const lines: Logged[] = []
    const list = this.logged[who] ?? lines
    this.logged[who] = list
    const log = (event: string, fields: LogFields = {}): void => void list.push({ event, fields })
    return { debug: () => {}, info: log, warn: log, error: log }
  }

  lines(who: string, event: string): Logged[] {
    return (this.logged[who] ?? []).filter((l) => l.event === event)
  }

  /** A token for `name`, and a box that has just got it. */
  disk(name: string, roles: number): Disk {
    const { root, plan, coordinator } = this.network
    const suite = this.suite()
    const fqdn = `${name}.ntm.example`
    const made = makeToken({
      name: fqdn,
      roles,
      rootPublicKey: root.public,
      root,
      plan,
      coordinatorStatic: coordinator.static.public,
      endpoints: [DC],
      validSeconds: 3600,
      suite,
      calendar: { today: () => this.today() },
    })
    if (made === null) throw new BugError('no token')
    this.store.putToken(made.row)
    const key = suite.x25519Pair()
    const secret = { tokenId: made.row.id, psk: made.row.psk }
    return {
      name: fqdn,
      roles,
      key,
      resetSecret: suite.random(32),
      chain: [],
      enrol: { secret, chain: this.#granted(made.grant, key, roles, fqdn) },
    }
  }

  /** Another box that got hold of the same token. */
  thief(of: Disk): Disk {
    return { ...of, key: this.suite().x25519Pair() }
  }

  /** Starts a box's program on its disk; a second one of the same actor name replaces the first. */
  start(actor: 'tt' | 'bridge' | 'other', disk: Disk): BoxActor {
    const at = actor === 'bridge' ? HOME : actor === 'tt' ? TT : endpointOf('192.0.2.77:4330')
    const box = new BoxActor(this, actor, disk, at, this.suite())
    this.world.add(box, at, actor === 'bridge' ? this.nat : null)
    if (actor === 'tt') this.tt = box
    if (actor === 'bridge') this.bridge = box
    return box
  }

  startCoordinator(): CoordinatorActor {
    this.dc = new CoordinatorActor(this, this.suite())
    this.world.add(this.dc, DC)
    return this.dc
  }

  /** Runs until everybody is a registered member. */
  up(limit: Millis = seconds(60)): boolean {
    return this.world.run(() => this.bridge.registered && this.tt.registered, limit)
  }

  /** Asks for a name and waits for the answer. */
  resolve(server: string, limit: Millis = seconds(2), sources: readonly Ip4[] = []): Directed {
    this.bridge.directed.delete(server)
    this.bridge.ask(server, this.world.now, sources)
    this.world.run(() => this.bridge.answered(server) !== null, limit)
    return this.bridge.answered(server) ?? { ok: false, code: 'timeout', text: 'the test waited in vain' }
  }

  /** As a host does: asks again after a failure, until `limit`. */
  insist(server: string, limit: Millis): Directed {
    const end = this.world.now + limit
    for (;;) {
      const answer = this.resolve(server)
      if (answer.ok || this.world.now >= end) return answer
      this.world.wait(seconds(0.5))
    }
  }

  /** A packet from the bridge to a server and one back; whether both arrived. */
  exchange(directed: Directed, limit: Millis = seconds(2)): boolean {
    if (!directed.ok || directed.target === null || this.bridge.registration === null) return false
    const [near, far] = [this.bridge, this.tt].map((b) => b.tunnels.byContract(directed.contractHash))
    if (near === null || near === undefined || far === null || far === undefined) return false
    const [own, server] = [this.bridge.registration.vip4, directed.target.vip4].map(dotted)
    const before = [this.bridge.received.length, this.tt.received.length]
    for (let i = 0; i < 20; i++) {
      this.bridge.say(near, innerPacket(own ?? '', server ?? '', 100), this.world.now)
      this.world.run(() => this.tt.received.length > (before[1] ?? 0), seconds(0.1))
      this.tt.say(far, innerPacket(server ?? '', own ?? '', 100), this.world.now)
      const both = () => this.bridge.received.length > (before[0] ?? 0) && this.tt.received.length > (before[1] ?? 0)
      if (this.world.run(both, seconds(limit / 20_000))) return true
    }
    return false
  }

  /** Everything durable at the coordinator, as text to compare. */
  rows(): string {
    const { members, servers } = { members: this.store.members(), servers: [...this.store.servers()] }
    return JSON.stringify(
      [
        members.map((m) => [hex(m.node), m.name, m.pair, m.chain.map(hex)]),
        servers.map((s) => [hex(s.node), s.name, s.pair]),
      ],
      (_, v) => (v instanceof Uint8Array ? hex(v) : v),
    )
  }

  presenceOf(disk: Disk) {
    return this.dc.core.presences.get(nodeIdOf(nodeCrypto, disk.key.public))
  }

  #granted(grant: Signer | null, key: KeyPair, roles: number, name: string): readonly Uint8Array[] {
    if (grant === null) return []
    const certificate = decodeSignedCertificate(grant.certificate)
    if (!certificate.ok) throw new BugError(certificate.fault)
    const issued = Math.floor(this.today() / 1000)
    const { expires } = certificate.value.certificate
    const made = makeMembership(nodeCrypto, grant, { staticKey: key.public, roles, name, issued, expires })
    if (!made.ok) throw new BugError(made.fault)
    return made.chain
  }
}

export const dotted = (ip: Ip4): string => [24, 16, 8, 0].map((s) => (ip >>> s) & 255).join('.')
export const vip = (word: number): Ip4 => ip4FromWord(word)
