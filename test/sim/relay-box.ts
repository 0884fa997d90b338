import { nodeCrypto } from '#io/crypto-node.ts'
import type { Endpoint } from '#ntm-lib/addr/endpoint.ts'
import { type Instant, seconds, sooner, wallTime } from '#ntm-lib/base/time.ts'
import { isCoordinator, verifyChain } from '#ntm-lib/crypto/certificate.ts'
import type { CryptoSuite } from '#ntm-lib/crypto/suite.ts'
import { ControlClient } from '#ntm-lib/negotiate/control-client.ts'
import type { ControlClientEvent } from '#ntm-lib/negotiate/node-events.ts'
import { Registrar, type RegistrarOut } from '#ntm-lib/negotiate/registrar.ts'
import { CounterMap } from '#ntm-lib/ports/counters.ts'
import type { Candidate } from '#ntm-lib/wire/messages/common.ts'
import type { RelayCore } from '#relay/core.ts'
import { RelayMachine } from '#relay/machine.ts'
import { RELAY_DEFAULTS, type RelaySettings } from '#relay/settings.ts'
import type { Disk, Home } from './home.ts'
import type { Plugged, Program } from './internet.ts'

type Sent = { readonly to: Endpoint; readonly bytes: Uint8Array }

/** One start of a relay's program: its registration and its table, with nothing around them but the wire. */
export class RelayBox implements Program {
  readonly name: string
  readonly counters = new CounterMap()
  candidates: readonly Candidate[] = []
  version = 1
  readonly #control: ControlClient
  readonly #registrar: Registrar
  readonly #machine: RelayMachine
  readonly #out: Sent[] = []

  constructor(home: Home, name: string, disk: Disk, suite: CryptoSuite, settings: Partial<RelaySettings> = {}) {
    this.name = name
    const { root, coordinator } = home.network
    const bootId = suite.random(8)
    const coordinatorKey = coordinator.static.public
    const { counters } = this
    const trust = { rootPublicKey: root.public, floor: wallTime(0), revoked: () => false }
    this.#control = new ControlClient({
      caller: { suite, self: disk.key, fingerprint: root.fingerprint, coordinatorKey, bootId, roles: disk.roles },
      endpoints: home.endpoints,
      enrol: disk.enrol,
      log: home.logOf(name),
      counters,
    })
    this.#registrar = new Registrar({
      self: {
        bootId,
        presence: () => ({ name: disk.name, candidates: this.candidates, hosts: [], mtuBytes: 1500 }),
        version: () => this.version,
        loadPercent: () => this.core.loadPercent,
      },
      membership: { chain: disk.chain, today: () => home.today() },
      trusts: (chain) => {
        const proven = verifyChain({ suite: nodeCrypto, chain, ...trust, now: home.today() })
        return proven.ok && isCoordinator(proven.value) && suite.equal(proven.value.leaf.subject, coordinatorKey)
      },
      random: { bytes: (n) => suite.random(n) },
    })
    this.#machine = new RelayMachine({ ...RELAY_DEFAULTS, ...settings }, suite, counters)
    this.#control.start(home.now)
  }

  get core(): RelayCore {
    return this.#machine.core
  }

  get registered(): boolean {
    return this.#registrar.state === 'registered'
  }

  handle(from: Endpoint, bytes: Uint8Array, now: Instant): void {
    this.#machine.handle({ from, bytes }, now)
    this.#settle(now)
  }

  tick(now: Instant): void {
    this.#control.tick(now)
    this.#registrar.tick(now)
    this.#machine.tick(now)
    this.#settle(now)
  }

  deadline(): Instant | null {
    return sooner(sooner(this.#control.deadline(), this.#registrar.deadline()), this.#machine.deadline())
  }

  poll(): Sent | null {
    return this.#out.shift() ?? null
  }

  replugged(plugs: readonly Plugged[], now: Instant): void {
    this.candidates = plugs.flatMap(({ ips }) =>
      ips.map((ip) => ({ type: 'local' as const, endpoint: { ip, port: 4330 }, priority: 100 })),
    )
    this.version++
    this.#registrar.changed(now)
    this.#settle(now)
  }

  #settle(now: Instant): void {
    for (;;) {
      const relayed = this.#machine.poll()
      if (relayed !== null) {
        if (relayed.out === 'send') this.#out.push(relayed)
        else this.#control.handle(relayed.from, relayed.bytes, now)
        continue
      }
      const told = this.#registrar.poll()
      if (told !== null) {
        this.#onRegistrar(told, now)
        continue
      }
      const out = this.#control.poll()
      if (out === null) return
      if (out.out === 'send') this.#out.push(out)
      else this.#onControl(out.event, now)
    }
  }

  #onRegistrar(o: RegistrarOut, now: Instant): void {
    if (o.out === 'ask') this.#control.request(o.tag, o.message, seconds(5), now)
    else if (o.out === 'send') this.#out.push(o)
    else if (o.out === 'restart') this.#control.restart(now)
  }

  #onControl(event: ControlClientEvent, now: Instant): void {
    switch (event.event) {
      case 'session':
        return this.#registrar.session(now)
      case 'lost':
        return this.#registrar.lost(now)
      case 'silent':
        return this.#registrar.onSilent(event.tag, now)
      case 'response':
        return this.#registrar.onResponse(event.tag, event.message, now)
      case 'enrolled':
        return this.#registrar.enrolled(event.chain)
      case 'refused':
        return
      case 'request':
        return this.#onRequest(event, now)
      default:
        return event satisfies never
    }
  }

  #onRequest({ transaction, message }: Extract<ControlClientEvent, { event: 'request' }>, now: Instant): void {
    const respond = this.#control.respond.bind(this.#control)
    if (message.kind === 'relay-release') {
      this.core.release(message.pathId)
      return respond(transaction, { kind: 'relay-release-response' }, now)
    }
    const code = message.kind === 'relay-direction' ? this.core.direct(message, now) : 'unsupported'
    if (code !== null) return respond(transaction, { kind: 'refusal', code, retryAfterMillis: 0, text: '' }, now)
    const endpoints = this.candidates.map((c) => c.endpoint)
    respond(transaction, { kind: 'relay-accept', endpoints, loadPercent: this.core.loadPercent }, now)
  }
}
