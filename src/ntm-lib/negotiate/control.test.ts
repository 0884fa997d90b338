import { expect, test } from 'vitest'
import { nodeCrypto } from '#io/crypto-node.ts'
import { type Endpoint, endpointText } from '../addr/endpoint.ts'
import { fingerprint } from '../addr/ids.ts'
import { ip4FromWord } from '../addr/ip4.ts'
import { after, type Instant, instant, millis, seconds, wallTime } from '../base/time.ts'
import { nodeIdOf } from '../crypto/schedule.ts'
import type { KeyPair } from '../crypto/suite.ts'
import { CounterMap } from '../ports/counters.ts'
import { quiet } from '../ports/log.ts'
import type { Request } from '../wire/message.ts'
import { ControlClient } from './control-client.ts'
import type { ControlPolicy, ControlServerEvent } from './control-events.ts'
import { ControlServer } from './control-server.ts'
import type { ControlClientEvent } from './node-events.ts'

const SERVER: Endpoint = { ip: ip4FromWord(0xc0000201), port: 4330 }
const CLIENT: Endpoint = { ip: ip4FromWord(0xc6336401), port: 4330 }
const NETWORK = fingerprint(new Uint8Array(16).fill(9))
const echo: Request = { kind: 'location-confirm', echoNonce: new Uint8Array(8).fill(1) }

/** Whether the nth datagram arrives, counted over both directions; `late` delays it. */
type Weather = (nth: number) => 'lost' | 'twice' | 'fine' | { readonly late: number }

class Wire {
  now = instant(1000)
  readonly counters = new CounterMap()
  readonly serverKey: KeyPair = nodeCrypto.x25519Pair()
  readonly clientKey: KeyPair = nodeCrypto.x25519Pair()
  readonly sent: { readonly from: Endpoint; readonly to: Endpoint; readonly bytes: Uint8Array }[] = []
  readonly server: ControlServerEvent[] = []
  readonly client: ControlClientEvent[] = []
  clientAt = CLIENT
  weather: Weather
  policy: ControlPolicy = { admits: () => 'yes', tokenPsk: () => null }
  a: ControlClient
  b: ControlServer
  /** Answers every request with an empty response. */
  answering = true
  #flying: { due: Instant; from: Endpoint; to: Endpoint; bytes: Uint8Array }[] = []
  #nth = 0

  constructor(weather: Weather = () => 'fine', enrol: ConstructorParameters<typeof ControlClient>[0]['enrol'] = null) {
    this.weather = weather
    this.a = new ControlClient({
      caller: {
        suite: nodeCrypto,
        self: this.clientKey,
        fingerprint: NETWORK,
        coordinatorKey: this.serverKey.public,
        bootId: new Uint8Array(8).fill(3),
        roles: 2,
      },
      endpoints: [SERVER],
      enrol,
      log: quiet,
      counters: this.counters,
    })
    this.b = this.freshServer()
  }

  freshServer(): ControlServer {
    return new ControlServer({
      callee: { suite: nodeCrypto, self: this.serverKey, fingerprint: NETWORK },
      policy: { admits: (n, k, r) => this.policy.admits(n, k, r), tokenPsk: (t) => this.policy.tokenPsk(t) },
      words: () => ({ time: wallTime(0), keepAliveSeconds: 20, revocationVersion: 0 }),
      log: quiet,
      counters: this.counters,
    })
  }

  /** Runs until `until` holds or `limit` ms have passed; whether it held. */
  run(until: () => boolean, limit = 30_000): boolean {
    const end = after(this.now, millis(limit))
    for (;;) {
      this.drain()
      if (until()) return true
      const dues = [this.a.deadline(), this.b.deadline(), ...this.#flying.map((f) => f.due)].filter((d) => d !== null)
      const next = instant(Math.max(this.now, Math.min(...dues)))
      if (dues.length === 0 || next > end) return false
      this.now = next
      const due = this.#flying.filter((f) => f.due <= next)
      this.#flying = this.#flying.filter((f) => f.due > next)
      for (const f of due) this.deliver(f.from, f.to, f.bytes)
      this.a.tick(next)
      this.b.tick(next)
    }
  }

  deliver(from: Endpoint, to: Endpoint, bytes: Uint8Array): void {
    if (to === SERVER) this.b.handle(from, bytes, this.now)
    else if (endpointText(to) === endpointText(this.clientAt)) this.a.handle(from, bytes, this.now)
  }

  drain(): void {
    for (let o = this.a.poll(); o !== null; o = this.a.poll()) {
      if (o.out === 'send') this.#fly(this.clientAt, o.to, o.bytes)
      else this.client.push(o.event)
    }
    for (let o = this.b.poll(); o !== null; o = this.b.poll()) {
      if (o.out === 'send') this.#fly(SERVER, o.to, o.bytes)
      else {
        this.server.push(o.event)
        if (o.event.event === 'request' && this.answering) {
          this.b.respond(o.event.transaction, { kind: 'location-confirm-response' }, this.now)
          this.drain()
        }
      }
    }
  }

  #fly(from: Endpoint, to: Endpoint, bytes: Uint8Array): void {
    this.sent.push({ from, to, bytes: bytes.slice() })
    const fate = this.weather(this.#nth++)
    if (fate === 'lost') return
    const due = after(this.now, millis(typeof fate === 'object' ? fate.late : 20))
    this.#flying.push({ due, from, to, bytes: bytes.slice() })
    if (fate === 'twice') this.#flying.push({ due: after(due, millis(7)), from, to, bytes: bytes.slice() })
  }
}

const answers = (w: Wire): number => w.client.filter((e) => e.event === 'response').length
const requests = (w: Wire): number => w.server.filter((e) => e.event === 'request').length

test('a session stands after one round trip and carries a request both ways', () => {
  const w = new Wire()
  w.a.start(w.now)
  w.a.request('first', echo, seconds(5), w.now)
  expect(w.run(() => answers(w) === 1)).toBe(true)
  expect(w.now).toBe(1080)
  const node = nodeIdOf(nodeCrypto, w.clientKey.public)
  expect(w.b.peer(node)?.endpoint).toEqual(CLIENT)
  expect(
    w.b.request(
      node,
      'back',
      { kind: 'path-close', contractHash: new Uint8Array(32), reason: 'unused' },
      seconds(5),
      w.now,
    ),
  ).toBe(true)
  expect(w.run(() => w.client.some((e) => e.event === 'request'))).toBe(true)
})

test('loss, duplication and reordering: every request is answered, and handled once', () => {
  for (let seed = 1; seed <= 40; seed++) {
    let dice = seed
    const weather: Weather = () => {
      dice = (dice * 1103515245 + 12345) % 2 ** 31
      const roll = (dice >> 8) % 100
      return roll < 30 ? 'lost' : roll < 45 ? 'twice' : roll < 60 ? { late: 250 } : 'fine'
    }
    const w = new Wire(weather)
    w.a.start(w.now)
    for (let i = 0; i < 5; i++) w.a.request(`r${i}`, echo, seconds(60), w.now)
    expect(
      w.run(() => answers(w) === 5, 60_000),
      `seed ${seed}`,
    ).toBe(true)
    expect(requests(w), `seed ${seed}`).toBe(5)
  }
})

test('a replayed Hello, and every other captured datagram from another address, changes nothing', () => {
  const w = new Wire()
  w.a.start(w.now)
  w.a.request('first', echo, seconds(5), w.now)
  w.run(() => answers(w) === 1)
  const node = nodeIdOf(nodeCrypto, w.clientKey.public)
  const before = [w.b.peer(node), w.server.length]
  const thief: Endpoint = { ip: ip4FromWord(0x01020304), port: 1 }
  const captured = w.sent.filter((d) => d.to === SERVER)
  expect(captured.length).toBeGreaterThan(1)
  for (const d of captured) w.b.handle(thief, d.bytes, w.now)
  w.drain()
  expect([w.b.peer(node), w.server.length]).toEqual(before)
  w.b = w.freshServer()
  for (const d of captured) w.b.handle(thief, d.bytes, w.now)
  w.drain()
  expect(w.b.peer(node)).toBeNull()
})

test('the answer to a stranger is never larger than the question', () => {
  const w = new Wire(() => 'lost')
  w.a.start(w.now)
  w.drain()
  const hello = w.sent[0]?.bytes ?? new Uint8Array(0)
  const question = [
    hello,
    hello.slice(0, 40),
    new Uint8Array(33).fill(0x12),
    Uint8Array.of(0x12, 0, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0),
  ]
  for (const q of question) {
    w.sent.length = 0
    w.b.handle(CLIENT, q, w.now)
    w.drain()
    expect(w.sent.reduce((n, d) => n + d.bytes.length, 0)).toBeLessThanOrEqual(q.length)
  }
})

test('under load strangers must prove their address; the true caller does and gets in', () => {
  const w = new Wire()
  w.a.start(w.now)
  w.drain()
  const hello = w.sent[0]?.bytes ?? new Uint8Array(0)
  // Fresh Hellos of many callers; tag 1 needs only the coordinator's public key.
  for (let i = 0; i < 200; i++) {
    const other = new ControlClient({
      caller: {
        suite: nodeCrypto,
        self: nodeCrypto.x25519Pair(),
        fingerprint: NETWORK,
        coordinatorKey: w.serverKey.public,
        bootId: new Uint8Array(8),
        roles: 1,
      },
      endpoints: [SERVER],
      enrol: null,
      log: quiet,
      counters: new CounterMap(),
    })
    other.start(w.now)
    const out = other.poll()
    if (out?.out === 'send') w.b.handle({ ip: ip4FromWord(i + 1), port: 9 }, out.bytes, w.now)
  }
  w.sent.length = 0
  w.drain()
  w.sent.length = 0
  w.b.handle(CLIENT, hello, w.now)
  w.drain()
  expect(w.sent[0]?.bytes.length).toBe(64)
  w.a.request('first', echo, seconds(5), w.now)
  expect(w.run(() => answers(w) === 1)).toBe(true)
  expect(w.counters.get('control.cookie')).toBeGreaterThan(0)
})

test('a restarted coordinator resets the session and the node says hello again', () => {
  const w = new Wire()
  w.a.start(w.now)
  w.a.request('first', echo, seconds(5), w.now)
  w.run(() => answers(w) === 1)
  w.b = w.freshServer()
  w.a.request('second', echo, seconds(5), w.now)
  expect(w.run(() => answers(w) === 2, 2000)).toBe(true)
  expect(w.counters.get('control.reset')).toBe(1)
})

test('a forged reset does nothing', () => {
  const w = new Wire()
  w.a.start(w.now)
  w.a.request('first', echo, seconds(5), w.now)
  w.run(() => answers(w) === 1)
  const sealed = w.sent.findLast((d) => d.to === SERVER)?.bytes ?? new Uint8Array(0)
  const reset = new Uint8Array(32)
  reset.set(sealed.subarray(0, 10))
  reset.set([0x16, 2])
  w.a.handle(SERVER, reset, w.now)
  w.drain()
  expect(w.client.some((e) => e.event === 'lost')).toBe(false)
  expect(w.counters.get('control.drop.bad-tag')).toBe(1)
})

test('a mover is answered where it is now; the old address no longer', () => {
  const w = new Wire()
  w.a.start(w.now)
  w.a.request('first', echo, seconds(5), w.now)
  w.run(() => answers(w) === 1)
  w.clientAt = { ip: ip4FromWord(0xc6336402), port: 61000 }
  w.a.request('second', echo, seconds(5), w.now)
  expect(w.run(() => answers(w) === 2)).toBe(true)
  expect(w.b.peer(nodeIdOf(nodeCrypto, w.clientKey.public))?.endpoint).toEqual(w.clientAt)
})

test('what a box between two networks was asked it hears with its first word from the new one', () => {
  const w = new Wire()
  w.a.start(w.now)
  w.a.request('first', echo, seconds(5), w.now)
  w.run(() => answers(w) === 1)
  const node = nodeIdOf(nodeCrypto, w.clientKey.public)
  w.clientAt = { ip: ip4FromWord(0xc6336402), port: 61000 }
  w.b.request(
    node,
    'asked',
    { kind: 'path-close', contractHash: new Uint8Array(32), reason: 'lost' },
    seconds(30),
    w.now,
  )
  // Its next copies wait for seconds by now.
  w.run(() => false, 8000)
  const heard = (): boolean => w.client.some((e) => e.event === 'request')
  expect(heard()).toBe(false)
  const back = w.now
  w.a.request('second', echo, seconds(5), w.now)
  expect(w.run(heard)).toBe(true)
  expect(w.now - back).toBe(40)
})

test('nobody home: the request is given up, the Hellos go on and slow down', () => {
  const w = new Wire(() => 'lost')
  w.a.start(w.now)
  w.a.request('first', echo, seconds(2), w.now)
  expect(w.run(() => w.client.some((e) => e.event === 'silent'))).toBe(true)
  expect(w.now).toBe(3000)
  const at = w.sent.length
  w.run(() => false, 60_000)
  expect(w.sent.length - at).toBeGreaterThan(10)
  expect(w.sent.length - at).toBeLessThan(40)
})

test('enrolment: the token opens a session, its answer is a membership, and the node comes back as a member', () => {
  const tokenId = new Uint8Array(8).fill(5)
  const psk = new Uint8Array(32).fill(6)
  const w = new Wire(() => 'fine', { secret: { tokenId, psk }, chain: [] })
  w.answering = false
  w.policy = { admits: () => 'yes', tokenPsk: (t) => (t[0] === 5 ? psk : null) }
  w.a.start(w.now)
  expect(w.run(() => requests(w) === 1)).toBe(true)
  const asked = w.server.find((e) => e.event === 'request')
  if (asked?.event !== 'request') throw new Error('no request')
  expect(asked.message.kind).toBe('cert-renew')
  expect(asked.peer.tokenId).toEqual(tokenId)
  const chain = [new Uint8Array(200).fill(7)]
  w.b.respond(asked.transaction, { kind: 'cert-renew-response', chain }, w.now)
  expect(w.run(() => w.client.some((e) => e.event === 'session'))).toBe(true)
  expect(w.client.find((e) => e.event === 'enrolled')).toEqual({ event: 'enrolled', chain })
})

test('an unknown token is dropped and counted', () => {
  const w = new Wire(() => 'fine', { secret: { tokenId: new Uint8Array(8), psk: new Uint8Array(32) }, chain: [] })
  w.a.start(w.now)
  expect(w.run(() => w.counters.get('control.drop.unknown-token') > 0)).toBe(true)
  expect(w.client).toEqual([])
})

test('a node that is not admitted gets no session', () => {
  const w = new Wire()
  w.policy = { ...w.policy, admits: () => 'revoked' }
  w.a.start(w.now)
  w.run(() => false, 10_000)
  expect(w.client).toEqual([])
  expect(w.counters.get('control.drop.revoked-node')).toBeGreaterThan(0)
})

test('the session is made anew every hour while requests go on', () => {
  const w = new Wire()
  w.a.start(w.now)
  w.a.request('first', echo, seconds(5), w.now)
  w.run(() => answers(w) === 1)
  let n = 1
  const node = nodeIdOf(nodeCrypto, w.clientKey.public)
  const first = w.b.peer(node)?.session
  while (w.now < 3_700_000) {
    w.run(() => false, 20_000)
    w.now = after(w.now, millis(1))
    w.a.request(`r${n}`, echo, seconds(5), w.now)
    expect(w.run(() => answers(w) === n + 1)).toBe(true)
    n++
    if (w.now < 3_500_000) w.now = after(w.now, seconds(100))
  }
  expect(w.b.peer(node)?.session).not.toBe(first)
  expect(w.client.some((e) => e.event === 'lost')).toBe(false)
})
