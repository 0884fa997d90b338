import fc from 'fast-check'
import { expect, test } from 'vitest'
import { parseIp } from '#ntm-lib/addr/ip.ts'
import { type Ip4, parseIp4 } from '#ntm-lib/addr/ip4.ts'
import { type Ip6, parseIp6 } from '#ntm-lib/addr/ip6.ts'
import { parsePrefix } from '#ntm-lib/addr/prefix.ts'
import { type Instant, instant } from '#ntm-lib/base/time.ts'
import { CounterMap } from '#ntm-lib/ports/counters.ts'
import type { DirectedResult, DnsFlow, HoldOut } from './flow.ts'
import { Hold } from './hold.ts'
import {
  addressOf,
  addressRecord,
  buildAnswer,
  buildQuery,
  type DnsMessage,
  parseMessage,
  RCODE,
  TYPE,
} from './message.ts'

const vip4 = parseIp4('198.19.0.7') as Ip4
const vip6 = parseIp6('fd00:0:0:1::7') as Ip6
const tunnel: DirectedResult = { ok: true, vip4, vip6, ttlSeconds: 120 }
const real4 = parseIp('192.0.2.1')!
const real6 = parseIp('2001:db8::1')!
const flow: DnsFlow = {
  host: 'h1',
  hostPort: 4000,
  resolver: parseIp('10.0.0.1')!,
  granted: true,
  hasIp4: true,
  hasGlobalIp6: false,
}

test('a name that has an A passes, and its reply too', () => {
  const w = world()
  expect(w.query(1, 'both.example')).toBe('pass')
  expect(w.outs()).toMatchObject([{ out: 'ask' }])
  expect(w.reply(1, 'both.example', TYPE.A, [real4])).toBe('pass')
  expect(w.ownReply('both.example', [real6])).toBe('taken')
  expect(w.outs()).toEqual([])
})

test('tunnelsAll: a name that has an A is answered with a virtual address too', () => {
  const w = world()
  const all = { ...flow, hasGlobalIp6: true, tunnelsAll: true }
  expect(w.query(9, 'both.example', TYPE.HTTPS, all)).toBe('taken')
  expect(w.answer()).toMatchObject({ rcode: RCODE.NOERROR, answers: [] })
  expect(w.query(1, 'both.example', TYPE.A, all)).toBe('pass')
  expect(w.reply(1, 'both.example', TYPE.A, [real4], 0, all)).toBe('taken')
  const direct = w.outs().find((o) => o.out === 'direct')
  expect(direct).toMatchObject({ name: 'both.example' })
  w.hold.directed(direct?.out === 'direct' ? direct.id : 0, tunnel, w.now)
  expect(w.answer().answers.map(addressOf)).toEqual([vip4])
  // What would lead past the tunnel is not told, and the other type costs nothing.
  expect(w.query(2, 'both.example', TYPE.HTTPS, all)).toBe('taken')
  expect(w.answer()).toMatchObject({ rcode: RCODE.NOERROR, answers: [] })
  expect(w.query(3, 'both.example', TYPE.AAAA, all)).toBe('taken')
  expect(w.answer().answers.map(addressOf)).toEqual([vip6])
})

for (const why of ['peer-silent', 'forbidden', 'time'] as const) {
  test(`tunnelsAll: without a tunnel (${why}) the server's own address is let go`, () => {
    const w = world()
    const all = { ...flow, tunnelsAll: true }
    w.query(1, 'both.example', TYPE.A, all)
    w.reply(1, 'both.example', TYPE.A, [real4], 0, all)
    const direct = w.outs().find((o) => o.out === 'direct')
    if (why === 'time') w.at(2000)
    else w.hold.directed(direct?.out === 'direct' ? direct.id : 0, { ok: false, why }, w.now)
    expect(w.outs()).toEqual([{ out: 'release', flow: all, frame: w.lastFrame }])
  })
}

test('a name known to have an A is not asked about twice', () => {
  const w = world()
  w.query(1, 'both.example')
  w.reply(1, 'both.example', TYPE.A, [real4])
  w.outs()
  expect(w.query(2, 'both.example')).toBe('pass')
  expect(w.outs()).toEqual([])
})

for (const order of ['reply first', 'own answer first']) {
  test(`a name with only AAAA is answered with a virtual address when the tunnel stands (${order})`, () => {
    const w = world()
    expect(w.query(1, 'v6only.example')).toBe('pass')
    if (order === 'reply first') expect(w.reply(1, 'v6only.example', TYPE.A, [])).toBe('taken')
    expect(w.ownReply('v6only.example', [real6])).toBe('taken')
    if (order !== 'reply first') expect(w.reply(1, 'v6only.example', TYPE.A, [])).toBe('taken')
    const [ask, direct, ...rest] = w.outs()
    expect([ask?.out, rest]).toEqual(['ask', []])
    expect(direct).toEqual({ out: 'direct', id: 1, name: 'v6only.example', host: 'h1' })
    w.hold.directed(1, tunnel, w.at(300))
    expect(w.answer()).toMatchObject({ id: 1, rcode: 0, answers: [{ data: vip4, ttl: 60 }] })
    expect(w.outs()).toEqual([])
  })
}

test('a known name is answered at once, with what is left of its time, never below 5 s', () => {
  const w = world()
  tunnelled(w, 'v6only.example')
  w.at(80_000)
  expect(w.query(2, 'v6only.example')).toBe('taken')
  expect(w.answer().answers[0]).toMatchObject({ data: vip4, ttl: 40 })
  w.at(118_000)
  w.query(3, 'v6only.example')
  expect(w.answer().answers[0]?.ttl).toBe(5)
  w.at(121_000)
  expect(w.query(4, 'v6only.example')).toBe('pass')
})

test('AAAA for a tunnelled name passes, and service bindings are not shown', () => {
  const w = world()
  tunnelled(w, 'v6only.example')
  expect(w.query(5, 'v6only.example', TYPE.AAAA)).toBe('pass')
  expect(w.reply(5, 'v6only.example', TYPE.AAAA, [real6])).toBe('pass')
  expect(w.outs()).toEqual([])
  expect(w.query(6, 'v6only.example', TYPE.HTTPS)).toBe('taken')
  expect(w.answer()).toMatchObject({ id: 6, rcode: 0, answers: [] })
  expect(w.reply(7, 'v6only.example', TYPE.HTTPS, [])).toBe('taken')
  expect(w.answer()).toMatchObject({ id: 7, rcode: 0, answers: [] })
})

test('NXDOMAIN, SERVFAIL and truncated replies pass unchanged', () => {
  for (const rcode of [RCODE.NXDOMAIN, RCODE.SERVFAIL]) {
    const w = world()
    w.query(1, 'gone.example')
    expect(w.reply(1, 'gone.example', TYPE.A, [], rcode)).toBe('pass')
    w.ownReply('gone.example', [], rcode)
    expect(w.outs().map((o) => o.out)).toEqual(['ask'])
  }
})

test('a name with neither address gets its own reply back, byte for byte', () => {
  const w = world()
  w.query(1, 'empty.example')
  expect(w.reply(1, 'empty.example', TYPE.A, [])).toBe('taken')
  w.ownReply('empty.example', [])
  expect(w.outs().slice(1)).toEqual([{ out: 'release', flow, frame: w.lastFrame }])
})

test('without an answer to our question the reply is let go after 1.5 s', () => {
  const w = world()
  w.query(1, 'v6only.example')
  w.at(400)
  w.reply(1, 'v6only.example', TYPE.A, [])
  w.outs()
  expect(w.hold.deadline()).toBe(500)
  w.at(1499)
  // Ours may have been lost: it was asked once more on the way.
  expect(w.outs().map((o) => o.out)).toEqual(['ask'])
  expect(w.hold.deadline()).toBe(1500)
  w.at(1500)
  expect(w.outs()).toEqual([{ out: 'release', flow, frame: w.lastFrame }])
  // Too late, and never the host's business.
  expect(w.ownReply('v6only.example', [real6])).toBe('taken')
  expect(w.outs()).toEqual([])
})

test('without a direction there is SERVFAIL at 2 s, and a late direction helps the next try', () => {
  const w = world()
  w.query(1, 'v6only.example')
  w.reply(1, 'v6only.example', TYPE.A, [])
  w.ownReply('v6only.example', [real6])
  w.outs()
  w.at(1999)
  expect(w.outs()).toEqual([])
  w.at(2000)
  expect(w.answer().rcode).toBe(RCODE.SERVFAIL)
  w.hold.directed(1, tunnel, w.at(2500))
  expect(w.outs()).toEqual([])
  expect(w.query(2, 'v6only.example')).toBe('taken')
  expect(w.answer().answers[0]?.data).toBe(vip4)
})

test.each([
  ['forbidden', 'release'],
  ['unknown-name', 'release'],
  ['pool-exhausted', 'release'],
  ['unreachable', 'release'],
  ['not-registered', 'release'],
  ['peer-silent', 'answer'],
  ['resolver-down', 'answer'],
] as const)('an ordinary name refused as %s: %s', (why, out) => {
  const w = world()
  w.query(1, 'v6only.example')
  w.reply(1, 'v6only.example', TYPE.A, [])
  w.ownReply('v6only.example', [real6])
  w.outs()
  w.hold.directed(1, { ok: false, why }, w.now)
  const [only, ...rest] = w.outs()
  expect([only?.out, rest]).toEqual([out, []])
  if (only?.out === 'answer') expect(parseMessage(only.bytes)?.rcode).toBe(RCODE.SERVFAIL)
})

test('names of our zones are taken: both families, nothing else, and the zone itself is left alone', () => {
  const w = world()
  expect(w.query(1, 'bob.ntm.example')).toBe('taken')
  expect(w.query(2, 'bob.ntm.example', TYPE.AAAA)).toBe('taken')
  expect(w.outs()).toEqual([{ out: 'direct', id: 1, name: 'bob.ntm.example', host: 'h1' }])
  w.hold.directed(1, tunnel, w.now)
  expect([w.answer().answers[0]?.data, addressOf(w.answer().answers[0]!)]).toEqual([vip4, vip6])
  expect(w.query(3, 'bob.ntm.example', TYPE.TXT)).toBe('taken')
  expect(w.answer()).toMatchObject({ rcode: 0, answers: [], authorities: [{ type: TYPE.SOA, ttl: 30 }] })
  expect(w.query(4, 'ntm.example')).toBe('pass')
  expect(w.query(5, 'evilntm.example')).toBe('pass')
})

test('a host of ours is answered in the families it has; a server in both, for it is translated', () => {
  const w = world()
  w.query(1, 'plc.ntm.example', TYPE.AAAA)
  w.hold.directed(1, { ...tunnel, families: 1 }, w.now)
  const [, none] = w.outs()
  expect(none).toMatchObject({ out: 'answer' })
  w.query(2, 'plc.ntm.example', TYPE.AAAA)
  expect(w.answer()).toMatchObject({ rcode: 0, answers: [], authorities: [{ type: TYPE.SOA, ttl: 30 }] })
  w.query(3, 'plc.ntm.example', TYPE.A)
  expect(w.answer().answers[0]?.data).toEqual(vip4)
  w.query(4, 'other.ntm.example', TYPE.AAAA)
  // The bridge over there does not know yet.
  w.hold.directed(2, { ...tunnel, families: 0 }, w.now)
  w.outs()
  w.query(5, 'other.ntm.example', TYPE.AAAA)
  expect(addressOf(w.answer().answers[0]!)).toEqual(vip6)
  w.query(6, 'v6only.example')
  w.reply(6, 'v6only.example', TYPE.A, [])
  w.ownReply('v6only.example', [real6])
  w.outs()
  w.hold.directed(3, { ...tunnel, families: 2 }, w.now)
  expect(w.answer().answers[0]?.data).toEqual(vip4)
})

test('an unknown name of ours is NXDOMAIN, and remembered; an unreachable coordinator is SERVFAIL, and not', () => {
  const w = world()
  w.query(1, 'nobody.ntm.example')
  w.hold.directed(1, { ok: false, why: 'unknown-name' }, w.now)
  expect(w.outs().length).toBe(2)
  w.query(2, 'nobody.ntm.example')
  expect(w.answer().rcode).toBe(RCODE.NXDOMAIN)
  w.query(3, 'bob.ntm.example')
  w.outs()
  w.hold.directed(2, { ok: false, why: 'unreachable' }, w.now)
  expect(w.answer().rcode).toBe(RCODE.SERVFAIL)
  w.query(4, 'bob.ntm.example')
  expect(w.outs()).toMatchObject([{ out: 'direct', id: 3 }])
})

test('left alone: local names, single labels, DO with CD, no recursion, other classes, hosts without a grant or with IPv6', () => {
  const w = world()
  for (const name of ['printer.local', 'host', 'x.home.arpa', 'a.onion', '1.0.0.10.in-addr.arpa'])
    expect(w.query(1, name)).toBe('pass')
  expect(w.raw(buildQuery({ id: 1, name: 'a.example', type: 1, recursionDesired: false })!)).toBe('pass')
  const docd = buildQuery({
    id: 1,
    name: 'a.ntm.example',
    type: 1,
    recursionDesired: true,
    edns: { udpSize: 1232, dnssecOk: true },
  })!
  docd[3] = 0x10
  expect(w.raw(docd)).toBe('pass')
  expect(w.query(1, 'a.ntm.example', 1, { ...flow, granted: false })).toBe('pass')
  expect(w.query(1, 'a.example', 1, { ...flow, hasGlobalIp6: true })).toBe('pass')
  expect(w.raw(new Uint8Array(40))).toBe('pass')
  expect(w.outs()).toEqual([])
})

test('failing closed, what would pass to the resolver about our zones is SERVFAIL; nothing else is', () => {
  const w = world(true)
  const away = { ...flow, granted: false }
  expect(w.query(1, 'a.ntm.example', TYPE.A, away)).toBe('taken')
  expect(w.answer()).toMatchObject({ id: 1, rcode: 2 })
  expect(w.query(2, 'a.ntm.example', TYPE.TXT, away)).toBe('taken')
  expect(w.answer()).toMatchObject({ id: 2, rcode: 2 })
  expect(w.query(3, 'ntm.example', TYPE.A, away)).toBe('pass')
  expect(w.query(4, 'a.example', TYPE.A, away)).toBe('pass')
  expect(w.outs()).toEqual([])
})

test('a host without IPv4 gets a virtual IPv6 address for an IPv4-only server', () => {
  const w = world()
  const six = { ...flow, hasIp4: false, hasGlobalIp6: true }
  w.query(1, 'v4only.example', TYPE.AAAA, six)
  w.reply(1, 'v4only.example', TYPE.AAAA, [], 0, six)
  w.ownReply('v4only.example', [real4], 0, TYPE.A)
  w.outs()
  w.hold.directed(1, tunnel, w.now)
  expect(addressOf(w.answer().answers[0]!)).toEqual(vip6)
})

test('a chain of CNAMEs without an address is held like an empty reply', () => {
  const w = world()
  w.query(1, 'www.example')
  const reply = buildAnswer(
    parseMessage(buildQuery({ id: 1, name: 'www.example', type: 1, recursionDesired: true })!)!,
    { rcode: 0, answers: [{ name: 'www.example', type: TYPE.CNAME, class: 1, ttl: 60, data: 'cdn.example' }] },
  )
  expect(w.hold.onReply(reply, reply, flow, w.now)).toBe('taken')
})

test('a repeated query waits with the first while its reply is held, and both upstream replies make one answer', () => {
  const w = world()
  expect(w.query(1, 'v6only.example')).toBe('pass')
  expect(w.query(1, 'v6only.example')).toBe('pass')
  expect(w.outs().map((o) => o.out)).toEqual(['ask', 'ask'])
  expect(w.reply(1, 'v6only.example', TYPE.A, [])).toBe('taken')
  expect(w.query(1, 'v6only.example')).toBe('taken')
  expect(w.reply(1, 'v6only.example', TYPE.A, [])).toBe('taken')
  expect(w.ownReply('v6only.example', [real6])).toBe('taken')
  expect(w.ownReply('v6only.example', [real6])).toBe('taken')
  expect(w.query(1, 'v6only.example')).toBe('taken')
  expect(w.outs().map((o) => o.out)).toEqual(['direct'])
  w.hold.directed(1, tunnel, w.now)
  expect(w.outs().map((o) => o.out)).toEqual(['answer'])
})

test('a query sent again because the answer got lost is answered again, by the resolver or by us', () => {
  const w = world()
  w.query(1, 'empty.example')
  w.reply(1, 'empty.example', TYPE.A, [])
  w.ownReply('empty.example', [])
  expect(w.outs().map((o) => o.out)).toEqual(['ask', 'release'])
  // A late copy of the resolver's.
  expect(w.reply(1, 'empty.example', TYPE.A, [])).toBe('taken')
  expect(w.query(1, 'empty.example')).toBe('pass')
  expect(w.reply(1, 'empty.example', TYPE.A, [])).toBe('pass')
  tunnelled(w, 'v6only.example')
  for (let i = 0; i < 2; i++) {
    expect(w.query(900, 'v6only.example')).toBe('taken')
    expect(w.answer().id).toBe(900)
  }
})

test('PTR of virtual addresses never leaks', () => {
  const w = world()
  expect(w.query(1, '7.0.19.198.in-addr.arpa', TYPE.PTR)).toBe('taken')
  expect(w.answer().rcode).toBe(RCODE.NXDOMAIN)
  tunnelled(w, 'v6only.example')
  w.query(2, '7.0.19.198.in-addr.arpa', TYPE.PTR)
  expect(w.answer().answers[0]).toMatchObject({ type: TYPE.PTR, data: 'v6only.example' })
  const six = `7.${'0.'.repeat(15)}1.${'0.'.repeat(11)}0.0.d.f.ip6.arpa`
  w.query(3, six, TYPE.PTR)
  expect(w.answer().answers[0]?.data).toBe('v6only.example')
  expect(w.query(4, '1.0.0.10.in-addr.arpa', TYPE.PTR)).toBe('pass')
})

test('an answer to our question counts only with our id, resolver and port', () => {
  const w = world()
  w.query(1, 'v6only.example')
  w.reply(1, 'v6only.example', TYPE.A, [])
  const ask = parseMessage((w.outs()[0] as { bytes: Uint8Array }).bytes)!
  const forged = buildAnswer(ask, { rcode: 0, answers: [addressRecord('v6only.example', real6, 60)] })
  expect(w.hold.onReply(forged, forged, { ...flow, resolver: parseIp('10.0.0.66')! }, w.now)).toBe('pass')
  expect(w.hold.onReply(forged, forged, { ...flow, hostPort: 4001 }, w.now)).toBe('pass')
  const wrongId = forged.slice()
  wrongId[1] = (wrongId[1]! ^ 1) & 0xff
  expect(w.hold.onReply(wrongId, wrongId, flow, w.now)).toBe('pass')
  expect(w.outs()).toEqual([])
  expect(w.hold.onReply(forged, forged, flow, w.now)).toBe('taken')
  expect(w.outs()).toMatchObject([{ out: 'direct' }])
})

test('when the host uses the id of our question, ours takes another', () => {
  const w = world()
  w.query(1, 'v6only.example')
  w.reply(1, 'v6only.example', TYPE.A, [])
  const first = parseMessage((w.outs()[0] as { bytes: Uint8Array }).bytes)!.id
  // Any query of the host's from that port, even one that is none of our business.
  expect(w.query(first, 'v6only.example', TYPE.AAAA)).toBe('pass')
  const second = parseMessage((w.outs()[0] as { bytes: Uint8Array }).bytes)!
  expect([second.id === first, second.question?.type]).toEqual([false, TYPE.AAAA])
  expect(w.reply(first, 'v6only.example', TYPE.AAAA, [real6])).toBe('pass')
  const bytes = buildAnswer(second, { rcode: 0, answers: [addressRecord('v6only.example', real6, 60)] })
  expect(w.hold.onReply(bytes, bytes, flow, w.now)).toBe('taken')
  expect(w.outs()).toMatchObject([{ out: 'direct' }])
})

test('a SERVFAIL to our question lets the reply go and is not remembered', () => {
  const w = world()
  w.query(1, 'v6only.example')
  w.reply(1, 'v6only.example', TYPE.A, [])
  w.ownReply('v6only.example', [], RCODE.SERVFAIL)
  expect(w.outs().map((o) => o.out)).toEqual(['ask', 'release'])
  expect(w.query(2, 'v6only.example')).toBe('pass')
  expect(w.outs()).toMatchObject([{ out: 'ask' }])
})

test('tables are bounded: beyond the limit queries pass and nothing is asked', () => {
  const w = world()
  for (let i = 0; i < 600; i++) w.query(i, `n${i}.example`)
  const asked = w.outs().map((o) => (o.out === 'ask' ? parseMessage(o.bytes)?.question?.name : o.out))
  expect(new Set(asked).size).toBe(512)
  expect(w.counters.get('bridge.dns.table-full')).toBe(88)
  expect(w.query(1, 'other.example', 1, { ...flow, host: 'h2' })).toBe('pass')
  expect(w.outs().length).toBe(1)
})

test('under loss, duplication and reordering no query is answered twice, none late, and one direction serves all', () => {
  const event = fc.record({
    at: fc.nat(2600),
    what: fc.constantFrom('query', 'query2', 'reply', 'reply2', 'own', 'directed', 'refused', 'tick'),
  })
  fc.assert(
    fc.property(fc.array(event, { minLength: 3, maxLength: 24 }), fc.boolean(), (events, exists) => {
      const w = world()
      const sent = { query: 0, query2: 0 }
      const got = { query: 0, query2: 0 }
      // A query sent again before its answer came is the same one to the host, which takes one answer for both.
      const unanswered = { query: false, query2: false }
      const owed = new Map<string, number>()
      let directions = 0
      const drain = (): void => {
        for (const o of w.outs()) {
          if (o.out === 'direct') directions++
          if (o.out !== 'answer' && o.out !== 'release') continue
          const id = parseMessage(o.out === 'answer' ? o.bytes : o.frame)!.id
          got[id === 1 ? 'query' : 'query2']++
          unanswered[id === 1 ? 'query' : 'query2'] = false
          owed.delete(String(id))
        }
      }
      let decided = false
      for (const e of events.sort((a, b) => a.at - b.at)) {
        w.at(e.at)
        drain()
        for (const [id, until] of owed) expect(until, `query ${id} is held too long`).toBeGreaterThan(e.at)
        if (e.what === 'query' || e.what === 'query2') {
          sent[e.what]++
          unanswered[e.what] = true
          w.query(e.what === 'query' ? 1 : 2, 'v6only.example')
        } else if (e.what === 'reply' || e.what === 'reply2') {
          const id = e.what === 'reply' ? 1 : 2
          const which = id === 1 ? 'query' : 'query2'
          const held = w.reply(id, 'v6only.example', TYPE.A, []) === 'taken'
          if (!held) {
            got[which] = Math.min(got[which] + 1, sent[which])
            unanswered[which] = false
          } else if (unanswered[which]) owed.set(String(id), e.at + 2001)
        } else if (e.what === 'own') w.ownReply('v6only.example', exists ? [real6] : [])
        else if (e.what === 'directed' && directions > 0) {
          w.hold.directed(directions, tunnel, w.now)
          decided = true
        } else if (e.what === 'refused' && directions > 0) {
          w.hold.directed(directions, { ok: false, why: 'unreachable' }, w.now)
          decided = true
        }
        drain()
        expect(got.query).toBeLessThanOrEqual(sent.query)
        expect(got.query2).toBeLessThanOrEqual(sent.query2)
        if (!decided) expect(directions).toBeLessThanOrEqual(1)
        if (!exists) expect(directions).toBe(0)
        const deadline = w.hold.deadline()
        if (deadline !== null) expect(deadline).toBeGreaterThan(e.at)
      }
    }),
    { numRuns: 1500 },
  )
})

/** Brings `name` to the state "tunnel stands" at time 0 with 120 s to live. */
function tunnelled(w: ReturnType<typeof world>, name: string): void {
  w.query(900, name)
  w.reply(900, name, TYPE.A, [])
  w.ownReply(name, [real6])
  const direct = w.outs().find((o) => o.out === 'direct')
  w.hold.directed((direct as { id: number }).id, tunnel, w.now)
  w.outs()
}

function world(closed = false) {
  let seed = 1
  const random = {
    bytes: (n: number) =>
      Uint8Array.from({ length: n }, () => {
        seed = (seed * 1103515245 + 12345) & 0x7fffffff
        return seed >> 16
      }),
  }
  const counters = new CounterMap()
  const virtual = ['198.18.0.0/15', 'fd00::/48'].map((p) => parsePrefix(p)!)
  const hold = new Hold<DnsFlow>({ holdMillis: 2000, virtual, closed }, random, counters)
  hold.setZones(['ntm.example'])
  const own = new Map<string, Uint8Array>()
  const later: HoldOut<DnsFlow>[] = []
  const w = {
    hold,
    counters,
    now: instant(0) as Instant,
    lastFrame: new Uint8Array(0) as Uint8Array,
    at: (ms: number): Instant => {
      // As the pump does: wakes at every deadline on the way.
      for (let d = hold.deadline(); d !== null && d <= ms; d = hold.deadline()) hold.tick(d)
      w.now = instant(ms)
      hold.tick(w.now)
      return w.now
    },
    raw: (bytes: Uint8Array, f = flow) => hold.onQuery(bytes, f, w.now),
    query: (id: number, name: string, type: number = TYPE.A, f = flow) =>
      w.raw(buildQuery({ id, name, type, recursionDesired: true })!, f),
    reply: (id: number, name: string, type: number, ips: readonly (typeof real4)[], rcode = 0, f = flow) => {
      const query = parseMessage(buildQuery({ id, name, type, recursionDesired: true })!)!
      const bytes = buildAnswer(query, { rcode, answers: ips.map((ip) => addressRecord(name, ip, 300)) })
      w.lastFrame = bytes
      return hold.onReply(bytes, bytes, f, w.now)
    },
    /** The resolver answers the newest question of ours about `name`. */
    ownReply: (name: string, ips: readonly (typeof real4)[], rcode = 0, _type: number = TYPE.AAAA) => {
      w.pull()
      const ask = own.get(name)
      if (ask === undefined) return null
      const bytes = buildAnswer(parseMessage(ask)!, { rcode, answers: ips.map((ip) => addressRecord(name, ip, 300)) })
      return hold.onReply(bytes, bytes, flow, w.now)
    },
    pull: () => {
      for (let o = hold.poll(); o !== null; o = hold.poll()) {
        if (o.out === 'ask') own.set(parseMessage(o.bytes)!.question!.name, o.bytes)
        later.push(o)
      }
    },
    outs: (): HoldOut<DnsFlow>[] => {
      w.pull()
      return later.splice(0)
    },
    answer: (): DnsMessage => {
      w.pull()
      const o = later.shift()
      if (o?.out !== 'answer') throw new Error(`expected an answer, got ${o?.out}`)
      return parseMessage(o.bytes)!
    },
  }
  return w
}
