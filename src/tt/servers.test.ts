import { expect, test } from 'vitest'
import { addressRecord, buildAnswer, parseMessage, RCODE } from '#dnsfn/message.ts'
import { type Family, family, ipText, parseIp } from '#ntm-lib/addr/ip.ts'
import { parseIp4 } from '#ntm-lib/addr/ip4.ts'
import { parseIp6 } from '#ntm-lib/addr/ip6.ts'
import { parsePrefix } from '#ntm-lib/addr/prefix.ts'
import { type Instant, instant } from '#ntm-lib/base/time.ts'
import { CounterMap } from '#ntm-lib/ports/counters.ts'
import { EgressPolicy } from './egress.ts'
import { Resolver } from './resolver.ts'
import { type Asked, Servers, type ServersOut } from './servers.ts'
import { TranslationTable } from './translation-table.ts'

const DNS = { ip: parseIp('9.9.9.9')!, port: 53 }
const PAIR = { vip4: parseIp4('198.19.0.7')!, vip6: parseIp6('fd00:1:3::7')! }
const at = (s: number): Instant => instant(s * 1000)
const asked = (id: string, name = 'www.example', node = 'a', pair = PAIR): Asked => ({ id, node, name, pair })

/** Servers with real resolver, table and policy; DNS says what `zone` says, or nothing. */
class Bench {
  readonly counters = new CounterMap()
  readonly table = new TranslationTable(2)
  readonly policy = new EgressPolicy({ allow: [], deny: [], own: [], subnets: [], virtual: [] })
  readonly servers: Servers
  zone: Readonly<Record<string, readonly string[]>> = {}
  silent = false
  ttl = 60
  questions = 0
  readonly said: Exclude<ServersOut, { kind: 'send' | 'close' | 'ask-tcp' }>[] = []
  constructor(families: readonly Family[] = [4, 6]) {
    let id = 0
    const random = { bytes: (n: number) => Uint8Array.from({ length: n }, () => ++id & 255) }
    const settings = { resolvers: [DNS], families: [4, 6] as const, leastTtl: 5, mostTtl: 3600 }
    const resolver = new Resolver(settings, random, this.counters)
    this.servers = new Servers(this.table, resolver, this.policy, families, this.counters)
  }
  ask(a: Asked, now: number): void {
    this.servers.ask(a, at(now))
    this.settle(now)
  }
  tick(now: number): void {
    this.servers.tick(at(now))
    this.settle(now)
  }
  settle(now: number): void {
    for (let out = this.servers.poll(); out !== null; out = this.servers.poll()) {
      if (out.kind !== 'send') {
        if (out.kind === 'ready' || out.kind === 'refused') this.said.push(out)
        continue
      }
      this.questions++
      if (this.silent) continue
      const query = parseMessage(out.bytes)!
      const { name, type } = query.question!
      const known = this.zone[name]
      const answers = (known ?? [])
        .map((text) => parseIp(text)!)
        .filter((ip) => family(ip) === (type === 1 ? 4 : 6))
        .map((ip) => addressRecord(name, ip, this.ttl))
      const bytes = buildAnswer(query, { rcode: known === undefined ? RCODE.NXDOMAIN : RCODE.NOERROR, answers })
      this.servers.datagram({ kind: 'datagram', from: DNS, bytes, socket: out.socket }, at(now))
    }
  }
  /** The last thing said, in short. */
  get last(): unknown {
    const out = this.said.at(-1)
    if (out?.kind === 'ready') return [out.id, out.ttlSeconds, out.families, out.entry.addresses.map(ipText).sort()]
    return out?.kind === 'refused' ? [out.id, out.code] : null
  }
}

test('a name is resolved and told with its families and TTL; known and fresh, it is told without a question', () => {
  const b = new Bench()
  b.zone = { 'www.example': ['8.8.8.8', '2606:4700::1'], 'six.example': ['2606:4700::2'] }
  b.ask(asked('1'), 0)
  expect(b.last).toEqual(['1', 60, 3, ['2606:4700::1', '8.8.8.8']])
  const before = b.questions
  b.ask(asked('2'), 20)
  expect([b.last, b.questions]).toEqual([['2', 40, 3, ['2606:4700::1', '8.8.8.8']], before])
  b.ask(asked('3', 'six.example', 'b'), 20)
  expect(b.last).toEqual(['3', 60, 2, ['2606:4700::2']])
  // The uplink has lost IPv6 since.
  b.servers.setFamilies([4])
  b.ask(asked('4', 'six.example', 'b'), 21)
  expect(b.last).toEqual(['4', 'no-route'])
})

test('every refusal has its code: no such name, no address, nobody answers, forbidden, out of reach, too many', () => {
  const b = new Bench([4])
  b.zone = {
    'none.example': [],
    'bad.example': ['10.0.0.1', '::1'],
    'six.example': ['2606:4700::1'],
    'both.example': ['2606:4700::1', '8.8.8.8'],
  }
  const code = (name: string): unknown => {
    b.ask(asked(name, name), 0)
    return b.last
  }
  expect(code('missing.example')).toEqual(['missing.example', 'unknown-name'])
  expect(code('none.example')).toEqual(['none.example', 'unknown-name'])
  expect(code('bad.example')).toEqual(['bad.example', 'bad-address'])
  expect(code('six.example')).toEqual(['six.example', 'no-route'])
  expect(b.said.at(-1)).toMatchObject({ text: 'the name has only IPv6, which the uplink does not reach' })
  expect(code('both.example')).toEqual(['both.example', 60, 1, ['8.8.8.8']])
  // The same virtual address for another name, as only a broken coordinator would have it.
  expect(b.table.size('a')).toBe(1)
  b.zone = { ...b.zone, 'other.example': ['8.8.4.4'] }
  expect(code('other.example')).toEqual(['other.example', 'forbidden'])
  b.silent = true
  b.ask(asked('late', 'late.example'), 10)
  for (let ms = 10_000; ms <= 11_400; ms += 50) b.tick(ms / 1000)
  expect(b.last).toEqual(['late', 'resolver-down'])
  b.silent = false
  b.servers.setFamilies([4, 6])
  b.ask(asked('again', 'six.example', 'c'), 12)
  expect(b.last).toEqual(['again', 60, 2, ['2606:4700::1']])
})

test('a node’s share is full: busy, and nothing half-made', () => {
  const b = new Bench()
  b.zone = { '1.example': ['8.8.8.1'], '2.example': ['8.8.8.2'], '3.example': ['8.8.8.3'] }
  for (const n of [1, 2, 3]) {
    const pair = { vip4: parseIp4(`198.19.0.${n}`)!, vip6: parseIp6(`fd00:1:3::${n}`)! }
    b.ask(asked(`${n}`, `${n}.example`, 'a', pair), 0)
  }
  expect(b.last).toEqual(['3', 'busy'])
  expect(b.table.size('a')).toBe(2)
})

test('a server in use is resolved again before its TTL ends; a change to forbidden addresses is not believed', () => {
  const b = new Bench()
  b.zone = { 'www.example': ['2606:4700::1'] }
  b.ask(asked('1'), 0)
  const entry = b.table.byName('a', 'www.example')!
  const before = b.questions
  b.tick(47)
  expect(b.questions).toBe(before)
  b.zone = { 'www.example': ['2606:4700::2'] }
  b.tick(48)
  expect(entry.addresses.map(ipText)).toEqual(['2606:4700::2'])
  for (const bad of ['::1', '::ffff:10.0.0.1', '64:ff9b::7f00:1', '169.254.169.254', '192.168.1.1']) {
    b.zone = { 'www.example': [bad] }
    const now = Number(entry.resolveAt) / 1000
    entry.lastUsed = at(now)
    const asks = b.questions
    b.tick(now)
    expect(b.questions).toBeGreaterThan(asks)
    expect(entry.addresses.map(ipText)).toEqual(['2606:4700::2'])
  }
  expect(b.counters.get('tt.egress.loopback')).toBe(2)
})

test('a path that goes takes its servers along and refuses what was asked for it', () => {
  const b = new Bench()
  b.zone = { 'www.example': ['8.8.8.8'] }
  b.ask(asked('1'), 0)
  b.silent = true
  b.ask(asked('2', 'slow.example'), 1)
  b.servers.forget('a', at(1.1))
  b.settle(1.1)
  expect([b.last, b.table.size('a')]).toEqual([['2', 'no-route'], 0])
  for (let s = 1.1; s < 4; s += 0.1) b.tick(s)
  expect(b.last).toEqual(['2', 'no-route'])
})

test('a policy that changes is asked at the next resolution', () => {
  const b = new Bench()
  b.zone = { 'www.example': ['8.8.8.8'] }
  b.policy.update({ subnets: [parsePrefix('8.8.8.0/24')!] })
  b.ask(asked('1'), 0)
  expect(b.last).toEqual(['1', 'bad-address'])
})
