import { CoordinatorCore } from '#coordinator/core.ts'
import { makeNetwork, makeToken, type Network } from '#coordinator/network.ts'
import { DEFAULT_SETTINGS } from '#coordinator/settings.ts'
import { MemoryStore } from '#coordinator/store-memory.ts'
import { systemCalendar, systemRandom } from '#io/clock.ts'
import { nodeCrypto } from '#io/crypto-node.ts'
import type { Endpoint } from '#ntm-lib/addr/endpoint.ts'
import type { NodeId } from '#ntm-lib/addr/ids.ts'
import { sameIp } from '#ntm-lib/addr/ip.ts'
import type { Via } from '#ntm-lib/addr/via.ts'
import { invariant } from '#ntm-lib/base/invariant.ts'
import type { Instant } from '#ntm-lib/base/time.ts'
import { identityOf, makeMembership } from '#ntm-lib/crypto/identity.ts'
import { OpenKey } from '#ntm-lib/crypto/seal.ts'
import { ControlServer } from '#ntm-lib/negotiate/control-server.ts'
import type { MirroredEpoch, MirroredPath } from '#ntm-lib/negotiate/mirror.ts'
import type { NodeEvent } from '#ntm-lib/negotiate/node-events.ts'
import { CounterMap } from '#ntm-lib/ports/counters.ts'
import { quiet } from '#ntm-lib/ports/log.ts'
import { epoch, isCapsulated, pathId } from '#ntm-lib/wire/capsulated.ts'
import { decodeSignedCertificate, ROLE_RELAY } from '#ntm-lib/wire/certificate.ts'
import type { RegistrationResponse } from '#ntm-lib/wire/messages/registration.ts'
import { RelayMachine } from '#relay/machine.ts'
import { RELAY_DEFAULTS } from '#relay/settings.ts'
import type { Box } from './box.ts'
import { makeNode, type NtmNode } from './ntm-node.ts'
import type { PlayedNames } from './rehearsal-names.ts'

export type Said = { readonly from: Endpoint; readonly to: Endpoint; readonly bytes: Uint8Array }

/** Somebody on the stage. */
export interface Player {
  /** Whether it is reached there. */
  isAt(to: Endpoint): boolean
  handle(from: Endpoint, bytes: Uint8Array, now: Instant): void
  tick(now: Instant): void
  /** What it says next; null: nothing. */
  poll(now: Instant): Said | null
}

const isAt = (at: Endpoint, to: Endpoint): boolean => at.port === to.port && sameIp(at.ip, to.ip)

/** A whole coordinator with a network of its own, in memory. */
export class PlayedCoordinator implements Player {
  readonly at: Endpoint
  readonly store = new MemoryStore()
  readonly #network: Network
  readonly #server: ControlServer
  readonly #core: CoordinatorCore

  constructor(at: Endpoint) {
    this.at = at
    const [suite, calendar, counters] = [nodeCrypto, systemCalendar, new CounterMap()]
    const network = makeNetwork({ name: `dc.${ZONE}`, zone: ZONE, suite, calendar })
    this.#network = network
    const { root, issuer, coordinator, plan } = network
    const { fingerprint } = root
    const settings = { ...DEFAULT_SETTINGS, zone: ZONE, plan, endpoints: [at], nameServers: [`dc.${ZONE}`] }
    this.#server = new ControlServer({
      callee: { suite, self: coordinator.static, fingerprint },
      policy: {
        admits: (node, key, roles) => this.#core.admits(node, key, roles),
        tokenPsk: (id) => this.#core.tokenPsk(id),
      },
      words: () => ({ time: calendar.today(), keepAliveSeconds: 20, revocationVersion: 0 }),
      ...{ log: quiet, counters },
    })
    const keys = { node: coordinator.nodeId, fingerprint, rootKey: root.public, chain: coordinator.chain, issuer }
    const given = { sessions: this.#server, store: this.store, suite, calendar, settings, keys }
    this.#core = new CoordinatorCore({ ...given, random: systemRandom, log: quiet, counters })
  }

  /** What a box of that name would find on its disk after it was given a token. */
  box(name: string, roles: number): Box {
    const { root, plan, coordinator } = this.#network
    const fqdn = `${name}.${ZONE}`
    const made = makeToken({
      ...{ name: fqdn, roles, rootPublicKey: root.public, root, plan, endpoints: [this.at], validSeconds: 3600 },
      ...{ coordinatorStatic: coordinator.static.public, suite: nodeCrypto, calendar: systemCalendar },
    })
    invariant(made !== null, 'a rehearsed token can be made')
    this.store.putToken(made.row)
    const identity = identityOf(nodeCrypto, nodeCrypto.x25519Pair(), [])
    const grant = made.grant === null ? null : decodeSignedCertificate(made.grant.certificate)
    const issued = Math.floor(systemCalendar.today() / 1000)
    const wish = { staticKey: identity.static.public, roles, name: fqdn, issued }
    const own =
      made.grant === null || grant?.ok !== true
        ? null
        : makeMembership(nodeCrypto, made.grant, { ...wish, expires: grant.value.certificate.expires })
    const enrol = { secret: { tokenId: made.row.id, psk: made.row.psk }, chain: own?.ok === true ? own.chain : [] }
    return {
      ...{ identity, enrol, rootPublicKey: root.public, coordinatorStatic: coordinator.static.public },
      ...{ endpoints: [this.at], name: '', resetSecret: nodeCrypto.random(32), saveChain: () => {} },
    }
  }

  /** So that the two need a new contract next time. */
  part(a: NodeId, b: NodeId): void {
    this.store.removeContract(a, b)
  }

  isAt(to: Endpoint): boolean {
    return isAt(this.at, to)
  }

  handle(from: Endpoint, bytes: Uint8Array, now: Instant): void {
    this.#server.handle(from, bytes, now)
  }

  tick(now: Instant): void {
    this.#server.tick(now)
    this.#core.tick(now)
  }

  poll(now: Instant): Said | null {
    for (let out = this.#server.poll(); out !== null; out = this.#server.poll()) {
      if (out.out === 'send') return { from: this.at, to: out.to, bytes: out.bytes }
      this.#core.handle(out.event, now)
      while (this.#core.poll() !== null);
    }
    return null
  }
}

/** A node as every box has one, with no more of a packet worker than opens frames. */
export class PlayedNode implements Player {
  readonly made: NtmNode
  readonly id: NodeId
  registration: RegistrationResponse | null = null
  /** Who asks for a name on its machine now. */
  names: PlayedNames | null = null
  /** As others see it: its own address, or its NAT's. */
  readonly #outside: Endpoint
  readonly #isBehindNat: boolean
  readonly #onEvent: (event: NodeEvent, now: Instant) => void
  readonly #rows = new Map<number, MirroredPath>()
  readonly #keys = new Map<number, OpenKey>()
  /** Where it was lately, the newest last. */
  #places: readonly Endpoint[]

  constructor(box: Box, roles: number, inside: Endpoint, outside: Endpoint, onEvent: PlayedNode['handleEvent']) {
    this.made = makeNode({ box, roles, underlayMtuBytes: 1500, log: quiet, counters: new CounterMap() })
    this.id = box.identity.nodeId
    this.#outside = outside
    this.#isBehindNat = !isAt(inside, outside)
    this.#places = [inside]
    this.#onEvent = onEvent
    this.made.where.candidates = [{ type: 'local', endpoint: inside, priority: 100 }]
  }

  handleEvent(event: NodeEvent, now: Instant): void {
    const { node } = this.made
    if (event.event === 'enrolled') this.made.enrolled(event.chain)
    else if (event.event === 'registered') this.registration = event.answer
    else if (event.event === 'directed') this.names?.directed(event.tag, event.result, now)
    else if (event.event === 'asked') node.accept(event.transaction, event.message, { ttlSeconds: 0, families: 0 }, now)
    this.#onEvent(event, now)
  }

  /** From now on this is its only way out. */
  moveTo(place: Endpoint, ifindex: number, now: Instant): void {
    this.#places = [...this.#places.slice(-1), place]
    this.made.where.candidates = [{ type: 'local', endpoint: place, priority: 100 }]
    this.made.where.version++
    this.made.node.setVias([{ ifindex, ip: place.ip }], now)
  }

  isAt(to: Endpoint): boolean {
    return this.#isBehindNat ? isAt(this.#outside, to) : this.#places.some((place) => isAt(place, to))
  }

  handle(from: Endpoint, bytes: Uint8Array, now: Instant): void {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    if (!isCapsulated(view, 0, bytes.length)) return this.made.node.handle(from, bytes, now)
    const row = this.#rows.get(pathId(view, 0))
    const key = row?.epochs.find((e) => e.epoch === epoch(view, 0))
    if (row === undefined || key === undefined) return
    const frames = this.#open(key).open(bytes)
    if (frames === null) return
    const of = { row: row.row, epoch: key.epoch, serial: key.serial }
    this.made.node.onMirror({ event: 'heard', ...of, from, bytes: bytes.length, newest: true, frames }, now)
  }

  tick(now: Instant): void {
    this.made.node.tick(now)
  }

  poll(now: Instant): Said | null {
    const { node } = this.made
    for (let out = node.poll(); out !== null; out = node.poll()) {
      if (out.out === 'send') return { from: this.#from(out.via), to: out.to, bytes: out.bytes }
      if (out.out === 'event') this.handleEvent(out.event, now)
      else if (out.command.mirror === 'path')
        for (const id of out.command.path.ids) this.#rows.set(id, out.command.path)
    }
    return null
  }

  #from(via: Via | null): Endpoint {
    const last = this.#places.at(-1) ?? this.#outside
    if (this.#isBehindNat) return this.#outside
    return via === null ? last : { ip: via.ip, port: last.port }
  }

  #open(e: MirroredEpoch): OpenKey {
    const known = this.#keys.get(e.serial) ?? new OpenKey(nodeCrypto, e.open, e.epoch)
    this.#keys.set(e.serial, known)
    return known
  }
}

/** A relay: its node, and the table beside it. */
export class PlayedRelay implements Player {
  readonly #at: Endpoint
  readonly #node: PlayedNode
  readonly #machine = new RelayMachine({ ...RELAY_DEFAULTS, mostPaths: 1024 }, nodeCrypto, new CounterMap())

  constructor(box: Box, at: Endpoint, onEvent: PlayedNode['handleEvent']) {
    this.#at = at
    this.#node = new PlayedNode(box, ROLE_RELAY, at, at, (event, now) => {
      if (event.event === 'relay-asked') this.#asked(event, now)
      onEvent(event, now)
    })
  }

  get made(): NtmNode {
    return this.#node.made
  }

  isAt(to: Endpoint): boolean {
    return isAt(this.#at, to)
  }

  handle(from: Endpoint, bytes: Uint8Array, now: Instant): void {
    this.#machine.handle({ from, bytes }, now)
  }

  tick(now: Instant): void {
    this.#node.tick(now)
    this.#machine.tick(now)
  }

  poll(now: Instant): Said | null {
    for (let out = this.#machine.poll(); out !== null; out = this.#machine.poll()) {
      if (out.out === 'send') return { from: this.#at, to: out.to, bytes: out.bytes }
      this.#node.handle(out.from, out.bytes, now)
    }
    return this.#node.poll(now)
  }

  #asked({ transaction, message }: Extract<NodeEvent, { event: 'relay-asked' }>, now: Instant): void {
    const { node } = this.made
    if (message.kind === 'relay-release') {
      this.#machine.release(message.pathId)
      return node.respond(transaction, { kind: 'relay-release-response' }, now)
    }
    const code = this.#machine.direct(message, now)
    if (code !== null) return node.decline(transaction, code, '', now)
    node.respond(transaction, { kind: 'relay-accept', endpoints: [this.#at], loadPercent: 0 }, now)
  }
}

export const ZONE = 'rehearsal'
