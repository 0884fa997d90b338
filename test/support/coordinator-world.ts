import { CoordinatorCore } from '#coordinator/core.ts'
import type { CoordinatorOut } from '#coordinator/core-parts.ts'
import { makeNetwork, makeToken, type Network } from '#coordinator/network.ts'
import type { Sessions } from '#coordinator/sessions.ts'
import { type CoordinatorSettings, DEFAULT_SETTINGS } from '#coordinator/settings.ts'
import { MemoryStore } from '#coordinator/store-memory.ts'
import { nodeCrypto } from '#io/crypto-node.ts'
import { type Endpoint, parseEndpoint } from '#ntm-lib/addr/endpoint.ts'
import { type NodeId, nodeKey, sessionId } from '#ntm-lib/addr/ids.ts'
import type { Ip } from '#ntm-lib/addr/ip.ts'
import type { VirtualPlan } from '#ntm-lib/addr/virtual.ts'
import { BugError } from '#ntm-lib/base/invariant.ts'
import { after, type Instant, instant, millis, type WallTime, wallTime } from '#ntm-lib/base/time.ts'
import { makeMembership } from '#ntm-lib/crypto/identity.ts'
import { nodeIdOf } from '#ntm-lib/crypto/schedule.ts'
import { parseToken } from '#ntm-lib/crypto/token.ts'
import type { ControlPeer } from '#ntm-lib/negotiate/control-events.ts'
import type { CoordinatorStore, Token } from '#ntm-lib/ports/coordinator-store.ts'
import { CounterMap } from '#ntm-lib/ports/counters.ts'
import type { LogFields } from '#ntm-lib/ports/log.ts'
import { ROLE_RELAY, ROLE_TT } from '#ntm-lib/wire/certificate.ts'
import type { Request, Response } from '#ntm-lib/wire/message.ts'
import type { HostClaim } from '#ntm-lib/wire/messages/common.ts'
import type { DirectionRequest, Sought } from '#ntm-lib/wire/messages/direction.ts'
import type { RegistrationResponse } from '#ntm-lib/wire/messages/registration.ts'

/** One box as its coordinator sees it: a key, an address, and what it says of itself. */
export type Box = {
  readonly name: string
  readonly roles: number
  readonly node: NodeId
  readonly staticKey: Uint8Array
  readonly token: Token
  readonly grant: { seed: Uint8Array; certificate: Uint8Array } | null
  bootId: Uint8Array
  /** Where the coordinator sees it. */
  at: Endpoint
  /** What it believes its own addresses are. */
  own: readonly Endpoint[]
  version: number
  /** Of a relay or terminator. */
  loadPercent: number
  /** Relay → round trip in milliseconds. */
  readonly readings: Map<NodeId, number>
}

/** A request of the coordinator's that waits for its answer. */
export type Asked = { readonly node: NodeId; readonly tag: string; readonly message: Request; readonly until: Instant }

/**
 * A coordinator with everything around it in memory: sessions that record, a store that survives `restart`, a clock that
 * only moves when told. Answers are what the test says; nothing is answered by itself.
 */
export class CoordinatorWorld {
  readonly network: Network
  readonly settings: CoordinatorSettings
  readonly store: CoordinatorStore
  readonly counters = new CounterMap()
  readonly logged: { readonly event: string; readonly fields: LogFields }[] = []
  readonly asked: Asked[] = []
  readonly answers = new Map<string, Response>()
  /** Every message that left, in order. */
  readonly trace: { readonly to: string; readonly kind: string }[] = []
  readonly #live = new Map<string, ControlPeer>()
  readonly #owners = new Map<string, string>()
  readonly sessions: Sessions = this.#ports()
  core: CoordinatorCore
  now: Instant = instant(1000)
  wall: WallTime = wallTime(1_800_000_000_000)
  #transactions = 0
  #sessions = 0

  constructor(store: CoordinatorStore = new MemoryStore(), change: Change = {}) {
    this.store = store
    const calendar = { today: () => this.wall }
    const endpoints = [ep('198.51.100.1:4330')]
    this.network = makeNetwork({ name: 'dc.ntm.example', zone: 'ntm.example', suite: nodeCrypto, calendar })
    const plan = { ...this.network.plan, ...change.plan }
    const nameServers = ['ns.ntm.example']
    this.settings = { ...DEFAULT_SETTINGS, zone: 'ntm.example', endpoints, nameServers, ...change, plan }
    this.core = this.#boot()
  }

  /** The coordinator's program starts anew: memory is gone, the store stays, everybody has to say hello again. */
  restart(): void {
    this.#live.clear()
    this.asked.length = 0
    this.core = this.#boot()
  }

  /** Moves both clocks and lets what is due happen: unanswered requests of the coordinator become `silent`. */
  advance(ms: number): void {
    for (const end = this.now + ms; this.now < end; ) {
      const due = Math.min(end, this.core.deadline() ?? end, ...this.asked.map((a) => a.until))
      const step = Math.max(1, due - this.now)
      this.now = after(this.now, millis(step))
      this.wall = wallTime(this.wall + step)
      for (const a of this.asked.filter((x) => x.until <= this.now)) {
        this.asked.splice(this.asked.indexOf(a), 1)
        this.core.handle({ event: 'silent', node: a.node, tag: a.tag }, this.now)
      }
      this.core.tick(this.now)
    }
  }

  /** A box with a token of its own; not enrolled yet. */
  box(name: string, roles: number, at: string, own: readonly string[] = [at]): Box {
    const { root, plan, coordinator } = this.network
    const made = makeToken({
      name: `${name}.ntm.example`,
      roles,
      rootPublicKey: root.public,
      root,
      plan,
      coordinatorStatic: coordinator.static.public,
      endpoints: this.settings.endpoints,
      validSeconds: 3600,
      suite: nodeCrypto,
      calendar: { today: () => this.wall },
    })
    if (made === null) throw new BugError('no token')
    this.store.putToken(made.row)
    const read = parseToken(nodeCrypto, made.text)
    if (!read.ok) throw new BugError(read.text)
    const staticKey = nodeCrypto.x25519Pair().public
    return {
      name: `${name}.ntm.example`,
      roles,
      node: nodeIdOf(nodeCrypto, staticKey),
      staticKey,
      token: made.row,
      grant: read.value.grant,
      bootId: nodeCrypto.random(8),
      at: ep(at),
      own: own.map(ep),
      version: 1,
      loadPercent: 0,
      readings: new Map(),
    }
  }

  /** Opens a session: with the token's id for enrolment, as a member otherwise. */
  hello(box: Box, tokenId: Uint8Array | null = null): ControlPeer {
    const { node, staticKey, bootId, at } = box
    const peer = { session: sessionId(++this.#sessions), node, staticKey, bootId, tokenId, endpoint: at }
    this.#live.set(nodeKey(node), peer)
    this.core.handle({ event: 'established', peer }, this.now)
    return peer
  }

  /** Enrols with the box's own token (or another one) and gives the coordinator's answer. */
  enrol(box: Box, token: Token = box.token): Response {
    if (this.core.tokenPsk(token.id) === null)
      return { kind: 'refusal', code: 'unknown-token', retryAfterMillis: 0, text: 'psk' }
    this.hello(box, token.id)
    return this.ask(box, { kind: 'cert-renew', chain: this.granted(box) })
  }

  /** The membership a box with a grant signs for itself; empty without a grant. */
  granted(box: Box): readonly Uint8Array[] {
    if (box.grant === null) return []
    const issued = Math.floor(this.wall / 1000)
    const { staticKey, roles, name } = box
    const made = makeMembership(nodeCrypto, box.grant, {
      staticKey,
      roles,
      name,
      issued,
      expires: issued + 90 * 86_400,
    })
    if (!made.ok) throw new BugError(made.fault)
    return made.chain
  }

  /** Says hello, registers and, unless told otherwise, sends the echo back. */
  register(box: Box, hosts: readonly (Uint8Array | HostClaim)[] = [], echo = true): RegistrationResponse {
    this.hello(box)
    const answer = this.ask(box, this.registration(box, hosts))
    if (answer.kind !== 'registration-response') throw new BugError(JSON.stringify(answer))
    if (echo) this.ask(box, { kind: 'location-confirm', echoNonce: answer.echoNonce })
    return answer
  }

  registration(box: Box, hosts: readonly (Uint8Array | HostClaim)[] = []): Request {
    return {
      kind: 'registration',
      name: box.name,
      bootId: box.bootId,
      locationVersion: box.version,
      versionMin: 1,
      versionMax: 1,
      features: 0,
      mtuBytes: 1500,
      candidates: box.own.map((endpoint) => ({ type: 'local', endpoint, priority: 1 })),
      hosts: hosts.map((host) => (host instanceof Uint8Array ? { host, name: '' } : host)),
      revocationVersion: 0,
      loadPercent: box.loadPercent,
      relays: [...box.readings].map(([relay, rttMillis]) => ({ relay, rttMillis })),
    }
  }

  /** Enrolled, registered and confirmed. */
  member(name: string, roles: number, at: string, own: readonly string[] = [at]): Box {
    const box = this.box(name, roles, at, own)
    const enrolled = this.enrol(box)
    if (enrolled.kind !== 'cert-renew-response') throw new BugError(JSON.stringify(enrolled))
    this.register(box)
    return box
  }

  relay(name: string, at: string, own: readonly string[] = [at]): Box {
    return this.member(name, ROLE_RELAY, at, own)
  }

  /** The box is elsewhere: an NTM Update from there and, unless told otherwise, its echo. */
  move(box: Box, at: string, own: readonly string[] = [at], echo = true): void {
    box.at = ep(at)
    box.own = own.map(ep)
    box.version++
    const answer = this.ask(box, { ...this.registration(box), kind: 'ntm-update' } as Request)
    if (answer.kind !== 'ntm-update-response') throw new BugError(JSON.stringify(answer))
    if (echo) this.ask(box, { kind: 'location-confirm', echoNonce: answer.echoNonce })
  }

  /** Asks where a peer is now, because this box moved or hears nothing; gives the transaction. */
  askMoved(box: Box, peer: Box, lost = NO_CONTRACT): string {
    const sought = { by: 'node', node: peer.node } as const
    return this.send(box, { kind: 'direction-request', sought, why: 'moved', sources: [], lost })
  }

  terminator(name: string, at: string): Box {
    return this.member(name, ROLE_TT, at)
  }

  /** Sends a request in the box's session and gives the answer if it came at once; otherwise see `answers`. */
  ask(box: Box, message: Request): Response {
    const answer = this.answers.get(this.send(box, message))
    if (answer === undefined) throw new BugError(`no answer to ${message.kind}`)
    return answer
  }

  /** Sends a request and gives its transaction. */
  send(box: Box, message: Request): string {
    const peer = this.#live.get(nodeKey(box.node))
    if (peer === undefined) throw new BugError(`${box.name} has no session`)
    const transaction = `${nodeKey(box.node)}/${++this.#transactions}`
    this.#owners.set(transaction, box.name)
    this.#live.set(nodeKey(box.node), { ...peer, endpoint: box.at })
    this.core.handle({ event: 'request', peer: { ...peer, endpoint: box.at }, transaction, message }, this.now)
    return transaction
  }

  /** Asks for a direction; gives its transaction. */
  direct(box: Box, to: string | Ip | NodeId | Sought, sources: readonly Ip[] = [], lost = NO_CONTRACT): string {
    const sought: Sought =
      typeof to === 'string' ? { by: 'name', name: to } : isSought(to) ? to : { by: 'vip', vip: to as Ip }
    const message: DirectionRequest = { kind: 'direction-request', sought, why: 'dns', sources, lost }
    return this.send(box, message)
  }

  /** Takes the oldest request the coordinator has for this box. */
  take(box: Box): Asked {
    const found = this.asked.find((a) => nodeKey(a.node) === nodeKey(box.node))
    if (found === undefined) throw new BugError(`nothing asked of ${box.name}`)
    this.asked.splice(this.asked.indexOf(found), 1)
    return found
  }

  /** Whether the coordinator waits for this box. */
  waitsFor(box: Box): boolean {
    return this.asked.some((a) => nodeKey(a.node) === nodeKey(box.node))
  }

  /** A box answers a request of the coordinator's. */
  reply(asked: Asked, message: Response): void {
    const peer = this.#live.get(nodeKey(asked.node))
    if (peer !== undefined) this.core.handle({ event: 'response', peer, tag: asked.tag, message }, this.now)
  }

  accept(box: Box, ttlSeconds = 60, families = 2): Asked {
    const asked = this.take(box)
    this.reply(asked, { kind: 'path-accept', ttlSeconds, families })
    return asked
  }

  /** A relay says yes to the oldest Relay Direction it has. */
  relayed(relay: Box, loadPercent = 0): Asked {
    const asked = this.takeKind(relay, 'relay-direction')
    this.reply(asked, { kind: 'relay-accept', endpoints: relay.own, loadPercent })
    return asked
  }

  /** Takes the oldest request of this kind the coordinator has for this box. */
  takeKind(box: Box, kind: Request['kind']): Asked {
    const found = this.asked.find((a) => nodeKey(a.node) === nodeKey(box.node) && a.message.kind === kind)
    if (found === undefined) throw new BugError(`no ${kind} for ${box.name}`)
    this.asked.splice(this.asked.indexOf(found), 1)
    return found
  }

  /** Kinds of what the coordinator asks of this box now, oldest first. */
  asks(box: Box): string[] {
    return this.asked.filter((a) => nodeKey(a.node) === nodeKey(box.node)).map((a) => a.message.kind)
  }

  /** The box's session ends. */
  leave(box: Box): void {
    const peer = this.#live.get(nodeKey(box.node))
    this.#live.delete(nodeKey(box.node))
    if (peer !== undefined) this.core.handle({ event: 'gone', peer }, this.now)
  }

  events(): CoordinatorOut[] {
    const out: CoordinatorOut[] = []
    for (let e = this.core.poll(); e !== null; e = this.core.poll()) out.push(e)
    return out
  }

  #boot(): CoordinatorCore {
    const { root, issuer, coordinator } = this.network
    const log = (event: string, fields: LogFields = {}): void => void this.logged.push({ event, fields })
    return new CoordinatorCore({
      sessions: this.sessions,
      store: this.store,
      suite: nodeCrypto,
      calendar: { today: () => this.wall },
      random: { bytes: (n) => nodeCrypto.random(n) },
      log: { debug: log, info: log, warn: log, error: log },
      counters: this.counters,
      settings: this.settings,
      keys: {
        node: coordinator.nodeId,
        fingerprint: root.fingerprint,
        rootKey: root.public,
        chain: coordinator.chain,
        issuer,
      },
    })
  }

  #ports(): Sessions {
    return {
      respond: (transaction, response) => {
        if (this.answers.has(transaction)) throw new BugError(`answered twice: ${transaction}`)
        this.answers.set(transaction, response)
        this.trace.push({ to: this.#owners.get(transaction) ?? '?', kind: response.kind })
      },
      request: (node, tag, message, timeout, now) => {
        if (!this.#live.has(nodeKey(node))) return false
        this.asked.push({ node, tag, message, until: after(now, timeout) })
        this.trace.push({ to: this.store.member(node)?.name ?? '?', kind: message.kind })
        return true
      },
      peer: (node) => this.#live.get(nodeKey(node)) ?? null,
      close: (node) => void this.#live.delete(nodeKey(node)),
    }
  }
}

type Change = Partial<Omit<CoordinatorSettings, 'plan'>> & { readonly plan?: Partial<VirtualPlan> }

export const NO_CONTRACT: Uint8Array = new Uint8Array(32)

export function ep(text: string): Endpoint {
  const parsed = parseEndpoint(text)
  if (parsed === null) throw new BugError(`not an endpoint: ${text}`)
  return parsed
}

const isSought = (to: unknown): to is Sought => typeof to === 'object' && to !== null && 'by' in to
