import fc from 'fast-check'
import { expect, test } from 'vitest'
import { addressRecord, buildAnswer, type DnsRecord, parseMessage, RCODE, TYPE } from '#dnsfn/message.ts'
import { parseEndpoint } from '#ntm-lib/addr/endpoint.ts'
import { ipText, parseIp } from '#ntm-lib/addr/ip.ts'
import { type Instant, instant } from '#ntm-lib/base/time.ts'
import { CounterMap } from '#ntm-lib/ports/counters.ts'
import { Resolver, type ResolverOut, type ResolverSettings } from './resolver.ts'

const ONE = parseEndpoint('192.0.2.53:53')!
const TWO = parseEndpoint('[2001:db8::53]:53')!
const SETTINGS: ResolverSettings = { resolvers: [ONE, TWO], families: [4, 6], leastTtl: 5, mostTtl: 3600 }
type Send = Extract<ResolverOut, { kind: 'send' }>

class Bench {
  readonly counters = new CounterMap()
  readonly resolver: Resolver
  #n = 0
  constructor(settings: Partial<ResolverSettings> = {}) {
    const random = {
      bytes: (count: number) => Uint8Array.from({ length: count }, () => (this.#n = (this.#n * 73 + 41) & 255)),
    }
    this.resolver = new Resolver({ ...SETTINGS, ...settings }, random, this.counters)
  }
  ask(name: string, ticket = 1, now = 0): ResolverOut[] {
    this.resolver.handle({ kind: 'resolve', name, ticket }, instant(now))
    return this.out()
  }
  out(): ResolverOut[] {
    const all: ResolverOut[] = []
    for (let o = this.resolver.poll(); o !== null; o = this.resolver.poll()) all.push(o)
    return all
  }
  answer(
    send: Send,
    answers: readonly DnsRecord[],
    rcode: number = RCODE.NOERROR,
    now = 10,
    change: Partial<Send> = {},
  ): ResolverOut[] {
    const query = parseMessage(send.bytes)!
    const bytes = buildAnswer(query, { rcode, answers })
    this.resolver.handle(
      {
        kind: 'datagram',
        from: change.to ?? send.to,
        bytes: change.bytes ?? bytes,
        socket: change.socket ?? send.socket,
      },
      instant(now),
    )
    return this.out()
  }
}

const sends = (outs: readonly ResolverOut[]): Send[] => outs.filter((o) => o.kind === 'send')
/** An answer to `q` with the TC bit. */
const truncated = (q: Send, answers: readonly DnsRecord[]): Uint8Array => {
  const bytes = buildAnswer(parseMessage(q.bytes)!, { rcode: 0, answers })
  bytes[2] = (bytes[2] ?? 0) | 2
  return bytes
}
const typeOf = (s: Send): number => parseMessage(s.bytes)!.question!.type
const result = (outs: readonly ResolverOut[]) => outs.find((o) => o.kind === 'resolved')?.result
const a = (name: string, ip: string, ttl = 300): DnsRecord => addressRecord(name, parseIp(ip)!, ttl)
const cname = (name: string, to: string, ttl = 300): DnsRecord => ({ name, type: TYPE.CNAME, class: 1, ttl, data: to })

test('A and AAAA are asked at once and answered together, with the least TTL', () => {
  const b = new Bench()
  const [q4, q6] = sends(b.ask('WWW.example')) as [Send, Send]
  expect([typeOf(q4), typeOf(q6)]).toEqual([TYPE.A, TYPE.AAAA])
  expect([q4.to, q6.to]).toEqual([ONE, ONE])
  expect(parseMessage(q4.bytes)!.id).not.toBe(parseMessage(q6.bytes)!.id)
  expect(b.answer(q6, [a('www.example', '2606:4700::1', 40)])).toEqual([])
  const done = result(b.answer(q4, [a('www.example', '8.8.8.8', 300)]))
  expect(done?.outcome === 'found' && [done.addresses.map(ipText), done.ttl]).toEqual([
    ['8.8.8.8', '2606:4700::1'],
    40_000,
  ])
  expect(b.resolver.deadline()).toBe(null)
})

test('a CNAME chain in the answer is followed, and its least TTL counts', () => {
  const b = new Bench({ families: [6] })
  const [q] = sends(b.ask('www.example')) as [Send]
  const chain = [
    cname('www.example', 'cdn.example', 7),
    cname('cdn.example', 'x.cdn.net'),
    a('x.cdn.net', '2606:4700::1'),
    a('other.net', '2606:4700::bad'),
  ]
  const done = result(b.answer(q, chain))
  expect(done?.outcome === 'found' && [done.addresses.map(ipText), done.ttl]).toEqual([['2606:4700::1'], 7000])
  const loop = new Bench({ families: [6] })
  const [q2] = sends(loop.ask('a.example')) as [Send]
  expect(result(loop.answer(q2, [cname('a.example', 'b.example'), cname('b.example', 'a.example')]))).toEqual({
    outcome: 'none',
    why: 'no-address',
  })
})

test('no name, no address and a TTL outside the limits', () => {
  for (const [rcode, why] of [
    [RCODE.NXDOMAIN, 'no-name'],
    [RCODE.NOERROR, 'no-address'],
  ] as const) {
    const b = new Bench()
    const [q4, q6] = sends(b.ask('none.example')) as [Send, Send]
    b.answer(q4, [], rcode)
    expect(result(b.answer(q6, [], rcode))).toEqual({ outcome: 'none', why })
  }
  for (const [ttl, want] of [
    [0, 5000],
    [99_999_999, 3_600_000],
    [0xffffffff, 5000],
  ] as const) {
    const b = new Bench({ families: [4] })
    const [q] = sends(b.ask('x.example')) as [Send]
    expect(result(b.answer(q, [a('x.example', '8.8.8.8', ttl)]))).toMatchObject({ ttl: want })
  }
})

test('an answer from elsewhere, with another id, another question or on another socket does not count', () => {
  const b = new Bench({ families: [4] })
  const [q] = sends(b.ask('x.example')) as [Send]
  const good = buildAnswer(parseMessage(q.bytes)!, { rcode: 0, answers: [a('x.example', '8.8.8.8')] })
  const wrongId = Uint8Array.from(good, (x, i) => (i === 0 ? x ^ 1 : x))
  const wrongName = Uint8Array.from(good, (x, i) => (i === 13 ? x ^ 1 : x))
  for (const change of [
    { to: TWO },
    { bytes: wrongId },
    { bytes: wrongName },
    { socket: q.socket + 1 },
    { bytes: q.bytes },
    { bytes: good.slice(0, 20) },
  ]) {
    expect(b.answer(q, [], 0, 10, change)).toEqual([])
  }
  expect(b.counters.get('tt.dns.stray')).toBe(4)
  expect(b.counters.get('tt.dns.malformed')).toBe(2)
  expect(result(b.answer(q, [], 0, 10, { bytes: good }))?.outcome).toBe('found')
})

test('silence moves to the next resolver with new ids and a new socket, and the whole ends within 1.5 s', () => {
  const b = new Bench()
  const first = sends(b.ask('x.example'))
  const asked: string[] = []
  let done: ResolverOut[] = []
  let now: Instant = instant(0)
  for (let next = b.resolver.deadline(); next !== null; next = b.resolver.deadline()) {
    expect(next).toBeGreaterThan(now)
    now = next
    b.resolver.tick(now)
    done = b.out()
    for (const s of sends(done)) asked.push(`${now} ${ipText(s.to.ip)} ${typeOf(s)}`)
    expect(sends(done).every((s) => s.socket !== first[0]!.socket)).toBe(true)
  }
  expect(asked).toEqual([
    '450 2001:db8::53 1',
    '450 2001:db8::53 28',
    '900 192.0.2.53 1',
    '900 192.0.2.53 28',
    '1350 2001:db8::53 1',
    '1350 2001:db8::53 28',
  ])
  expect(now).toBeLessThan(1500)
  expect(result(done)).toEqual({ outcome: 'failed', why: 'timeout' })
})

test('one family answered and the other silent is better than nothing', () => {
  const b = new Bench()
  const [, q6] = sends(b.ask('x.example')) as [Send, Send]
  b.answer(q6, [a('x.example', '2606:4700::1')])
  b.resolver.tick(instant(450))
  expect(sends(b.out()).map(typeOf)).toEqual([TYPE.A])
  b.resolver.tick(instant(1400))
  expect(result(b.out())?.outcome).toBe('found')
})

test('a resolver that refuses is left for the next at once', () => {
  const b = new Bench({ families: [4] })
  const [q] = sends(b.ask('x.example')) as [Send]
  b.answer(q, [], RCODE.SERVFAIL, 20)
  expect(b.resolver.deadline()).toBe(20)
  b.resolver.tick(instant(20))
  const [again] = sends(b.out()) as [Send]
  expect(again.to).toEqual(TWO)
  b.answer(again, [], RCODE.SERVFAIL, 30)
  expect(b.resolver.deadline()).toBe(470)
  b.resolver.tick(instant(1400))
  expect(result(b.out())).toEqual({ outcome: 'failed', why: 'refused' })
})

test('a truncated answer is asked for again over TCP, with the same question', () => {
  const b = new Bench({ families: [4] })
  const [q] = sends(b.ask('x.example')) as [Send]
  const outs = b.answer(q, [], 0, 10, { bytes: truncated(q, [a('x.example', '8.8.8.8')]) })
  expect(outs.map((o) => o.kind)).toEqual(['ask-tcp'])
  expect(outs[0]).toMatchObject({ to: q.to, bytes: q.bytes, socket: q.socket })
  expect(b.counters.get('tt.dns.truncated')).toBe(1)
  const all = Array.from({ length: 30 }, (_, i) => a('x.example', `8.8.4.${i}`))
  expect(result(b.answer(q, all, 0, 20))).toMatchObject({ outcome: 'found', addresses: { length: 30 } })
})

test('cut over TCP too, or no TCP at all: what fitted is used when time is up, and nothing is asked for ever', () => {
  const b = new Bench({ families: [4] })
  const [q] = sends(b.ask('x.example')) as [Send]
  const bytes = truncated(q, [a('x.example', '8.8.8.8')])
  b.answer(q, [], 0, 10, { bytes })
  expect(result(b.answer(q, [], 0, 20, { bytes }))?.outcome).toBe('found')
  const [silent] = sends(b.ask('y.example')) as [Send]
  b.answer(silent, [], 0, 10, { bytes: truncated(silent, [a('y.example', '8.8.8.8')]) })
  b.resolver.tick(instant(1400))
  expect(result(b.out())?.outcome).toBe('found')
  const [empty] = sends(b.ask('z.example')) as [Send]
  b.answer(empty, [], 0, 10, { bytes: truncated(empty, []) })
  b.answer(empty, [], 0, 20, { bytes: truncated(empty, []) })
  b.resolver.tick(instant(1400))
  expect(result(b.out())).toEqual({ outcome: 'failed', why: 'refused' })
})

test('the same name asked twice is asked for once; bad names and floods are refused at once', () => {
  const b = new Bench({ families: [4] })
  const [q] = sends(b.ask('x.example', 1)) as [Send]
  expect(b.ask('X.example', 2)).toEqual([])
  const tickets = b.answer(q, [a('x.example', '8.8.8.8')]).flatMap((o) => (o.kind === 'resolved' ? [o.ticket] : []))
  expect(tickets).toEqual([1, 2])
  for (const bad of ['', 'localhost', 'a..b', `${'x'.repeat(64)}.example`]) {
    expect(result(b.ask(bad))).toEqual({ outcome: 'failed', why: 'bad-name' })
  }
  for (let i = 0; i < 1024; i++) b.ask(`n${i}.example`)
  expect(result(b.ask('one-more.example'))).toEqual({ outcome: 'failed', why: 'busy' })
})

test('any bytes as an answer change nothing', () => {
  const b = new Bench()
  const [q] = sends(b.ask('x.example')) as [Send]
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 120, size: 'max' }), (bytes) => {
      expect(b.answer(q, [], 0, 10, { bytes })).toEqual([])
    }),
  )
})
