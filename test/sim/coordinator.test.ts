import { expect, test } from 'vitest'
import { CoordinatorCore } from '#coordinator/core.ts'
import { makeNetwork, makeToken } from '#coordinator/network.ts'
import { DEFAULT_SETTINGS } from '#coordinator/settings.ts'
import { MemoryStore } from '#coordinator/store-memory.ts'
import { nodeCrypto as suite } from '#io/crypto-node.ts'
import { type Endpoint, endpointText, parseEndpoint } from '#ntm-lib/addr/endpoint.ts'
import { BugError } from '#ntm-lib/base/invariant.ts'
import { after, type Instant, instant, millis, seconds, wallTime } from '#ntm-lib/base/time.ts'
import { makeMembership } from '#ntm-lib/crypto/identity.ts'
import type { KeyPair } from '#ntm-lib/crypto/suite.ts'
import { ControlClient } from '#ntm-lib/negotiate/control-client.ts'
import { ControlServer } from '#ntm-lib/negotiate/control-server.ts'
import { CounterMap } from '#ntm-lib/ports/counters.ts'
import { quiet } from '#ntm-lib/ports/log.ts'
import { ROLE_BRIDGE, ROLE_TT } from '#ntm-lib/wire/certificate.ts'
import type { Response } from '#ntm-lib/wire/message.ts'
import type { DirectionResponse, Route } from '#ntm-lib/wire/messages/direction.ts'

// bridge (NAT 203.0.113.5) ── wire with loss and copies ── coordinator 198.51.100.1 ── tt 198.51.100.9
// Real handshakes, sealed envelopes and retransmissions on both sides; only the datagrams' fate is drawn.
test.each([1, 2, 3, 4])('enrolment, registration and a direction over a bad wire, seed %i', (seed) => {
  const w = new Net(seed, 0.25)
  const tt = w.box('tt1', ROLE_TT, '198.51.100.9:4330', '198.51.100.9:4330')
  const bridge = w.box('plc', ROLE_BRIDGE, '203.0.113.5:61001', '10.0.0.2:4330')
  expect(w.run(() => tt.confirmed && bridge.confirmed)).toBe(true)
  expect(
    w.store
      .members()
      .map((m) => m.name)
      .toSorted(),
  ).toEqual(['plc.ntm.example', 'tt1.ntm.example'])
  expect(w.core.presences.all().length).toBe(2)

  w.loss = 0.05
  const [first, second] = ['v6only.example', 'other.example'].map((name) => w.direct(bridge, name))
  expect(w.run(() => first?.done === true && second?.done === true)).toBe(true)
  expect(w.core.provisional).toBe(0)
  const answers = [first, second].map((a) => a?.answer as Response)
  for (const answer of answers) if (answer.kind === 'refusal') expect(answer.code).toBe('peer-silent')
  const told = answers.filter((a): a is DirectionResponse => a.kind === 'direction-response')
  expect(told.length).toBeGreaterThan(0)
  const route = told.find((t) => t.route !== null)?.route
  expect(tt.routes.map((r) => r.contract)).toContainEqual(route?.contract)
})

test('the coordinator restarts: everybody comes back by itself, the contract stands, names keep their addresses', () => {
  const w = new Net(7, 0)
  const tt = w.box('tt1', ROLE_TT, '198.51.100.9:4330', '198.51.100.9:4330')
  const bridge = w.box('plc', ROLE_BRIDGE, '203.0.113.5:61001', '10.0.0.2:4330')
  expect(w.run(() => tt.confirmed && bridge.confirmed)).toBe(true)
  const before = w.direct(bridge, 'v6only.example')
  expect(w.run(() => before.done)).toBe(true)
  w.restart()
  for (const box of [tt, bridge]) {
    box.confirmed = false
    // Their next word finds no session, gets a reset, and they say hello again.
    w.register(box, 'ntm-update')
  }
  expect(w.run(() => tt.confirmed && bridge.confirmed)).toBe(true)
  const again = w.direct(bridge, 'v6only.example')
  expect(w.run(() => again.done)).toBe(true)
  const [one, two] = [before, again].map((a) => a.answer as DirectionResponse)
  expect(two).toMatchObject({ kind: 'direction-response', route: null })
  expect(two?.contractHash).toEqual(one?.contractHash)
  expect(two?.target?.vip4).toBe(one?.target?.vip4)
})

const DC = endpoint('198.51.100.1:4330')

type Box = {
  readonly client: ControlClient
  readonly name: string
  readonly key: KeyPair
  readonly at: Endpoint
  readonly own: Endpoint
  readonly bootId: Uint8Array
  readonly routes: Route[]
  confirmed: boolean
}
type Asked = { readonly tag: string; done: boolean; answer: Response | null }

class Net {
  readonly store = new MemoryStore()
  readonly counters = new CounterMap()
  now = instant(1000)
  core: CoordinatorCore
  loss: number
  readonly #calendar = { today: () => wallTime(1_800_000_000_000 + this.now) }
  readonly #network = makeNetwork({ name: 'dc.ntm.example', zone: 'ntm.example', suite, calendar: this.#calendar })
  #server: ControlServer
  readonly #boxes: Box[] = []
  readonly #asked = new Map<string, Asked>()
  #flying: { due: Instant; from: Endpoint; to: Endpoint; bytes: Uint8Array }[] = []
  #seed: number

  constructor(seed: number, loss: number) {
    this.#seed = seed
    this.loss = loss
    ;[this.core, this.#server] = this.#boot()
  }

  restart(): void {
    ;[this.core, this.#server] = this.#boot()
  }

  box(name: string, roles: number, at: string, own: string): Box {
    const { root, plan, coordinator } = this.#network
    const key = suite.x25519Pair()
    const fqdn = `${name}.ntm.example`
    const wish = { name: fqdn, roles, rootPublicKey: root.public, root, plan, endpoints: [DC], validSeconds: 3600 }
    const { row, grant } = this.#token({ ...wish, coordinatorStatic: coordinator.static.public })
    this.store.putToken(row)
    const issued = Math.floor(this.#calendar.today() / 1000)
    const made =
      grant &&
      makeMembership(suite, grant, { staticKey: key.public, roles, name: fqdn, issued, expires: issued + 9999 })
    const bootId = suite.random(8)
    const client = new ControlClient({
      caller: {
        suite,
        self: key,
        fingerprint: root.fingerprint,
        coordinatorKey: coordinator.static.public,
        bootId,
        roles,
      },
      endpoints: [DC],
      enrol: { secret: { tokenId: row.id, psk: row.psk }, chain: made?.ok ? made.chain : [] },
      log: quiet,
      counters: this.counters,
    })
    const box = { client, name: fqdn, key, at: endpoint(at), own: endpoint(own), bootId, routes: [], confirmed: false }
    this.#boxes.push(box)
    client.start(this.now)
    return box
  }

  direct(box: Box, name: string): Asked {
    const asked: Asked = { tag: `direct ${this.#asked.size}`, done: false, answer: null }
    this.#asked.set(asked.tag, asked)
    const sought = { by: 'name', name } as const
    const request = { kind: 'direction-request', sought, why: 'dns', sources: [], lost: new Uint8Array(32) } as const
    box.client.request(asked.tag, request, seconds(10), this.now)
    return asked
  }

  register(box: Box, kind: 'registration' | 'ntm-update'): void {
    const candidates = [{ type: 'local', endpoint: box.own, priority: 1 } as const]
    const { name, bootId } = box
    const rest = {
      ...{ versionMin: 1, versionMax: 1, features: 0, mtuBytes: 1500, hosts: [], revocationVersion: 0 },
      ...{ loadPercent: 0, relays: [] },
    }
    box.client.request(
      'register',
      { kind, name, bootId, locationVersion: 1, candidates, ...rest },
      seconds(60),
      this.now,
    )
  }

  run(until: () => boolean): boolean {
    for (const end = after(this.now, seconds(120)); ; ) {
      this.#drain()
      if (until()) return true
      const parts = [this.core, this.#server, ...this.#boxes.map((b) => b.client)]
      const dues = [...parts.map((p) => p.deadline()), ...this.#flying.map((f) => f.due)].filter((d) => d !== null)
      const next = instant(Math.max(this.now, Math.min(...dues)))
      if (dues.length === 0 || next > end) return false
      this.now = next
      const due = this.#flying.filter((f) => f.due <= next)
      this.#flying = this.#flying.filter((f) => f.due > next)
      for (const f of due) {
        if (f.to === DC) this.#server.handle(f.from, f.bytes, next)
        else this.#boxes.find((b) => endpointText(b.at) === endpointText(f.to))?.client.handle(f.from, f.bytes, next)
      }
      for (const p of parts) p.tick(next)
    }
  }

  #drain(): void {
    for (let busy = true; busy; ) {
      busy = false
      for (let o = this.#server.poll(); o !== null; o = this.#server.poll()) {
        busy = true
        if (o.out === 'send') this.#fly(DC, o.to, o.bytes)
        else this.core.handle(o.event, this.now)
      }
      for (const box of this.#boxes)
        for (let o = box.client.poll(); o !== null; o = box.client.poll()) {
          busy = true
          if (o.out === 'send') this.#fly(box.at, DC, o.bytes)
          else this.#onClient(box, o.event)
        }
    }
  }

  #onClient(box: Box, event: Extract<ReturnType<ControlClient['poll']>, { out: 'event' }>['event']): void {
    if (event.event === 'session') return this.register(box, 'registration')
    if (event.event === 'request') {
      if (event.message.kind === 'route-direction') box.routes.push(event.message.route)
      return box.client.respond(event.transaction, { kind: 'path-accept', ttlSeconds: 60, families: 2 }, this.now)
    }
    if (event.event === 'refused') throw new BugError(`${box.name} refused: ${event.code} ${event.text}`)
    if (event.event !== 'response') return
    const asked = this.#asked.get(event.tag)
    if (asked !== undefined) Object.assign(asked, { done: true, answer: event.message })
    else if ('echoNonce' in event.message) {
      const confirm = { kind: 'location-confirm', echoNonce: event.message.echoNonce } as const
      box.client.request('confirm', confirm, seconds(60), this.now)
    } else if (event.message.kind === 'location-confirm-response') box.confirmed = true
  }

  #token(wish: Omit<Parameters<typeof makeToken>[0], 'suite' | 'calendar'>) {
    const made = makeToken({ ...wish, suite, calendar: this.#calendar })
    if (made === null) throw new BugError('no token')
    return made
  }

  #boot(): [CoordinatorCore, ControlServer] {
    const { root, issuer, coordinator, plan } = this.#network
    const { fingerprint } = root
    const core = new CoordinatorCore({
      sessions: {
        respond: (t, r, now) => this.#server.respond(t, r, now),
        request: (n, tag, m, timeout, now) => this.#server.request(n, tag, m, timeout, now),
        peer: (n) => this.#server.peer(n),
        close: (n) => this.#server.close(n),
      },
      store: this.store,
      suite,
      calendar: this.#calendar,
      random: { bytes: (n) => suite.random(n) },
      log: quiet,
      counters: this.counters,
      settings: { ...DEFAULT_SETTINGS, zone: 'ntm.example', plan, endpoints: [DC], nameServers: ['ns.ntm.example'] },
      keys: { node: coordinator.nodeId, fingerprint, rootKey: root.public, chain: coordinator.chain, issuer },
    })
    const words = () => ({ time: this.#calendar.today(), keepAliveSeconds: 20, revocationVersion: 0 })
    const callee = { suite, self: coordinator.static, fingerprint }
    return [core, new ControlServer({ callee, policy: core, words, log: quiet, counters: this.counters })]
  }

  #fly(from: Endpoint, to: Endpoint, bytes: Uint8Array): void {
    const copies = this.#draw() < this.loss ? 0 : this.#draw() < this.loss ? 2 : 1
    for (let i = 0; i < copies; i++) {
      const due = after(this.now, millis(10 + Math.floor(this.#draw() * 20)))
      this.#flying.push({ due, from, to, bytes: bytes.slice() })
    }
  }

  /** Mulberry32: the same seed is the same weather. */
  #draw(): number {
    this.#seed = (this.#seed + 0x6d2b79f5) | 0
    let t = Math.imul(this.#seed ^ (this.#seed >>> 15), 1 | this.#seed)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
}

function endpoint(text: string): Endpoint {
  const parsed = parseEndpoint(text)
  if (parsed === null) throw new BugError(text)
  return parsed
}
