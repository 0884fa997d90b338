import type { Endpoint } from '#ntm-lib/addr/endpoint.ts'
import { ip4FromWord } from '#ntm-lib/addr/ip4.ts'
import { ip6FromBytes } from '#ntm-lib/addr/ip6.ts'
import { BugError } from '#ntm-lib/base/invariant.ts'
import { type Instant, type Millis, seconds } from '#ntm-lib/base/time.ts'
import { ControlClient } from '#ntm-lib/negotiate/control-client.ts'
import { ControlServer } from '#ntm-lib/negotiate/control-server.ts'
import { Node } from '#ntm-lib/negotiate/node.ts'
import type { NodeEvent } from '#ntm-lib/negotiate/node-events.ts'
import { CounterMap } from '#ntm-lib/ports/counters.ts'
import { quiet } from '#ntm-lib/ports/log.ts'
import type { Request, Response } from '#ntm-lib/wire/message.ts'
import type { DirectionRequest } from '#ntm-lib/wire/messages/direction.ts'
import type { Registration } from '#ntm-lib/wire/messages/registration.ts'
import type { RelayOffer } from '#ntm-lib/wire/messages/relay.ts'
import { TODAY } from '#test/support/network.ts'
import { endpointOf, tunnelsOf } from '#test/support/route.ts'
import { seededCrypto } from '#test/support/seeded-crypto.ts'
import { ALICE, alice, simNetwork } from './pair.ts'
import { RelayedPair } from './relayed.ts'
import type { Actor } from './world.ts'

export const DESK = endpointOf('198.51.100.10:4330')
type Sent = { readonly to: Endpoint; readonly bytes: Uint8Array }

/** Alice's whole negotiation in one thread. */
export class NodeActor implements Actor {
  readonly name = 'alice'
  readonly node: Node
  readonly counters = new CounterMap()
  readonly events: NodeEvent[] = []
  readonly received: Uint8Array[] = []
  version = 1
  load = 0
  readonly #out: Sent[] = []

  constructor(seed: number) {
    const suite = seededCrypto(`desk node ${seed}`)
    const { tunnels } = tunnelsOf(suite, simNetwork, alice, { counters: this.counters })
    const { root, coordinator } = simNetwork
    const control = new ControlClient({
      caller: {
        suite,
        self: alice.static,
        fingerprint: root.fingerprint,
        coordinatorKey: coordinator.static.public,
        bootId: suite.random(8),
        roles: 1,
      },
      endpoints: [DESK],
      enrol: null,
      log: quiet,
      counters: this.counters,
    })
    this.node = new Node({
      control,
      tunnels,
      self: {
        bootId: suite.random(8),
        presence: () => ({ name: 'alice.plant.example', candidates: [], hosts: [], mtuBytes: 1500 }),
        version: () => this.version,
        loadPercent: () => this.load,
      },
      membership: { chain: alice.chain, today: () => TODAY },
      hash: (bytes) => suite.hash(bytes),
      counters: this.counters,
      random: { bytes: (n) => suite.random(n) },
      trusts: () => true,
      directionTimeout: seconds(1.8),
    })
  }

  handle(from: Endpoint, bytes: Uint8Array, now: Instant): void {
    if (((bytes[0] ?? 0) & 15) !== 4) return this.node.handle(from, bytes, now)
    const opened = this.node.tunnels.open(from, bytes, now)
    if (opened !== null) this.received.push(opened.bytes)
    this.node.settle(now)
  }

  say(contractHash: Uint8Array, inner: Uint8Array, now: Instant): boolean {
    const path = this.node.tunnels.byContract(contractHash)
    if (path === null) return false
    const arena = new Uint8Array(inner.length + 128)
    arena.set(inner, 64)
    const emit = (to: Endpoint, bytes: Uint8Array): void => void this.#out.push({ to, bytes: bytes.slice() })
    const memory = { arena, view: new DataView(arena.buffer) }
    const sealed = this.node.tunnels.seal(path, memory, 64, inner.length, emit, now)
    this.node.settle(now)
    return sealed.ok
  }

  tick(now: Instant): void {
    this.node.tick(now)
  }

  deadline(): Instant | null {
    return this.node.deadline()
  }

  poll(): Sent | null {
    for (let o = this.node.poll(); o !== null; o = this.node.poll()) {
      if (o.out === 'send') this.#out.push(o)
      else if (o.out === 'event') this.events.push(o.event)
    }
    return this.#out.shift() ?? null
  }

  told<E extends NodeEvent['event']>(event: E): Extract<NodeEvent, { event: E }>[] {
    return this.events.filter((e): e is Extract<NodeEvent, { event: E }> => e.event === event)
  }
}

/** A coordinator whose words are the test's: real sessions, and whatever decisions the test wants, wrong ones too. */
export class Desk extends RelayedPair implements Actor {
  readonly name = 'desk'
  readonly who: NodeActor
  readonly server: ControlServer
  readonly heard: Request[] = []
  readonly answers = new Map<string, Response>()
  offers: readonly RelayOffer[] = []
  /** What a Direction Request is answered with; null: nothing. */
  onDirection: (m: DirectionRequest) => Response | null = () => REFUSED

  constructor(wish: ConstructorParameters<typeof RelayedPair>[0] = {}) {
    super({ open: true, ...wish, workers: null as never })
    const { root, coordinator } = simNetwork
    this.who = new NodeActor(Number(wish.seed ?? 0))
    this.server = new ControlServer({
      callee: { suite: seededCrypto('desk'), self: coordinator.static, fingerprint: root.fingerprint },
      policy: { admits: () => 'yes', tokenPsk: () => null },
      words: () => ({ time: TODAY, keepAliveSeconds: 20, revocationVersion: 0 }),
      log: quiet,
      counters: new CounterMap(),
    })
    this.world.add(this.who, ALICE)
    this.world.add(this, DESK)
    this.who.node.start(this.world.now)
  }

  /** Registered, and with an open path to Bob that the desk directed. */
  open(): void {
    this.installRelay()
    this.installBob()
    this.onDirection = () => ({
      kind: 'direction-response',
      contractHash: this.routes.contractHash,
      route: this.routes.opener,
      moved: null,
      target: null,
    })
    this.must(() => this.who.node.state === 'registered', seconds(2))
    this.who.node.direct(
      'bob',
      { sought: { by: 'name', name: 'bob.plant.example' }, why: 'dns', sources: [] },
      this.world.now,
    )
    this.must(() => this.who.told('directed').length > 0 && this.bobPath?.isOpen === true, seconds(2))
    this.world.wait(seconds(1))
    this.heard.length = 0
    this.onDirection = () => REFUSED
  }

  must(until: () => boolean, limit: Millis): void {
    if (!this.world.run(until, limit)) throw new BugError(`not in time\n${this.world.mermaid()}`)
  }

  /** Tells Alice something; her answer lands in `answers`. */
  tell(tag: string, message: Request): void {
    this.server.request(alice.nodeId, tag, message, seconds(2), this.world.now)
  }

  /** Registrations or NTM Updates heard. */
  told(kind: Registration['kind']): Registration[] {
    return this.heard.filter((m): m is Registration => m.kind === kind)
  }

  /** Direction Requests heard. */
  get asked(): DirectionRequest[] {
    return this.heard.filter((m) => m.kind === 'direction-request')
  }

  handle(from: Endpoint, bytes: Uint8Array, now: Instant): void {
    this.server.handle(from, bytes, now)
  }

  tick(now: Instant): void {
    this.server.tick(now)
  }

  deadline(): Instant | null {
    return this.server.deadline()
  }

  poll(): Sent | null {
    for (let o = this.server.poll(); o !== null; o = this.server.poll()) {
      if (o.out === 'send') return o
      const e = o.event
      if (e.event === 'response') this.answers.set(e.tag, e.message)
      if (e.event !== 'request') continue
      this.heard.push(e.message)
      const answer = this.#answer(e.message, e.peer.endpoint)
      if (answer !== null) this.server.respond(e.transaction, answer, this.world.now)
    }
    return null
  }

  #answer(m: Request, observed: Endpoint): Response | null {
    switch (m.kind) {
      case 'registration':
      case 'ntm-update':
        return this.#registered(m, observed)
      case 'location-confirm':
        return { kind: 'location-confirm-response' }
      case 'direction-request':
        return this.onDirection(m)
      default:
        return REFUSED
    }
  }

  #registered(m: Registration, observed: Endpoint): Response {
    return {
      kind: m.kind === 'registration' ? 'registration-response' : 'ntm-update-response',
      observed,
      echoNonce: new Uint8Array(8).fill(1),
      vip4: ip4FromWord(0xc612_000a),
      vip6: ip6FromBytes(new Uint8Array(16).fill(2)),
      hosts: [],
      virtual: [],
      zones: ['plant.example'],
      descriptors: [],
      relays: this.offers,
      keepAliveSeconds: 20,
      leaseSeconds: 60,
    }
  }
}

export const REFUSED: Response = { kind: 'refusal', code: 'no-route', retryAfterMillis: 0, text: '' }
